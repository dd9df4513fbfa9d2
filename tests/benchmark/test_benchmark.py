"""`cualex benchmark`: its arithmetic on made-up times, the second process, and both sides' losses."""

import functools
import importlib.util
import json
import math
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from cualex import cli, networks
from cualex.benchmark import memory, problem, results, rounds
from cualex.benchmark.our_side import Ours
from cualex.benchmark.results import Part, Result, Round
from cualex.benchmark.second_process import Second
from cualex.engine.host import crop
from cualex.errors import CualexError, UsageError
from cualex.plan import Plan
from cualex.system.environment import cores

UNIT = 2.0**-24
TRAIN = Part("train", "train", 6)
NETWORK = networks.build("alexnet", classes=7, crop=67, dropout=0, width=1 / 16)
BATCH, ROUNDS = 3, 2
PARTS = ("train", "infer", "infer_batch_1")
OURS = ("images_per_s", "milliseconds", "share_of_product_rate", "product_operations_per_s", "loss_before")
TORCH = ("torch_images_per_s", "torch_milliseconds", "torch_loss_before", "torch_loss_after", "ratio")
WITHOUT_LRN = ("torch_without_lrn_images_per_s", "torch_without_lrn_milliseconds", "ratio_without_lrn")
fast = functools.partial(rounds.benchmark, seconds=0, side=64)


# --- arithmetic


def played(number, ours, torch=None, without_lrn=None):
    return Round(Part("train", "train", 32), number, ours, 1e11, 0.5 + number / 100, torch, without_lrn)


def test_the_median_of_ratios_is_not_the_ratio_of_medians():
    found = results.medians([played(1, 30.0, 10.0, 40.0), played(2, 8.0, 4.0, 10.0), played(3, 20.0, 20.0, 80.0)])
    assert (found["images_per_s"], found["torch_images_per_s"]) == (20, 10)
    assert (found["ratio"], found["ratio_range"]) == (2, [1, 3])
    assert (found["ratio_without_lrn"], found["ratio_without_lrn_range"]) == (0.75, [0.25, 0.8])
    assert (found["milliseconds"], found["torch_milliseconds"]) == (1600, 3200)
    assert found["share_of_product_rate"] == 0.52
    assert [each["ratio"] for each in found["rounds"]] == [3, 2, 1]


def test_without_torch_there_is_no_ratio():
    found = results.medians([played(1, 30.0), played(2, 10.0)])
    assert found["images_per_s"] == 20
    assert {found[name] for name in found if "torch" in name} == {None}
    assert (found["ratio"], found["ratio_range"], found["rounds"][0]["ratio"]) == (None, None, None)


class FakeOurs:
    """Take 0.25 s a step, of 4e9 operations."""

    device, operations = None, 4_000_000_000

    def __init__(self, given, mode, device, precision):
        self.pictures, self.control, self.turns = len(given.labels), self, []
        self.step = 0

    def turn(self, steps):
        self.turns.append(steps)
        self.step += steps + 1
        return 0.25 * steps

    def restart(self):
        self.turns, self.step = [], 0

    def loss(self):
        return 2.5 - self.step / 100


class FakeTorch:
    """Take 0.75 s a step, 0.125 s without LRN."""

    def __init__(self):
        self.asked = []

    def ask(self, do, **question):
        self.asked.append((do, *question.values()))
        if do == "turn":
            return {"seconds": question["steps"] * (0.75 if question["lrn"] else 0.125)}
        return {"loss": 2.25} if do == "loss" else {"layouts": {"with LRN": "NCHW"}}


@pytest.fixture
def match(monkeypatch):
    """Make a match of known times; the yardstick reaches 64 GFLOP/s."""
    monkeypatch.setattr(rounds, "Ours", FakeOurs)
    monkeypatch.setattr(rounds, "yardstick", lambda device, side: type("Y", (), {"rate": lambda self: 64e9})())
    given = problem.make(NETWORK, 6)
    return lambda torch, part=TRAIN: rounds.Match(part, given, ("cpu", "fp32"), torch, 2.0, 64)


def play(match, count):
    """Play the rounds to their end; return them and the figures."""
    each, playing = [], match.play(count)
    while True:
        try:
            each.append(next(playing))
        except StopIteration as end:
            return each, end.value


