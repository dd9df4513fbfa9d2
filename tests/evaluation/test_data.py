"""`cualex.evaluate` with paths: the command's numbers for models, runs, folders, archives and opened packs."""

import json
import zipfile

import numpy as np
import pytest

import cualex
from cualex.data import pack, sources
from cualex.data.decoding import finish
from cualex.errors import DataError, UsageError, WeightsError
from cualex.training.run import Run
from tests.support import colour_network
from tests.support.colour_network import broken, fill, run


@pytest.fixture
def here(tmp_path, monkeypatch):
    """Work where runs/train has weights, whose data set is set/."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CUALEX_CACHE", str(tmp_path / "cache"))
    fill(tmp_path / "set")
    colour_network.finished(tmp_path / "runs", data=str(tmp_path / "set"), val_split=0.25)
    return tmp_path


def command(*words):
    return json.loads(run("evaluate", *words, "--json").stdout)


def numbers(found):
    return found.count, found.top1, found.top5, found.loss, found.confusion.tolist()


@pytest.mark.slow
def test_every_way_to_name_model_and_data_gives_the_commands_numbers(here):
    told = command("set", "-w", "runs/train", "--val-split", 0)
    expected = tuple(told[name] for name in ("pictures", "top1", "top5", "loss", "confusion"))
    with zipfile.ZipFile("set.zip", "w") as archive:
        for file in sorted((here / "set").rglob("*.png")):
            archive.write(file, file.relative_to(here / "set"))
    model = cualex.load("runs/train")
    opened = finish(pack.pack(sources.find("set", val_split=0, classes=model.classes), "train", 32))
    ways = [(models, "set") for models in ("runs/train", here / "runs/train/best.safetensors", Run("runs/train"))]
    for models, data in [*ways, *((model, data) for data in ("set", here / "set", "set.zip", opened))]:
        assert numbers(cualex.evaluate(models, data, val_split=0)) == expected
    both = cualex.evaluate([model, "runs/train"], "set", val_split=0)
    np.testing.assert_allclose(both.loss, expected[3], rtol=1e-6)
    ten = cualex.evaluate(model, "set", crops=10, no_pack=True)
    assert ten.loss == command("set", "-w", "runs/train", "--val-split", 0, "--crops", 10)["loss"]


@pytest.mark.slow
def test_without_data_it_is_the_runs_own_set_divided_as_it_was(here):
    told = command("-w", "runs/train")
    found = cualex.evaluate("runs/train")
    assert (found.count, found.loss) == (told["pictures"], told["loss"])
    assert 0 < found.count < cualex.evaluate("runs/train", val_split=0).count
    assert cualex.evaluate("runs/train", split="train").count + found.count == 37


def test_it_says_what_it_is(here):
    found = cualex.evaluate("runs/train", "set", val_split=0)
    assert (found.top1_error, found.top5_error) == (1 - found.top1, 1 - found.top5)
    assert found.top1_error == pytest.approx(9 / 37)
    assert repr(found) == (
        f"Evaluation(37 images, 3 classes: top-1 error 24.3 %, top-5 error 0.0 %, loss {found.loss:.4f})"
    )
    assert str(found) == f"37 images: top-1 75.7%, loss {found.loss:.4f}"


def test_old_names_of_keywords_still_work(here):
    model = cualex.load("runs/train")
    opened = finish(pack.pack(sources.find("set", val_split=0, classes=model.classes), "train", 32))
    assert cualex.evaluate(models=model, pack=opened, batch=5).count == 37


def test_wrong_use_is_one_line(here):
    for given, kind, said in (
        ({"data": "gone"}, DataError, r"^gone: no such folder, \.zip or \.tar; `demo` is the built-in data set$"),
        ({"data": "set", "split": "test"}, DataError, r"has no test images: choose --split train or val$"),
        ({"data": "set", "crops": 5}, UsageError, r"^5 crops: expected 1 or 10$"),
        ({"dat": "set"}, UsageError, r"^evaluate\(\) has no keyword 'dat'; there are models, .* Did you mean data\?$"),
        ({"data": ["set"]}, UsageError, r"^data=\['set'\]: expected a folder, \.zip or \.tar, or an opened pack$"),
        ({"data": "set", "device": "tpu"}, UsageError, r"^device 'tpu' in 'tpu': expected cpu, "),
    ):
        with pytest.raises(kind, match=said):
            cualex.evaluate("runs/train", **given)
    with pytest.raises(UsageError, match=r"^evaluate\(\) needs data: a folder, \.zip or \.tar; only the path of a run"):
        cualex.evaluate(cualex.load("runs/train"))
    with pytest.raises(WeightsError, match="gone"):
        cualex.evaluate("gone", "set")


def test_images_that_cannot_be_read_are_warned_of(here):
    broken(here / "set/red/broken.png")
    with pytest.warns(UserWarning, match=r"^1 images could not be read and were skipped; the first: red/broken\.png: "):
        assert cualex.evaluate("runs/train", "set", val_split=0).count == 37
