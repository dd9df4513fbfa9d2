"""Grey pictures: the formula and its gradient, the bits of both engines, and no gradient below in training."""

import numpy as np
from numpy.testing import assert_allclose, assert_array_equal

from cualex import networks
from cualex.devices.cuda import CudaDevice
from cualex.weights.parameters import Parameters
from tests.support import small_alexnet
from tests.support.benches import Bench
from tests.support.reference import gradient, grey


def run(bench, x, towers=1):
    y = bench.empty((towers, *x.shape[:3], 1))
    bench.engine.grey.forward(bench.device, bench.put(x), y)
    return bench.get(y)


def test_agrees_with_the_formula(bench, rng):
    x = bench.rounded(rng.integers(0, 256, (3, 5, 7, 3)))
    found = run(bench, x, towers=2)
    wanted = grey(x.transpose(0, 3, 1, 2)).transpose(0, 2, 3, 1)
    assert_allclose(found[0], wanted, rtol=6 * bench.sums + bench.unit)
    assert_array_equal(found[0], found[1])


def test_the_bits_are_those_of_the_host(device, emulated, rng):
    x = rng.normal(0, 100, (3, 5, 7, 3))
    found = [run(bench, x) for bench in (Bench(device), Bench(CudaDevice("cuda:0", emulated(), 0, "tf32")))]
    assert_array_equal(*found)


def back(bench, dy):
    dx = bench.empty((*dy.shape[1:4], 3))
    bench.engine.grey.backward(bench.device, bench.put(dy), dx)
    return bench.get(dx)


def test_the_gradient_of_the_colours_is_that_of_the_formula(bench, rng):
    """Of two towers, which both read the colours: their gradients are added."""
    dy = bench.rounded(rng.normal(size=(2, 3, 5, 7, 1)))
    expected = gradient(grey, np.zeros((3, 3, 5, 7)), dy.sum(0).transpose(0, 3, 1, 2), step=1)
    magnitude = gradient(grey, np.zeros((3, 3, 5, 7)), np.abs(dy).sum(0).transpose(0, 3, 1, 2), step=1)
    off = np.abs(back(bench, dy) - expected.transpose(0, 2, 3, 1))
    assert (off <= 3 * max(bench.unit, bench.sums) * magnitude.transpose(0, 2, 3, 1)).all()


def test_the_bits_of_the_gradient_are_those_of_the_host(device, emulated, rng):
    dy = rng.normal(0, 100, (2, 3, 5, 7, 1))
    found = [back(bench, dy) for bench in (Bench(device), Bench(CudaDevice("cuda:0", emulated(), 0, "tf32")))]
    assert_array_equal(*found)


def test_what_nothing_below_learns_from_has_no_gradient():
    made = Parameters(networks.build("lenet5", width=0.5))
    plan = small_alexnet.plan(made, batch=2)
    backward = [step.name for step in plan.steps if step.kind == "backward"]
    assert backward[-1] == "conv1"
    assert [step.function for step in plan.steps if step.name == "conv1"] == [
        "conv.forward",
        "conv.weight_gradient",
    ]
    assert not [buffer.name for buffer in plan.buffers if buffer.name == "grey gradient"]