def test_rates_and_shares_follow_from_times(match):
    made = match(FakeTorch())
    assert made.steps == 8  # of 0.25 s in the 2 s of a turn
    each, found = play(made, 3)
    assert [one.number for one in each] == [1, 2, 3]
    assert (found["images_per_s"], found["torch_images_per_s"]) == (24, 8)
    assert (found["ratio"], found["ratio_without_lrn"]) == (3, 0.5)
    assert found["share_of_product_rate"] == 0.25  # 16e9 operations a second of 64e9
    assert found["updates"] == 3 * 9
    assert (found["loss_before"], found["loss_after"]) == (2.5, 2.23)


def test_turns_alternate_and_have_as_many_steps_on_either_side(match):
    torch = FakeTorch()
    made = match(torch)
    play(made, 2)
    turns = [("turn", True, 8), ("turn", False, 8)]
    assert torch.asked == [("prepare", "train", 6, 8), ("loss",), *turns, *turns, ("loss",)]
    assert made.ours.turns == [8, 8]


def test_one_picture_is_one_picture(match):
    made = match(None, Part("infer_batch_1", "infer", 1))
    _, found = play(made, 1)
    assert (made.ours.pictures, found["images_per_s"], found["milliseconds"], found["updates"]) == (1, 4, 250, 0)


# --- what is measured


def test_the_crops_are_those_that_the_first_layer_reads(device):
    given = problem.make(NETWORK, 6)
    assert set(given.views[:, 2]) == {0, 1}
    y = np.empty((6, NETWORK.crop, NETWORK.crop, 3), np.float32)
    colours = np.zeros((6, 3), np.float32)
    crop.forward(device, given.images, given.views, colours, given.mean, y, crop=NETWORK.crop)
    np.testing.assert_array_equal(given.crops(), y.transpose(0, 3, 1, 2))


def test_a_restart_forgets_every_update():
    ours = Ours(problem.make(NETWORK, BATCH), "train", "cpu")
    before, fresh = ours.loss(), ours.parameters.unload()
    ours.turn(2)
    assert ours.loss() != before
    ours.restart()
    assert (ours.loss(), ours.control.step) == (before, 0)
    assert not any(velocity.any() for velocity in ours.parameters.unload_velocities().values())
    assert all((ours.parameters.unload()[name] == tensor).all() for name, tensor in fresh.items())


@pytest.mark.slow
def test_the_operations_of_a_step_are_those_of_the_paper_s_network():
    """Three products a layer, but no gradient of the picture: 724,406,816 multiply-adds, 105,415,200 of conv1."""
    big = networks.build("alexnet")
    empty = {name: np.broadcast_to(np.float32(0), shape) for name, shape in big.parameters().items()}
    picture = np.zeros((1, big.stored, big.stored, 3), np.uint8)
    view, label = np.zeros((1, 3), np.int32), np.zeros(1, np.int32)
    given = problem.Problem(big, empty, picture, view, label, picture[0].astype(np.float32))
    assert Ours(given, "infer", "cpu").operations == 2 * 724_406_816
    assert Ours(given, "train", "cpu").operations == 2 * (3 * 724_406_816 - 105_415_200)


@pytest.mark.slow
def test_memory_is_measured_in_a_process_of_its_own():
    """What this process holds must not be counted, though Linux hands its mark down."""
    ballast = np.ones(400_000_000, np.uint8)
    peak = memory.measure(NETWORK, BATCH)
    del ballast
    assert 0 < peak.interpreter < peak.resident < 300_000_000
    assert 0 < peak.planned < peak.resident


def test_on_windows_which_has_no_resource_module_the_peak_is_left_out(monkeypatch):
    monkeypatch.setattr(memory.Path, "exists", lambda path: False)
    monkeypatch.setitem(sys.modules, "resource", None)
    assert memory._peak() is None
    named = {"peak_memory_bytes": None, "planned_memory_bytes": 5_000_000, "interpreter_memory_bytes": None}
    told = importlib.import_module("cualex.cli.benchmark")._memory
    assert told(named) == "Memory of a training step: not measured on this system. The plan needs 5.0 MB."
    assert told({**named, "peak_memory_bytes": 7_000_000}).startswith("Memory of a training step: 7.0 MB. The plan")


