"""The kernels of activations, averages, grey pictures, normalisation within a channel and windows beyond the end.

As tests/test_cuda_maps.py has it: under schedules of threads, in the checked build, and with faults planted in them.
"""

import re

import numpy as np
import pytest
import reference
from test_cuda_maps import LOUD, bits, cut_up, first_are_fast, see_fault  # noqa: F401 (cut_up is a fixture)

from cualex import kernels

SCHEDULES = ["descending", 1, 2]
BEYOND = {"size": 4, "stride": 3}  # the last windows of the shapes there reach beyond the end


def activation(bench, rng, shape):
    x, found = bench.put(rng.normal(0, 3, shape)), []
    for function in ("tanh", "sigmoid", "softplus", "linear"):
        y, dx = bench.empty(shape), bench.empty(shape)
        bench.engine.activation.forward(bench.device, x, y, function=function)
        bench.engine.activation.backward(bench.device, y, x, dx, function=function)
        found += [y, dx]
    return found


def grey(bench, rng, shape):
    y = bench.empty((*shape[:4], 1))
    bench.engine.grey.forward(bench.device, bench.put(rng.normal(size=(*shape[1:4], 3))), y)
    return [y]


def out(shape):
    return (
        *shape[:2],
        *(reference.places(length, **BEYOND, round_up=True) for length in shape[2:4]),
        shape[4],
    )


def average(bench, rng, shape):
    x, dy = bench.put(rng.normal(size=shape)), bench.put(rng.normal(size=out(shape)))
    y, dx = bench.empty(dy.shape), bench.empty(shape)
    bench.engine.averagepool.forward(bench.device, x, y, **BEYOND)
    bench.engine.averagepool.backward(bench.device, dy, dx, **BEYOND)
    return [y, dx]


def beyond(bench, rng, shape):
    """Pool, alone and with the normalisation."""
    x, dy = bench.put(rng.integers(-3, 4, shape)), bench.put(rng.normal(size=out(shape)))
    found = [bench.empty(dy.shape), bench.empty(dy.shape, np.uint8), bench.empty(shape)]
    y, choice, dx = found
    also = [bench.empty(dy.shape), bench.empty(dy.shape, np.uint8), bench.empty(shape)]
    bench.engine.maxpool.forward(bench.device, x, y, choice, **BEYOND)
    bench.engine.maxpool.backward(bench.device, x, choice, y, dy, dx, **BEYOND, relu=True)
    y, choice, dx = also
    bench.engine.lrn.forward_pooled(bench.device, x, y, choice, **LOUD, **BEYOND)
    bench.engine.lrn.backward_pooled(bench.device, x, choice, y, dy, dx, **LOUD, **BEYOND, relu=True)
    return found + also


def within(bench, rng, shape):
    x, dy, y, dx = (
        *(bench.put(each) for each in rng.normal(size=(2, *shape))),
        bench.empty(shape),
        bench.empty(shape),
    )
    bench.engine.spatial_lrn.forward(bench.device, x, y, None, **LOUD)
    bench.engine.spatial_lrn.backward(bench.device, x, None, dy, dx, **LOUD, relu=True)
    return [y, dx]


WORK = [activation, grey, average, beyond, within]
every_work = pytest.mark.parametrize("work", WORK, ids=lambda work: work.__name__)
every_precision = pytest.mark.parametrize("precision", ["fp32", "bf16"])


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


@pytest.mark.emulator
def test_all_of_these_kernels_are_among_them(emulated):
    ran = set()

    class Noted(emulated):
        def launch(self, stream, launch):
            ran.add(launch.kernel.name)
            super().launch(stream, launch)

    for work in WORK:
        bits(Noted(), "fp32", work)
    tests = r"tests/test_(activation|averagepool|grey|spatial_lrn)\.py"
    assert ran >= {name for name in kernels.names() if re.search(tests, kernels.find(name).text)}


FAULTS = {  # what is replaced, by what, and where it shows
    "a column of the row below": ("own.column + across >= COLUMNS", "false", within),
    "a row of the next picture": ("own.row + down >= ROWS", "false", within),
    "a square that ends too soon": ("across <= WINDOW / 2", "across < WINDOW / 2", within),
    "a mean over what is beyond the end": ("(float)(rows * columns)", "(float)(SIZE * SIZE)", average),
    "a window that reaches too far": ("(count - 1) * STRIDE + SIZE > length && left < SIZE", "false", beyond),
    "a row that is not in the ring": ("row >= ROWS || ", "", beyond),
    "another function": ("return tanhf(x)", "return x", activation),
    "a slope of the input": ("return -expm1f(-y)", "return 1", activation),
    "colours exchanged": ("0.587f", "0.114f", grey),
}


@pytest.mark.emulator
@pytest.mark.parametrize(("into", "fault", "work"), first_are_fast(FAULTS))
def test_planted_faults_are_caught(emulated, into, fault, work):
    see_fault(emulated, into, fault, work)
