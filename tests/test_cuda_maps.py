"""The kernels over maps under every schedule of threads, in the checked build, and with faults planted in them."""

import re
from dataclasses import replace

import numpy as np
import pytest
from benches import Bench

from cualex import kernels
from cualex.cuda import CudaDevice

SCHEDULES = ["descending", 1, 2, 3, 4, 5]
LOUD = {"n": 5, "k": 2.0, "alpha": 1.0, "beta": 0.75}
WINDOW = {"size": 3, "stride": 2}
SHAPES = [(2, 2, 9, 11, 16), (1, 2, 8, 9, 17)]  # of maps: channels that go together, and that do not


def crop(bench, rng, shape):
    pictures = bench.put_input(rng.integers(0, 256, (3, 9, 11, 3)), np.uint8)
    views = bench.put_input([[0, 0, 0], [4, 1, 1], [2, 6, 1]], np.int32)
    colours = bench.put_input(rng.normal(0, 9, (3, 3)), np.float32)
    mean, y = bench.put(rng.uniform(0, 255, (9, 11, 3)), np.float32), bench.empty((3, 3, 3, 12))
    bench.engine.crop.forward(bench.device, pictures, views, colours, mean, y, crop=5)
    return [y]


def relu(bench, rng, shape):
    x, y, dx = bench.put(rng.normal(size=shape)), bench.empty(shape), bench.empty(shape)
    bench.engine.relu.forward(bench.device, x, y)
    bench.engine.relu.backward(bench.device, y, x, dx)
    bench.engine.exchange.add(bench.device, y, dx)
    return [y, dx]


def normalisation(bench, rng, shape):
    x, dy, y, dx = *(bench.put(each) for each in rng.normal(size=(2, *shape))), *two(bench, shape)
    bench.engine.lrn.forward(bench.device, x, y, None, **LOUD)
    bench.engine.lrn.backward(bench.device, x, None, dy, dx, **LOUD)
    return [y, dx]


def pooling(bench, rng, shape):
    x, dx = bench.put(rng.integers(-3, 4, shape)), bench.empty(shape)
    dy, y, choice = pooled(bench, rng, shape)
    bench.engine.maxpool.forward(bench.device, x, y, choice, **WINDOW)
    bench.engine.maxpool.backward(bench.device, x, choice, y, dy, dx, **WINDOW, relu=True)
    return [y, choice, dx]


def both(bench, rng, shape):
    x, dx = bench.put(rng.integers(-3, 4, shape)), bench.empty(shape)
    dy, y, choice = pooled(bench, rng, shape)
    bench.engine.lrn.forward_pooled(bench.device, x, y, choice, **LOUD, **WINDOW)
    bench.engine.lrn.backward_pooled(bench.device, x, choice, y, dy, dx, **LOUD, **WINDOW, relu=True)
    return [y, choice, dx]


def dropout(bench, rng, shape):
    x, y = bench.put(rng.normal(size=shape)), bench.empty(shape)
    place = {"keep": 0.5, "factor": 2.0, "layer": 5, "towers": 2, "first_tower": 0, "control": None}
    bench.engine.dropout.forward(bench.device, x, y, **place)
    bench.engine.dropout.infer(bench.device, y, x, factor=0.5)
    return [x, y]


def softmax(bench, rng, shape):
    scores, labels = rng.normal(size=(1, 5, 300)), bench.put_input([3, -1, 299, 0, 8], np.int32)
    x, y, dx = bench.put(scores), *two(bench, scores.shape)
    sums = bench.empty(4, np.float64)
    bench.engine.softmax.forward(bench.device, x, labels, y, dx, sums, control=None)
    return [y, dx, sums]


def update(bench, rng, shape):
    gradient, weight, velocity = (bench.put(each, np.float32) for each in rng.normal(size=(3, 300)))
    copy, module = bench.empty(300, np.uint16), bench.engine.update
    module.apply(bench.device, gradient, module.Momentum(weight, velocity, None, True, copy))
    return [weight, velocity, copy]


def two(bench, shape):
    return bench.empty(shape), bench.empty(shape)


