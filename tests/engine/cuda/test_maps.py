"""The kernels over maps under every schedule of threads, in the checked build, and with faults planted in them."""

import itertools
import re

import numpy as np
import pytest

from cualex import kernels
from cualex.devices.cuda import CudaDevice
from tests.support.benches import Bench
from tests.support.planted_kernels import nowhere, planted
from tests.support.work_on_maps import (
    FIRST,
    FURTHER,
    SCHEDULES,
    activation,
    average,
    beyond,
    bits,
    both,
    crop,
    dropout,
    every_precision,
    grey,
    layout,
    normalisation,
    pooling,
    relu,
    softmax,
    weighted,
    within,
)

FEW = 3  # of the schedules, for the work that is not the paper's


@pytest.fixture(autouse=True)
def cut_up(monkeypatch):
    """Let blocks be small, and walk down several rows of windows, in maps as small as these too."""
    for name, value in {"BLOCKS": 4, "TILE": 3000}.items():
        monkeypatch.setattr(f"cualex.engine.cuda.lrn.{name}", value)


every_work = pytest.mark.parametrize("work", FIRST + FURTHER, ids=lambda work: work.__name__)


@every_precision
@every_work
def test_every_schedule_gives_the_same_bits(emulated, work, precision):
    first = bits(emulated(), precision, work)
    for schedule in SCHEDULES if work in FIRST else SCHEDULES[:FEW]:
        assert bits(emulated(schedule=schedule), precision, work) == first


@pytest.mark.slow
@pytest.mark.parametrize(
    ("work", "precision"),
    [
        pytest.param(work, precision, marks=() if work in FIRST and precision == "fp32" else pytest.mark.slow)
        for work, precision in itertools.product(FIRST + FURTHER, ("fp32", "bf16"))
    ],
    ids=lambda given: getattr(given, "__name__", given),
)
def test_the_checked_build_finds_nothing(emulated, work, precision):
    assert bits(emulated(checked=True), precision, work) == bits(emulated(), precision, work)


@every_precision
@pytest.mark.slow
@pytest.mark.parametrize("work", [relu, normalisation, pooling, both, dropout], ids=lambda work: work.__name__)
def test_maps_are_written_in_whole_sectors_and_few_banks_are_asked_twice(emulated, work, precision):
    """Where channels go together: the ends of rows and pixels may cost a little more than the ideal."""
    runtime = emulated(lint=True)
    bench = Bench(CudaDevice("cuda:0", runtime, 0, precision))
    bench.begin()
    work(bench, np.random.default_rng(2012), (1, 2, 19, 23, 48))
    runtime.synchronize()
    assert runtime.requests
    for place, found in runtime.requests.items():
        allowed = {("global", "write"): 1.15, ("shared", "write"): 1.15, ("shared", "read"): 2}.get(place[1:], np.inf)
        assert found.cost <= allowed * found.ideal, (place, found)


@pytest.mark.emulator
def test_all_kernels_over_maps_are_among_them(emulated):
    ran = set()

    class Noted(emulated):
        def launch(self, stream, launch):
            ran.add(launch.kernel.name)
            super().launch(stream, launch)

    for work in FIRST + FURTHER:
        bits(Noted(), "fp32", work)
    first = "crop|update|dropout|exchange|lrn|maxpool|relu|softmax"
    tests = rf"tests/engine/(cuda/)?test_({first}|activation|averagepool|grey|layout|spatial_lrn)\.py"
    assert ran == {name for name in kernels.names() if re.search(tests, kernels.find(name).text)}


FAULTS = {  # what is replaced, by what, and where it shows
    "no barrier before the sums of a gradient": ("    __syncthreads();\n#pragma", "#pragma", both),
    "no barrier after the rows of a ring": (
        "ready = top + SIZE;\n        __syncthreads();",
        "ready = top + SIZE;",
        both,
    ),
    "a row of the ring that is overwritten too early": (
        "        __syncthreads();  // before the next",
        "//",
        both,
    ),
    "no barrier before the memory of a sum is used again": (
        "    __syncthreads();  // before the memory",
        "//",
        softmax,
    ),
    "no barrier in a sum": (
        "        __syncthreads();\n        if (threadIdx.x < half)",
        "if (threadIdx.x < half)",
        softmax,
    ),
    "a window that reaches too far": ("<= WINDOW / 2", "<= WINDOW / 2 + 1", normalisation),
    "a window that ends too soon": (">= -(WINDOW / 2)", "> -(WINDOW / 2)", normalisation),
    "a window beyond the channels": ("if (channel + offset >= CHANNELS) break;", "", normalisation),
    "a tie to the last maximum": ("values[i] > best[i]", "values[i] >= best[i]", pooling),
    "a window left out on the way back": ("up >= 0", "up > 0", pooling),
    "the other slot": ("control->slot", "0", crop),
}


FURTHER_FAULTS = {
    "a column of the row below": ("item.column + across >= COLUMNS", "false", within),
    "a row of the next picture": ("item.row + down >= ROWS", "false", within),
    "a square that ends too soon": ("across <= WINDOW / 2", "across < WINDOW / 2", within),
    "a mean over what is beyond the end": ("(float)(rows * columns)", "(float)(SIZE * SIZE)", average),
    "a window that reaches too far": ("(count - 1) * STRIDE + SIZE > length && left < SIZE", "false", beyond),
    "a row that is not in the ring": ("row >= ROWS || ", "", beyond),
    "another function": ("return tanhf(x)", "return x", activation),
    "a slope of the input": ("return -expm1f(-kept)", "return 1", activation),
    "colours exchanged": ("0.587f", "0.114f", grey),
    "a pixel of the next image": ("pixel / PIXELS * CHANNELS", "pixel / CHANNELS * CHANNELS", layout),
    "a tower left out of the colours": ("tower < TOWERS", "tower < TOWERS - 1", grey),
    "a class weight left out of the gradient": ("PARTS / weight", "PARTS", weighted),
    "a class weight left out of the loss": ("weight * (log", "(log", weighted),
    "the weight of another class": ("class_weights[label]", "class_weights[blockIdx.x]", weighted),
    "the weight of a label that is not counted": ("WEIGHTED && label >= 0", "WEIGHTED", weighted),
}


def first_are_fast(faults, count=3):
    """Leave the first faults to the fast tests: each is a g++ build or two."""
    return [
        pytest.param(*fault, id=name, marks=[pytest.mark.slow] if number >= count else [])
        for number, (name, fault) in enumerate(faults.items())
    ]


def test_every_planted_fault_has_its_place_in_the_sources():
    """Else it is planted nowhere, and only the slow tests would say so."""
    assert nowhere(into for into, *_ in (*FAULTS.values(), *FURTHER_FAULTS.values())) == []


@pytest.mark.slow
@pytest.mark.emulator
@pytest.mark.parametrize(("into", "fault", "work"), first_are_fast(FAULTS) + first_are_fast(FURTHER_FAULTS))
def test_planted_faults_are_caught(emulated, into, fault, work):
    """By other bits, or by an exception: of the emulator, or of its checked build."""
    from tests.emulator import EmulationError

    right, runtime = bits(emulated(), "fp32", work), planted(emulated, fault, into)
    made = runtime()
    try:
        wrong = bits(made, "fp32", work) != right
    except EmulationError:
        wrong = True
    assert made.found
    if not wrong:
        with pytest.raises(EmulationError):
            bits(runtime(checked=True), "fp32", work)