@pytest.mark.slow
def test_a_step_of_alexnet_at_batch_128_stays_below_its_bound():
    """1.9 GB resident, and within a tenth of what the plan says and the interpreter."""
    peak = memory.measure(networks.build("alexnet"), 128)
    expected = peak.planned + peak.interpreter
    assert peak.resident < 1.9e9
    assert abs(peak.resident - expected) < 0.1 * expected


@pytest.mark.slow
def test_memory_grows_with_what_is_planned():
    small, large = (memory.measure(NETWORK, batch) for batch in (1, 129))
    planned = large.planned - small.planned
    assert planned > 20_000_000
    assert large.resident - small.resident == pytest.approx(planned, rel=0.1)


# --- the second process


ECHO = "from cualex.benchmark.second_process import serve; serve(lambda **asked: print('noise') or asked)"


def test_what_a_library_prints_is_no_answer():
    done = subprocess.run(
        [sys.executable, "-c", ECHO], input='{"a": 1}\n{"a": [2]}\n', capture_output=True, text=True, check=True
    )
    assert done.stdout == '{"a": 1}\n{"a": [2]}\n'
    assert done.stderr.split() == ["noise", "noise"]


def test_the_second_process_ends_with_the_block():
    def interrupted():
        with Second("cualex.benchmark.memory") as process:
            assert process._process.poll() is None
            ended.append(process._process)
            raise KeyboardInterrupt

    ended = []
    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert ended[0].poll() is not None


@pytest.mark.slow
def test_an_error_of_the_second_process_keeps_its_kind():
    with Second("cualex.benchmark.memory") as process, pytest.raises(UsageError, match="no network is called 'x'"):
        process.ask(network="x", arguments={}, batch=1, device="cpu", precision=None)


def test_a_second_process_that_ends_early_is_one_line(capfd):
    with Second("cualex.benchmark.nowhere") as process, pytest.raises(CualexError) as caught:
        process.ask(batch=1)
    assert str(caught.value).startswith("cualex.benchmark.nowhere ended with code 1 before it answered;")
    assert "No module named cualex.benchmark.nowhere" in capfd.readouterr().err


# --- the command


def checked(document, torch):
    """See that a document is complete and every figure a positive number; its version is the command's to add."""
    assert set(document) - {"schema_version"} == {
        *PARTS,
        "peak_memory_bytes",
        "planned_memory_bytes",
        "interpreter_memory_bytes",
        "conditions",
    }
    for part in PARTS:
        for name in (*OURS, *TORCH, *WITHOUT_LRN):
            value = document[part][name]
            assert (value is not None and 0 < value < math.inf) if torch or name in OURS else value is None
        assert len(document[part]["rounds"]) == ROUNDS
        assert document[part]["batch_size"] == (1 if part == "infer_batch_1" else BATCH)
    assert document["peak_memory_bytes"] > document["planned_memory_bytes"] > 0
    conditions = document["conditions"]
    for name in ("processor", "cores", "numpy", "blas", "batch_size", "rounds", "network", "device", "measured"):
        assert conditions[name], name
    return conditions


@pytest.fixture
def run(monkeypatch):
    """Run the command with turns of one step."""
    monkeypatch.setattr(rounds, "benchmark", fast)
    options = ["--network", "cifar-relu", "--rounds", str(ROUNDS), "--batch-size", str(BATCH)]
    return lambda *more: CliRunner().invoke(cli.main, ["benchmark", *options, *more])


@pytest.mark.slow
def test_the_command_writes_json(run):
    result = run("--json")
    assert result.exit_code == 0, result.output
    conditions = checked(json.loads(result.stdout), torch=False)
    assert conditions["torch"] is None
    said = "cualex benchmark --network cifar-relu --batch-size 3 --rounds 2 --device auto"
    assert conditions["command"] == said
    assert result.stderr.count("round ") == len(PARTS) * ROUNDS


@pytest.mark.slow
def test_the_command_prints_a_table(run):
    lines = run().stdout.splitlines()
    assert lines[2].split() == ["batch", "size", "3", "3", "1"]
    assert any(line.startswith("fraction of the matmul rate") for line in lines)
    assert not any("PyTorch" in line or "ratio" in line for line in lines)
    assert any(line.startswith("Memory of a training step") for line in lines)