def pooled(bench, rng, shape):
    out = (*shape[:2], (shape[2] - 3) // 2 + 1, (shape[3] - 3) // 2 + 1, shape[4])
    return bench.put(rng.normal(size=out)), bench.empty(out), bench.empty(out, np.uint8)


@pytest.fixture(autouse=True)
def cut_up(monkeypatch):
    """Let blocks be small, and walk down several rows of windows, in maps as small as these too."""
    for name, value in {"BLOCKS": 4, "TILE": 3000}.items():
        monkeypatch.setattr(f"cualex.engine.cuda.lrn.{name}", value)


WORK = [crop, relu, normalisation, pooling, both, dropout, softmax, update]
every_work = pytest.mark.parametrize("work", WORK, ids=lambda work: work.__name__)
every_precision = pytest.mark.parametrize("precision", ["fp32", "bf16"])


def bits(runtime, precision, work):
    """Return the bytes of all that some work gives, in all shapes."""
    bench = Bench(CudaDevice("cuda:0", runtime, 0, precision))
    bench.begin(rate=0.3, seed=7)
    rng, found = np.random.default_rng(2012), []
    for shape in SHAPES:
        arrays = work(bench, rng, shape)
        runtime.synchronize()
        found += [array.tobytes() for array in arrays]
    return found


@every_precision
@every_work
def test_every_schedule_gives_the_same_bits(emulated, work, precision):
    first = bits(emulated(), precision, work)
    for schedule in SCHEDULES:
        assert bits(emulated(schedule=schedule), precision, work) == first


@every_work
@pytest.mark.parametrize("precision", ["fp32", pytest.param("bf16", marks=pytest.mark.slow)])
def test_the_checked_build_finds_nothing(emulated, work, precision):
    assert bits(emulated(checked=True), precision, work) == bits(emulated(), precision, work)


@every_precision
@pytest.mark.slow
@pytest.mark.parametrize(
    "work", [relu, normalisation, pooling, both, dropout], ids=lambda work: work.__name__
)
def test_maps_are_written_in_whole_sectors_and_few_banks_are_asked_twice(emulated, work, precision):
    """Where channels go together: the ends of rows and pixels may cost a little more than the ideal."""
    runtime = emulated(lint=True)
    bench = Bench(CudaDevice("cuda:0", runtime, 0, precision))
    bench.begin()
    work(bench, np.random.default_rng(2012), (1, 2, 19, 23, 48))
    runtime.synchronize()
    assert runtime.requests
    for place, found in runtime.requests.items():
        allowed = {("global", "write"): 1.15, ("shared", "write"): 1.15, ("shared", "read"): 2}.get(
            place[1:], np.inf
        )
        assert found.cost <= allowed * found.ideal, (place, found)


@pytest.mark.emulator
def test_all_kernels_over_maps_are_among_them(emulated):
    ran = set()

    class Noted(emulated):
        def launch(self, stream, launch):
            ran.add(launch.kernel.name)
            super().launch(stream, launch)

    for work in WORK:
        bits(Noted(), "fp32", work)
    tests = r"tests/test_(crop|cuda_update|dropout|exchange|lrn|maxpool|relu|softmax)\.py"
    assert ran == {name for name in kernels.names() if re.search(tests, kernels.find(name).text)}


def planted(runtime, fault, into):
    """Return a class of runtimes whose kernels have a fault: `fault` in place of `into`."""

    class Planted(runtime):
        def _program(self, launch):
            program = super()._program(launch)
            if into in program.text:
                self.found = True
            return replace(program, text=program.text.replace(into, fault))

    return Planted


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


def first_are_fast(faults, count=3):
    """Leave the first faults to the fast tests: each is a g++ build or two."""
    return [
        pytest.param(*fault, id=name, marks=[pytest.mark.slow] if number >= count else [])
        for number, (name, fault) in enumerate(faults.items())
    ]


def see_fault(emulated, into, fault, work):
    """By other bits, or by an exception: of the emulator, or of its checked build."""
    from emulator import EmulationError

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


@pytest.mark.emulator
@pytest.mark.parametrize(("into", "fault", "work"), first_are_fast(FAULTS))
def test_planted_faults_are_caught(emulated, into, fault, work):
    see_fault(emulated, into, fault, work)
