"""The page of a run that is training: its curves, and its weights as they are saved."""

import json
import os

import numpy as np
import pytest

pytest.importorskip("starlette", reason="starlette is not installed: no test of the page's server")

from cualex import weights as weights_file
from cualex.data import images
from cualex.errors import ImageError, UsageError, WeightsError
from cualex.page import gallery
from cualex.page.answers import Page
from cualex.page.live import Live
from cualex.page.seeing import Seer
from cualex.training.run import Run
from tests import ROOT
from tests.support import page_networks

PNG = images.encoded(page_networks.image(page_networks.seer("lenet5").weights.network))
GOLDEN = ROOT / "tests/golden/v0.1"


@pytest.fixture
def run(tmp_path):
    """A run after its first epoch, with a line of its log half written."""
    (tmp_path / "args.json").write_text(json.dumps({"recipe": {"epochs": 9}}))
    epoch = {"epoch": 1, "update": 4, "loss": 2.1, "val_loss": 1.5, "top1": 0.5, "time_total": 3.0}
    lines = [{"update": 2, "loss": 2.3}, epoch]
    (tmp_path / "log.jsonl").write_text("\n".join(map(json.dumps, lines)) + '\n{"update": 6, "lo')
    return tmp_path


def save(run, name, seed, at):
    """Save weights as a training does, at a time."""
    weights_file.save(run / name, page_networks.weights("lenet5", seed=seed))
    os.utime(run / name, ns=(at, at))


def test_curves_of_a_run_are_its_epochs_so_far(run):
    save(run, "best.safetensors", 1, 10)
    epochs = [{"epoch": 1, "loss": 2.1, "val_loss": 1.5, "top1": 0.5}]
    assert Live(run).curves() == {"training": True, "epochs": epochs, "planned": 9}
    (run / "finished.json").write_text("{}")
    assert Live(run).curves()["training"] is False


def test_new_weights_are_read_when_the_run_has_saved_them(run):
    save(run, "best.safetensors", 1, 10)
    live = Live(run)
    page = Page([Seer(live.weights())], [gallery.Example("one", PNG)], live)
    image = page.examples[0][2]
    first, stamp = page.seers[0].name(image), page.run()["stamp"]
    assert page.run()["stamp"] == stamp
    excited = [page.excites(0, "conv1", index)["strongest"] for index in range(6)]
    save(run, "last.safetensors", 2, 20)  # newer than the best
    assert page.run()["stamp"] != stamp
    expected = Seer(page_networks.weights("lenet5", seed=2)).name(image)
    assert np.array_equal(page.seers[0].name(image), expected)
    assert not np.array_equal(first, expected)
    assert [page.excites(0, "conv1", index)["strongest"] for index in range(6)] != excited  # looked at again
    (run / "finished.json").write_text("{}")
    assert live.file.name == "best.safetensors"
    page.run()
    assert np.array_equal(page.seers[0].name(image), first)


def test_a_file_that_is_being_replaced_is_read_the_next_time(run):
    save(run, "best.safetensors", 1, 10)
    live = Live(run)
    stamp = live.stamp
    (run / "best.safetensors").unlink()
    assert live.stamp == stamp


def test_a_run_without_weights_is_told_when_it_has_some(run):
    with pytest.raises(UsageError, match=r"this run has no weights yet. It saves them at the end of its first epoch"):
        Live(run)


@pytest.mark.parametrize("network", ["alexnet", "lenet5"])
def test_runs_of_version_0_1_are_shown(network):
    live = Live(GOLDEN / "whole" / network)
    curves = live.curves()
    assert len(curves["epochs"]) == curves["planned"] == len(Run(GOLDEN / "whole" / network).results())
    seer = Seer(live.weights())
    assert seer.name(page_networks.image(seer.weights.network)).sum() == pytest.approx(1)


def test_a_weights_file_is_no_run(tmp_path):
    weights_file.save(tmp_path / "mine.safetensors", page_networks.weights("lenet5"))
    live = Live(tmp_path / "mine.safetensors")
    assert live.curves() is None
    assert live.training is False
    with pytest.raises(WeightsError):
        Live(tmp_path / "missing.safetensors").weights()


# --- example images


def test_examples_are_what_was_named_or_samples_of_the_run_or_drawn(tmp_path):
    drawn = gallery.found(())
    assert [each.name for each in drawn] == list(gallery.demo.CLASSES)
    (tmp_path / "samples").mkdir()
    (tmp_path / "samples/warm_ring.png").write_bytes(PNG)
    assert [each.name for each in gallery.found((), tmp_path)] == ["warm ring"]
    (tmp_path / "photos/cat").mkdir(parents=True)
    (tmp_path / "photos/cat/0001.png").write_bytes(PNG)
    (tmp_path / "photos/notes.txt").write_text("no image")
    assert [each.name for each in gallery.found([tmp_path / "photos"], tmp_path)] == ["cat"]
    with pytest.raises(ImageError, match=r"notes.txt"):
        gallery.found([tmp_path / "photos/notes.txt"])
    (tmp_path / "empty").mkdir()
    with pytest.raises(ImageError, match=r"empty: holds no images$"):
        gallery.found([tmp_path / "empty"])