def test_without_pytorch_there_is_one_line(run, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    result = run("--against", "torch")
    assert (result.exit_code, result.stdout) == (1, "")
    said = "--against torch: PyTorch is not installed. Install it: pip install torch"
    assert result.stderr == f"Error: {said}\n"


def test_a_missing_gpu_is_said_before_anything_runs(run):
    result = run("--device", "cuda:0")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.endswith("--device cpu needs none.\n")


# --- against PyTorch


@pytest.fixture(scope="module")
def document():
    """Run all of it once against PyTorch, with a network without dropout."""
    pytest.importorskip("torch", reason="PyTorch is not installed: there is nothing to compare with")
    *each, result = fast(NETWORK, BATCH, ROUNDS, against="torch")
    assert isinstance(result, Result)
    assert [one.part.name for one in each] == [part for part in PARTS for _ in range(ROUNDS)]
    return result.document()


def test_the_document_is_complete_against_torch(document):
    conditions = checked(document, torch=True)["torch"]
    assert set(conditions) == {"version", "threads", "device", "allocator", "layouts"}
    assert conditions["threads"] == cores()
    assert set(conditions["layouts"]) == set(PARTS)
    for chosen in conditions["layouts"].values():
        assert set(chosen) == {"with LRN", "without LRN"}
        assert set(chosen.values()) <= {"NCHW", "channels_last"}


def rounding(batch):
    """Return the largest score, and the share by which rounding moves scores: up, and up and down again.

    Each sum of K terms adds errors that walk at random, u sqrt(K) of its result; their squares add.
    """
    given = problem.make(NETWORK, BATCH).first(batch)
    ours = Ours(given, "infer", "cpu")
    plan = Plan(ours.parameters, batch, "infer", outputs=("fc8",))
    plan.put_mean(given.mean)
    plan.put(given.images, given.views, given.labels)
    plan.run()
    up = down = 0
    for stage in NETWORK.stages():
        products = stage.towers * stage.layer.multiply_adds(stage.reading.shape)
        if products:
            weights = stage.towers * sum(math.prod(own.shape) for own in stage.parameters.values())
            up += products // (stage.towers * math.prod(stage.output))
            down += products // math.prod(stage.reading.shape) + batch * products // weights
    return float(np.abs(plan.output("fc8")).max()), UNIT * math.sqrt(up), UNIT * math.sqrt(up + down)


@pytest.mark.parametrize("part", PARTS)
def test_both_sides_have_the_same_loss_for_the_same_weights(document, part):
    """A loss is the difference of two scores, each rounded on either side: four times the rounding of one."""
    found = document[part]
    size, share, _ = rounding(found["batch_size"])
    assert abs(found["loss_before"] - math.log(NETWORK.classes)) > 0.1  # it says more than that all is even
    assert found["torch_loss_before"] == pytest.approx(found["loss_before"], rel=0, abs=4 * share * size)


def test_both_sides_learn_the_same_where_no_unit_is_dropped(document):
    """Each update adds the rounding of a step up and down."""
    found = document["train"]
    size, _, share = rounding(BATCH)
    tolerance = 4 * (1 + found["updates"]) * share * size
    assert found["updates"] == ROUNDS * 2  # one step of each turn warms up
    assert abs(found["loss_after"] - found["loss_before"]) > 100 * tolerance
    assert found["torch_loss_after"] == pytest.approx(found["loss_after"], rel=0, abs=tolerance)


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="this system does not list children in /proc")
def test_an_interrupt_ends_both_processes():
    pytest.importorskip("torch", reason="PyTorch is not installed: there is no second process")
    start = [sys.executable, "-c", "import cualex.cli; cualex.cli.main()", "benchmark", "--against", "torch"]
    with subprocess.Popen(start, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as first:
        children, deadline = [], time.monotonic() + 60
        while not children and time.monotonic() < deadline:
            listed = Path(f"/proc/{first.pid}/task/{first.pid}/children").read_text().split()
            children = [pid for pid in listed if "torch_side" in Path(f"/proc/{pid}/cmdline").read_text()]
            time.sleep(0.01)
        first.send_signal(signal.SIGINT)
        assert first.wait(60) == 130
        assert first.stderr.read().splitlines()[-1] == "Interrupted."
    assert len(children) == 1
    while Path(f"/proc/{children[0]}").exists():
        assert time.monotonic() < deadline, "PyTorch's process goes on"
        time.sleep(0.01)
