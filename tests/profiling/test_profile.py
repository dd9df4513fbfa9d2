"""`cualex profile`: its sums on a clock of made-up times, its timeline, and what the command says."""

import functools
import json
import math
import re
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from cualex.benchmark import problem, rounds
from cualex.devices import placement
from cualex.devices.clocks import HostClock
from cualex.devices.control import Control
from cualex.devices.host import HostDevice
from cualex.errors import CualexError
from cualex.plan import Plan
from cualex.plan.step import Step
from cualex.profiling import data_wait, roofline, table, trace
from cualex.profiling import passes as measuring
from cualex.profiling import profile as profiles
from cualex.profiling.passes import Pass
from cualex.profiling.roofline import Roofline
from cualex.profiling.table import Profile, summarise
from tests.support import small_alexnet

BATCH = 3
ROOF = Roofline(16e9, 2e9, "by hand")
fast = functools.partial(profiles.profile, side=32, copied=2**12)


# --- sums, on a clock that moves when a step is told to take time


class Time:
    """Be the time of all devices; `gap` passes between two steps, where none of them sees it."""

    def __init__(self, gap=0.0):
        self.now, self.gap = 100.0, gap

    def clock(self):
        return FakeClock(self)


class FakeClock:
    def __init__(self, time):
        self.time, self.after = time, None

    def start(self, after=None):
        self.time.now += self.time.gap
        self.after, self.began = after, self.time.now

    def stop(self):
        self.seconds = self.time.now - self.began


def step(name, kind="forward", place=0, operations=0, **more):
    return Step(name, kind, (name,), (place,), place, "fake", f"{name}.{kind}", operations=operations, **more)


class FakePlan:
    """Take `seconds` for each step, and `real` for all of them where no one looks at each."""

    def __init__(self, steps, seconds, real, time):
        self.steps, self.time, self.control = steps, time, Control()
        self.parameters = SimpleNamespace(devices=[time, time], arrays={}, copies={})
        self.real, self.clocks = real, []
        for each, own in zip(steps, seconds, strict=True):
            each.run = functools.partial(self.take, own)

    def take(self, seconds):
        self.time.now += seconds

    def run(self, each=None):
        if each is None:
            self.take(self.real)
        else:
            for one in self.steps:
                each(one)


STEPS = [step("conv1", operations=8_000_000_000), step("link conv3", "link", 1), step("fc8", "backward", 1)]


def profiled(steps, passes, parameters=None, **conditions):
    given = {"batch_size": 4, "device": "fake,fake", "mode": "train", "network": {"name": "x"}} | conditions
    parameters = parameters or SimpleNamespace(arrays={}, copies={})
    return summarise(steps, passes, parameters, {"fake": ROOF}, given)


def test_a_pass_times_every_step_and_then_the_real_step():
    plan = FakePlan(STEPS, [0.5, 0.25, 2.0], 1.5, Time(gap=0.125))
    made = measuring.measure(plan)
    assert made == Pass((0.0, 0.625, 1.0), (0.5, 0.25, 2.0), serial=3.0, real=1.625)
    assert plan.control.step == 2  # other units are dropped in each


def test_each_clock_starts_after_the_one_before():
    """A device that queues its work must not start a step while another device is still at the one before."""
    clocks, time = [], Time()
    plan = FakePlan(STEPS, [1, 2, 3], 4, time)
    time.clock = lambda: clocks.append(FakeClock(time)) or clocks[-1]
    measuring.measure(plan)
    first, second, third, *real = clocks
    assert (first.after, second.after, third.after) == (None, first, second)
    assert [clock.after for clock in real] == [third, third]


def test_the_rows_add_up_to_the_serial_step():
    made = measuring.measure(FakePlan(STEPS, [0.5, 0.25, 2.0], 2.5, Time()))
    found = profiled(STEPS, [made])
    assert [row.seconds for row in found.rows] == [0.5, 0.25, 2.0]
    assert (found.sum, found.serial, found.rest, found.real, found.gained) == (2.75, 2.75, 0, 2.5, 0.25)
    assert sum(row.share for row in found.rows) == pytest.approx(1)
    assert found.attributed


def test_medians_that_do_not_add_up_are_said_apart():
    """A neighbour that disturbs one step in each pass, another one each time, is in the passes and in no median."""
    times = [(1.0, 1.0, 9.0), (1.0, 9.0, 1.0), (9.0, 1.0, 1.0)]
    passes = [Pass((0, 1, 2), each, sum(each) + 0.125, real=12.0) for each in times]
    found = profiled(STEPS, passes)
    assert (found.sum, found.rest, found.spread, found.serial, found.gained) == (3, 0.125, 8, 11.125, -0.875)
    assert found.attributed
    assert found.disturbed
    assert found.example == passes[0]


