"""The rates of the pictures' way: every stage is timed on the way that training takes, and nothing of it is made up."""

import json

import numpy as np
import pytest
from click.testing import CliRunner

from cualex import cli
from cualex.data import pack as packs
from cualex.data import sources
from cualex.data.batches import Stream
from cualex.data.colour_noise import Noise
from cualex.data.decoding import finish
from cualex.profiling import data_throughput, roofline
from cualex.profiling.data_throughput import Rate
from cualex.profiling.roofline import Roofline
from tests.support import colour_network, small_alexnet


@pytest.fixture
def few(monkeypatch):
    """Let little be enough."""
    for name, value in (("ROUNDS", 2), ("IMAGES", 6), ("FILES", 4), ("COPIED", 2**12)):
        monkeypatch.setattr(data_throughput, name, value)


@pytest.fixture
def folder(tmp_path):
    for name in colour_network.CLASSES:
        for number in range(5):
            colour_network.picture(tmp_path / f"set/{name}/{number}.png", name)
    return tmp_path / "set"


def test_every_stage_is_measured(few, folder, tmp_path):
    network = small_alexnet.network(width=1 / 16)
    plan, source = small_alexnet.plan(small_alexnet.parameters(net=network), batch=3), sources.find(folder)
    made = finish(packs.pack(source, "train", network.stored, cache=tmp_path))
    found = data_throughput.measure(plan, made, source)
    assert [rate.stage for rate in found] == [
        *("decoding", "packing", "gathering into memory", "gathering and augmenting")
    ]
    assert all(rate.pictures_per_s > 0 for rate in found)
    gathering = found[2]
    assert gathering.bytes_per_s == pytest.approx(gathering.pictures_per_s * 3 * network.stored**2)
    assert gathering.of_a_copy > 0
    assert {path.name for path in tmp_path.iterdir()} == {
        "set",
        "packs",
    }  # what was packed to be timed is gone


def test_the_crops_that_are_timed_are_those_of_training(few, folder, tmp_path):
    """What the first step left is the batch of the last round, as the stream and the plan themselves make it."""
    network = small_alexnet.network(width=1 / 16)
    plan, source = small_alexnet.plan(small_alexnet.parameters(net=network), batch=3), sources.find(folder)
    made = finish(packs.pack(source, "train", network.stored, cache=tmp_path))
    stream = Stream(made, 0, network.crop, True, Noise(made.components))
    step = plan.steps[0]
    data_throughput._augmenting(plan, stream)
    timed = np.array(step.arrays()["y"])
    batch = [
        np.empty((3, *shape), kind) for shape, kind in (((network.stored,) * 2 + (3,), np.uint8), ((3,), np.int32))
    ]
    labels, shifts = np.empty(3, np.int32), np.empty((3, 3), np.float32)
    stream.fill(5 * 3, *batch, labels, shifts)  # a round that warms up and two more, of two batches each
    plan.put(*batch, labels, shifts)
    step.run()
    assert np.array_equal(timed, step.arrays()["y"])


def test_a_set_that_is_not_packed_has_no_rows_to_gather(few, folder):
    from cualex.data.no_pack import unpacked

    network = small_alexnet.network(width=1 / 16)
    plan, source = small_alexnet.plan(small_alexnet.parameters(net=network), batch=3), sources.find(folder)
    made = finish(unpacked(source, "train", network.stored))
    assert [rate.stage for rate in data_throughput.measure(plan, made, source)] == ["decoding", "packing"]


def test_a_gpu_has_its_rows_in_pinned_memory(few, folder, tmp_path, emulated, monkeypatch):
    from cualex.devices import placement

    monkeypatch.setattr(placement, "CupyRuntime", emulated)
    network = small_alexnet.network(width=1 / 16)
    made = small_alexnet.parameters("cuda:0", net=network, precision="fp32")
    plan, source = small_alexnet.plan(made, "infer", batch=3), sources.find(folder)
    split = finish(packs.pack(source, "train", network.stored, cache=tmp_path))
    stages = [rate.stage for rate in data_throughput.measure(plan, split, source)]
    assert stages == ["decoding", "packing", "gathering into pinned memory"]


def test_cores_and_shares_are_what_they_say(monkeypatch):
    """By a clock of its own: the work takes 2 s for 10 pictures and 60 bytes, the copy 1 s for 50 bytes."""
    seconds, now = {"work": 2, "copy": 1}, [0.0]
    monkeypatch.setattr(data_throughput, "COPIED", 50)
    monkeypatch.setattr(data_throughput.time, "process_time", lambda: now[0])
    monkeypatch.setattr(data_throughput.np, "copyto", lambda *_: now.__setitem__(0, now[0] + seconds["copy"]))
    rate = data_throughput._rate("x", 10, lambda: now.__setitem__(0, now[0] + seconds["work"]), 60)
    assert rate == Rate("x", 5.0, 30.0, 0.6)
    assert rate.cores(20.0) == 4.0
    assert rate.document(20.0) == {
        "stage": "x",
        "pictures_per_s": 5.0,
        "bytes_per_s": 30.0,
        "of_a_copy": 0.6,
        "cores": 4.0,
    }


@pytest.mark.slow
def test_the_command_shows_them(few, folder, tmp_path, monkeypatch):
    monkeypatch.setattr(roofline, "_host", lambda *_: Roofline(2e12, 3e11, "made by hand"))
    words = [
        "profile",
        "cifar-relu",
        "-b",
        "3",
        "--repeat",
        "1",
        "--data",
        str(folder),
        "--cache",
        str(tmp_path),
    ]
    result = CliRunner().invoke(cli.main, words)
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith("stage"))
    assert [line.split("  ")[0] for line in lines[start + 2 : start + 6]] == [
        *("decoding", "packing", "gathering into memory", "gathering and augmenting")
    ]
    assert lines[start].endswith("cores to keep up")
    document = json.loads(CliRunner().invoke(cli.main, [*words, "--json"]).stdout)
    listed = document["waiting"]["rates_of_a_core"]
    assert [rate["stage"] for rate in listed][:2] == ["decoding", "packing"]
    for rate in listed:
        assert rate["cores"] == pytest.approx(document["images_per_s"] / rate["pictures_per_s"])