@pytest.mark.parametrize(("gap", "attributed"), [(0.04, True), (0.05, False)])
def test_more_than_three_percent_between_the_steps_is_noticed(gap, attributed):
    found = profiled(STEPS, [measuring.measure(FakePlan(STEPS, [0.5, 0.25, 2.0], 2.5, Time(gap)))])
    assert found.rest == pytest.approx(2 * gap)
    assert found.attributed is attributed
    assert found.spread == pytest.approx(0)


def test_a_step_that_is_left_out_is_noticed():
    """A table with one step less does not add up; and it cannot be made from a pass over other steps."""
    passes = [measuring.measure(FakePlan(STEPS, [0.5, 0.25, 2.0], 2.5, Time()))]
    for left_out in range(3):
        whole = profiled(STEPS, passes)
        rows = whole.rows[:left_out] + whole.rows[left_out + 1 :]
        short = replace(whole, rows=rows)
        assert short.rest == whole.rows[left_out].seconds
        assert not short.attributed
        with pytest.raises(ValueError, match="longer"):
            profiled(STEPS[:left_out] + STEPS[left_out + 1 :], passes)


def test_rates_and_the_share_of_the_roofline_are_those_of_the_median():
    """8e9 operations at 16e9 a second take 0.5 s, 3e8 bytes at 2e9 0.15 s; done in 2 s that is a quarter."""
    reads = {"x": np.zeros(50_000_000, np.float32)}
    product = step("conv1", operations=8_000_000_000, reads=reads, writes={"y": np.zeros(100_000_000, np.uint8)})
    copy = step("norm1", writes={"y": np.zeros(100_000_000, np.uint8)})
    passes = [Pass((0, 0), seconds, sum(seconds), 9) for seconds in ((1, 0.1), (2, 0.2), (7, 0.5))]
    conv, norm = profiled([product, copy], passes).rows
    assert (conv.bytes, conv.seconds, conv.p95, conv.bound) == (300_000_000, 2, 7, "operations")
    assert (conv.roofline, conv.share) == (0.25, pytest.approx(2 / 2.2))
    assert (norm.bytes, norm.roofline, norm.bound) == (100_000_000, pytest.approx(0.05 / 0.2), "bytes")
    document = conv.document()
    assert (document["milliseconds"], document["p95_milliseconds"]) == (2000, 7000)
    assert (document["operations_per_s"], document["bytes_per_s"]) == (4e9, 1.5e8)


@pytest.mark.parametrize(("count", "nearest"), [(1, 1), (3, 3), (19, 19), (20, 19), (21, 20), (40, 38)])
def test_at_most_five_percent_are_above_p95(count, nearest):
    times = list(range(1, count + 1))
    assert table.p95(times[::-1]) == nearest
    assert sum(time > nearest for time in times) <= 0.05 * count


def test_the_host_s_clock_counts_from_start_to_stop(monkeypatch):
    clock, ticks = HostDevice(workers=1).clock(), iter([5.0, 7.5])
    monkeypatch.setattr("time.perf_counter", lambda: next(ticks))
    clock.start(after=HostClock())
    clock.stop()
    assert (clock.began, clock.seconds) == (5.0, 2.5)


# --- bytes and roofs


def test_bytes_are_those_of_maps_weights_and_updates():
    """By hand, for fc8 of 256 inputs and 10 outputs, and conv1 of 3 filters a tower.

    An update reads and writes weights and velocities: four times their bytes, three where the step has read them.
    """
    plan = small_alexnet.plan(small_alexnet.parameters(net=small_alexnet.network(width=1 / 16)))
    moved = {(each.name, each.function): roofline.moved(each, plan.parameters) for each in plan.steps}
    inputs, outputs, batch = 256, 10, small_alexnet.BATCH
    weight, bias = outputs * inputs, outputs
    forward = batch * inputs + weight + bias + batch * outputs
    assert moved["fc8", "dense.forward"] == 4 * forward
    maps = batch * (2 * inputs + outputs)
    assert moved["fc8", "dense.backward"] == 4 * (maps + weight + 3 * weight + 4 * bias)
    picture, dy, parameters = batch * 67 * 67 * 3, 2 * batch * 15 * 15 * 3, 2 * 3 * (11 * 11 * 3 + 1)
    assert moved["conv1+relu1", "conv.weight_gradient"] == 4 * (picture + dy + 4 * parameters)


def test_a_copy_of_the_weights_in_fewer_bits_is_written_too():
    parameters = SimpleNamespace(arrays={("fc8.weight", 0): SimpleNamespace(nbytes=400)}, copies={})
    update = step("fc8", "backward", sinks={"sink": "weight"})
    assert roofline.moved(update, parameters) == 1600
    parameters.copies = {("fc8.weight", 0): SimpleNamespace(nbytes=200)}
    assert roofline.moved(update, parameters) == 1800


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_the_roof_counts_what_is_read_and_written(workers, monkeypatch):
    copied, device, copyto = [], HostDevice(workers=workers), np.copyto
    device.clock = lambda: SimpleNamespace(start=lambda: None, stop=lambda: None, seconds=0.5)
    monkeypatch.setattr(np, "copyto", lambda y, x: copied.append(y.size) or copyto(y, x))
    found = roofline.measure(device, side=16, copied=4000)
    assert found.bytes_per_s == 2 * 4000 / 0.5
    assert sum(copied) == 1000 * (1 + roofline.TIMES)
    assert found.operations_per_s > 0
    assert f"on {workers} worker" in found.measured


def test_a_roof_is_the_most_that_was_reached():
    assert ROOF.or_better(Roofline(8e9, 3e9, "again")) == Roofline(16e9, 3e9, "by hand")


# --- a real plan


@pytest.fixture(scope="module", params=["cpu", "cpu,cpu"])
def measured(request):
    """Profile a small network; return the profile and the passes that came before."""
    given = problem.make(small_alexnet.network(), BATCH)
    *passes, found = fast(given, "train", request.param, 3)
    assert isinstance(found, Profile)
    assert len(passes) == 3
    return found


@pytest.mark.slow
def test_there_is_a_row_for_every_step(measured):
    device = measured.conditions["device"]
    plan = Plan(small_alexnet.parameters(device), BATCH)
    assert [(row.name, row.place) for row in measured.rows] == [(each.name, each.place) for each in plan.steps]
    assert sum(row.operations for row in measured.rows) == sum(each.operations for each in plan.steps)
    assert all(0 < row.seconds <= row.p95 for row in measured.rows)
    assert all(0 < row.roofline < math.inf for row in measured.rows)
    towers = {row.towers for row in measured.rows}
    assert towers == ({(1, 2), (1,)} if device == "cpu" else {(1,), (2,)})


def test_backward_rows_name_the_gradients_that_they_give(measured):
    given = {(row.name, row.gives) for row in measured.rows if row.direction == "backward"}
    assert {("conv2+relu2", ("dx",)), ("conv2+relu2", ("dw",)), ("fc8", ("dx", "dw"))} <= given
    assert ("conv1+relu1", ("dw",)) in given
    assert not any(row.gives for row in measured.rows if row.direction == "forward")


def test_links_are_rows_and_as_large_as_the_ledger_says(measured):
    links = [row for row in measured.rows if row.kind == "link"]
    if measured.conditions["device"] == "cpu":
        assert links == []
        return
    plan = small_alexnet.plan(small_alexnet.parameters("cpu,cpu"), batch=BATCH)
    plan.run()
    crossed = {}
    for row in links:
        crossed[row.layers[0]] = crossed.get(row.layers[0], 0) + row.bytes // 2
    assert crossed == {name: 4 * floats for name, floats in plan.parameters.ledger.floats.items()}
    assert [row.direction for row in links] == ["forward"] * 7 + ["backward"] * 7


def test_the_timeline_has_a_row_a_place_and_an_event_a_step(measured, tmp_path):
    trace.write(measured, tmp_path / "step.json")
    document = json.loads((tmp_path / "step.json").read_text())
    named = [event for event in document["traceEvents"] if event["ph"] == "M"]
    events = [event for event in document["traceEvents"] if event["ph"] == "X"]
    assert len(named) + len(events) == len(document["traceEvents"])
    rows = {event["tid"]: event["args"]["name"] for event in named if event["name"] == "thread_name"}
    apart = {0: "cpu, tower 1", 1: "cpu, tower 2"}
    assert rows == ({0: "cpu, towers 1 and 2"} if measured.conditions["device"] == "cpu" else apart)
    events.sort(key=lambda event: event["ts"])
    assert [event["tid"] for event in events] == [row.place for row in measured.rows]
    assert [event["name"] for event in events] == [f"{row.name} {row.direction}" for row in measured.rows]
    end = 0.0
    for event in events:
        assert event["ts"] >= end - 1e-3  # a thousandth of a microsecond: what float arithmetic leaves
        end = event["ts"] + event["dur"]
    assert end == pytest.approx(1e6 * measured.example.serial)


def test_inference_has_no_row_backward():
    *_, found = fast(problem.make(small_alexnet.network(), BATCH), "infer", "cpu", 2)
    assert {row.direction for row in found.rows} == {"forward"}
    assert found.conditions["mode"] == "infer"


@pytest.mark.slow
def test_the_plan_of_the_cuda_engine_is_profiled_alike(emulated, monkeypatch):
    """In the emulator, whose clocks tell its own time: as many operations, a row a step, links that lie in the sum."""
    small_alexnet.enough("cuda:0,cuda:1", emulated())
    monkeypatch.setattr(placement, "CupyRuntime", emulated)
    given = problem.make(small_alexnet.network(width=1 / 16), 2)
    *_, ours = fast(given, "train", "cpu,cpu", 1)
    *passes, found = fast(given, "train", "cuda:0,cuda:1", 1, precision="fp32")
    assert [row.operations for row in found.rows] == [row.operations for row in ours.rows]
    assert [(row.name, row.direction, row.place) for row in found.rows] == [
        (row.name, row.direction, row.place) for row in ours.rows
    ]
    assert [row.device for row in found.rows[:2]] == ["cuda:0", "cuda:1"]
    assert set(found.rooflines) == {"cuda:0", "cuda:1"}
    emulator = emulated().name == "emulator"
    roof = "a fp32 matmul of 32 x 32 with our own kernel" if emulator else "(by cuBLAS|peak of the hardware)"
    assert re.search(roof, found.rooflines["cuda:1"].measured)
    links = [[row.bytes for row in made.rows if row.kind == "link"] for made in (found, ours)]
    assert links[0] == links[1]
    data = next(row for row in found.rows if row.name == "data")
    stored, crop = given.network.stored, given.network.crop
    side = 4 * math.ceil(crop / 4)  # the picture in blocks of the first layer's stride
    inputs, numbers = 2 * stored * stored * 3, 2 * 3 * 4 + 2 * 3 * 4
    assert data.bytes == inputs + numbers + 4 * stored * stored * 3 + 4 * 2 * side * side * 3
    assert 0 <= found.rest < found.serial
    assert len(passes) == 1


def test_beside_a_gpu_pytorch_computes_there_in_the_same_precision(emulated, monkeypatch):
    asked = []

    class Noted:
        def ask(self, **question):
            asked.append(question)
            raise CualexError("far enough")

        def __exit__(self, *exception):
            pass

    monkeypatch.setattr(placement, "CupyRuntime", emulated)
    monkeypatch.setattr(rounds, "open_torch", lambda tuned: Noted())
    with pytest.raises(CualexError, match="far enough"):
        next(
            fast(
                problem.make(small_alexnet.network(width=1 / 16), 2), device="cuda:0", precision="bf16", against="torch"
            )
        )
    assert (asked[0]["do"], asked[0]["device"], asked[0]["precision"]) == ("open", "cuda", "bf16")


class FakePack:
    """Hold as many pictures as it is asked for, all alike."""

    def __init__(self, size):
        self.size, self.labels = size, np.zeros(20, np.int32)
        self.mean = np.full((size, size, 3), 7, np.float32)

    def __len__(self):
        return len(self.labels)

    def read(self, chosen, out):
        out[...] = 9


def test_waiting_is_measured_on_the_way_that_training_takes():
    plan = small_alexnet.plan(small_alexnet.parameters(net=small_alexnet.network(width=1 / 16)), batch=BATCH)
    found = data_wait.measure(plan, FakePack(plan.parameters.network.stored), "pack", 4)
    assert (found.steps, plan.control.step) == (4, 5)  # one step more waits for the first batch
    assert 0 < found.handed < found.seconds
    assert 0 <= found.waited < found.seconds
    assert plan.result.count == BATCH
    document = data_wait.Waiting("pack", 4, 2.0, 0.5, 0.1).document(images_per_s=10.0)
    assert document == {
        "data": "pack",
        "steps": 4,
        "step_milliseconds": 500,
        "waited_milliseconds": 125,
        "handed_in_milliseconds": 25,
        "share_waited": 0.25,
        "rates_of_a_core": [],
    }
