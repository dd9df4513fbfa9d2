"""Batch normalisation on both engines against the formula: forward, every gradient, running averages."""

import inspect
import types

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from cualex.devices.cuda import CudaDevice
from cualex.devices.host import HostDevice
from cualex.engine.host import batchnorm as on_host
from cualex.engine.host import chunks
from tests.support import reference
from tests.support.benches import Bench
from tests.support.planted_kernels import planted

OWN = 1e-13  # what the formula's own sums are off in float64, as a share of the result
EPSILON = 0.5  # loud: with Keras's .001 one that is outside the root would pass
SHAPES = {  # towers, pictures, rows, columns, channels
    "two values": (1, 2, 1, 1, 1),
    "dense": (1, 7, 1, 1, 70),
    "two towers": (2, 3, 5, 3, 7),
    "channels that go together": (2, 3, 4, 5, 16),
    "more than a block's channels": (1, 2, 3, 1, 132),
    "several splits": (2, 3, 11, 13, 12),
}
every_shape = pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)


def draw(bench, rng, shape):
    """Return x and dy as maps hold them, and weight and bias of each tower, in float64; no channel is like another."""
    x, dy = rng.normal(size=(2, *shape))
    x = x * rng.uniform(0.5, 3, shape[-1]) + rng.normal(0, 2, shape[-1])
    weight, bias = rng.normal(1, 0.5, (2, shape[0], shape[-1])).astype(np.float32).astype(np.float64)
    return bench.rounded(x), bench.rounded(dy + 0.3), weight, bias


def on_numbers(bench, values):
    """Put numbers of channels on the device, which are as exact as the weights."""
    return bench.put(values, bench.device.master)


def forward(bench, x, weight, bias, epsilon=EPSILON):
    """Return y, mean and variance."""
    x, weight, bias = bench.put(x), on_numbers(bench, weight), on_numbers(bench, bias)
    y, *statistics = bench.empty(x.shape), *two(bench, weight.shape)
    with bench.untouched(x, weight, bias):
        bench.engine.batchnorm.forward(bench.device, x, weight, bias, y, *statistics, epsilon=epsilon)
    return [bench.get(each) for each in (y, *statistics)]


def backward(bench, x, weight, mean, variance, dy, relu=False, in_place=False):
    """Return dx, dweight and dbias."""
    x, dy = bench.put(x), bench.put(dy)
    weight, mean, variance = (on_numbers(bench, each) for each in (weight, mean, variance))
    dx, gradients, keep = (
        dy if in_place else bench.empty(x.shape),
        two(bench, weight.shape),
        bench.engine.update.Keep,
    )
    with bench.untouched(x, weight, mean, variance):
        bench.engine.batchnorm.backward(
            bench.device, x, weight, mean, variance, dy, dx, *map(keep, gradients), epsilon=EPSILON, relu=relu
        )
    return [bench.get(each) for each in (dx, *gradients)]


def two(bench, shape):
    return [bench.empty(shape, bench.device.master) for _ in range(2)]


def as_pictures(tower):
    """Turn a tower's maps into (pictures, channels, rows, columns)."""
    return np.moveaxis(tower.astype(np.float64), -1, 1)


def roundings(bench, x, weight, bias):
    """Bound y's errors: mean and variance are rounded once, the root has 4 units on a GPU, y has its own."""
    mean, deviation = x.mean((1, 2, 3)), np.sqrt(x.var((1, 2, 3)) + EPSILON)
    scale = np.abs(weight) / deviation
    apart = np.abs(x - mean[:, None, None, None]) * scale[:, None, None, None]
    shift = (np.abs(mean) * scale + np.abs(bias))[:, None, None, None]
    return (6 + bench.approximate) * bench.sums * (apart + shift) + bench.unit * (apart + np.abs(shift)) + OWN


@every_shape
def test_forward_agrees_with_the_formula(bench, rng, shape):
    x, _, weight, bias = draw(bench, rng, shape)
    y, mean, variance = forward(bench, x, weight, bias)
    assert_allclose(mean, x.mean((1, 2, 3)), rtol=4 * bench.sums + OWN, atol=1e-12)
    assert_allclose(variance, x.var((1, 2, 3)), rtol=4 * bench.sums + OWN, atol=1e-12)
    allowed = roundings(bench, x, weight, bias)
    for tower in range(shape[0]):
        wanted = reference.batchnorm(as_pictures(x[tower]), weight[tower], bias[tower], EPSILON)
        assert (np.abs(as_pictures(y[tower]) - wanted) <= as_pictures(allowed[tower])).all()


@every_shape
def test_every_gradient_is_that_of_the_formula(bench, rng, shape):
    x, dy, weight, bias = draw(bench, rng, shape)
    _, mean, variance = forward(bench, x, weight, bias)
    dx, dweight, dbias = backward(bench, x, weight, mean, variance, dy)
    for t in range(shape[0]):
        wanted = gradients(as_pictures(x[t]), weight[t], bias[t], as_pictures(dy[t]))
        terms = np.abs(dy[t]).sum((0, 1, 2)) * (4 + np.abs(mean[t]) / np.sqrt(variance[t] + EPSILON))
        unit = (16 + 4 * bench.approximate) * bench.sums
        assert (np.abs(dweight[t] - wanted[1]) <= unit * terms * 2 + 1e-8).all()
        assert (np.abs(dbias[t] - wanted[2]) <= unit * terms + 1e-8).all()
        scale = np.abs(weight[t] / np.sqrt(variance[t] + EPSILON)) * (4 + np.abs(mean[t]))
        allowed = (unit + 2 * bench.unit) * scale * (np.abs(dy[t]) + np.abs(dy[t]).mean((0, 1, 2)) * 3)
        assert (np.abs(as_pictures(dx[t]) - wanted[0]) <= as_pictures(allowed) + 1e-8).all()


def gradients(x, weight, bias, dy):
    """Return dx, dweight and dbias of one tower, by central differences."""

    def formula(x, weight=weight, bias=bias):
        return reference.batchnorm(x, weight, bias, EPSILON)

    dx = (
        np.stack(  # channels do not know of each other: each is moved alone, and all at once are too
            [
                reference.gradient(
                    lambda own, c=c: reference.batchnorm(own[:, None], weight[c : c + 1], bias[c : c + 1], EPSILON)[
                        :, 0
                    ],
                    x[:, c],
                    dy[:, c],
                )
                for c in range(x.shape[1])
            ],
            axis=1,
        )
        if x.size < 500
        else by_hand(x, weight, dy)
    )
    dweight = reference.gradient(lambda weight: formula(x, weight), weight, dy, step=1)
    return dx, dweight, reference.gradient(lambda bias: formula(x, bias=bias), bias, dy, step=1)


def by_hand(x, weight, dy):
    """Take the derivative through every x of mean and variance, as a Jacobian of each channel."""
    dx = np.empty_like(x)
    for c in range(x.shape[1]):
        values, slopes = x[:, c].ravel(), dy[:, c].ravel()
        count, apart = len(values), values - values.mean()
        deviation = np.sqrt(values.var() + EPSILON)
        jacobian = (np.eye(count) - 1 / count) / deviation - np.outer(apart, apart) / (count * deviation**3)
        dx[:, c] = (weight[c] * (jacobian @ slopes)).reshape(dx[:, c].shape)
    return dx


def test_the_jacobian_is_that_of_the_differences(rng):
    x, dy = rng.normal(1, 2, (2, 3, 2, 3, 2))
    weight, bias = np.array([2.0, -0.5]), np.array([1.0, 3.0])
    assert_allclose(by_hand(x, weight, dy), gradients(x, weight, bias, dy)[0], rtol=0, atol=1e-8)


def test_a_mean_that_is_far_from_zero_costs_the_variance_nothing(bench, rng):
    """In bfloat16 the maps themselves have no such numbers."""
    far = 200.0 if bench.unit == 2.0**-8 else 10_000.0
    step = 2.0 if far == 200 else 0.5
    x = bench.rounded(far + step * rng.integers(-2, 3, (1, 4, 9, 8, 5)))
    weight, bias = np.full((2, 1, 5), [[[3.0]], [[7.0]]])
    y, mean, variance = forward(bench, x, weight, bias)
    assert_allclose(variance, x.var((1, 2, 3)), rtol=4 * bench.sums + OWN)
    assert_allclose(mean, x.mean((1, 2, 3)), rtol=2 * bench.sums)
    wanted = reference.batchnorm(as_pictures(x[0]), weight[0], bias[0], EPSILON)
    off = bench.sums * far * 3 / np.sqrt(EPSILON) + bench.unit * 20 + 40 * bench.sums
    assert_allclose(as_pictures(y[0]), wanted, rtol=0, atol=off)


def test_a_channel_that_is_constant_is_its_bias(bench):
    x = np.full((1, 3, 2, 2, 5), 3.25)
    weight, bias = np.full((1, 5), 2.0), np.arange(5.0)[None]
    y, mean, variance = forward(bench, x, weight, bias)
    assert_array_equal(y, np.broadcast_to(np.arange(5.0), x.shape))
    assert_array_equal((mean, variance), (np.full((1, 5), 3.25), np.zeros((1, 5))))


def test_inference_uses_the_averages_and_moves_nothing(bench, rng):
    x, _, weight, bias = draw(bench, rng, (2, 3, 5, 3, 7))
    mean, variance = rng.normal(size=(2, 7)), rng.uniform(0.5, 4, (2, 7))
    numbers = [on_numbers(bench, each) for each in (weight, bias, mean, variance)]
    given, y = bench.put(x), bench.empty(x.shape)
    with bench.untouched(given, *numbers):
        bench.engine.batchnorm.infer(bench.device, given, *numbers, y, epsilon=EPSILON)
    for t in range(2):
        wanted = reference.batchnorm(as_pictures(x[t]), weight[t], bias[t], EPSILON, mean[t], variance[t])
        assert_allclose(as_pictures(bench.get(y)[t]), wanted, rtol=0, atol=60 * bench.unit)


@pytest.mark.parametrize("channels", [7, 16])
def test_relu_below_and_a_gradient_in_the_place_of_the_one_above(bench, rng, channels):
    x, dy, weight, bias = draw(bench, rng, (2, 3, 4, 5, channels))
    x = np.maximum(x, 0)
    _, mean, variance = forward(bench, x, weight, bias)
    plain = backward(bench, x, weight, mean, variance, dy)
    taken = backward(bench, x, weight, mean, variance, dy, relu=True)
    assert_array_equal(taken[0], plain[0] * (x > 0))
    for found, wanted in zip(backward(bench, x, weight, mean, variance, dy, in_place=True), plain, strict=True):
        assert_array_equal(found, wanted)


@pytest.mark.parametrize("relu", [False, True])
def test_the_gradient_of_a_frozen_layer(bench, rng, relu):
    """Mean and variance are given: they have no derivative."""
    x, dy, weight, _ = draw(bench, rng, (2, 3, 4, 5, 7))
    variance = rng.uniform(0.5, 4, (2, 7)).astype(np.float32).astype(np.float64)
    given = [bench.put(x), on_numbers(bench, weight), on_numbers(bench, variance), bench.put(dy)]
    dx = bench.empty(x.shape)
    with bench.untouched(*given):
        bench.engine.batchnorm.backward_frozen(bench.device, *given, dx, epsilon=EPSILON, relu=relu)
    scale = (weight / np.sqrt(variance + EPSILON))[:, None, None, None]
    wanted = dy * scale * ((x > 0) if relu else 1)
    assert_allclose(bench.get(dx), wanted, rtol=4 * bench.unit + 4 * bench.approximate * bench.sums)


def test_no_gradient_of_the_input_where_nobody_wants_it(bench, rng):
    x, dy, weight, bias = draw(bench, rng, (2, 3, 4, 5, 7))
    _, mean, variance = forward(bench, x, weight, bias)
    wanted = backward(bench, x, weight, mean, variance, dy)[1:]
    numbers = [on_numbers(bench, each) for each in (weight, mean, variance)]
    found, keep = two(bench, weight.shape), bench.engine.update.Keep
    bench.engine.batchnorm.backward(
        bench.device, bench.put(x), *numbers, bench.put(dy), None, *map(keep, found), epsilon=EPSILON
    )
    for one, other in zip(found, wanted, strict=True):
        assert_array_equal(bench.get(one), other)


@pytest.mark.parametrize("loss", ["finite", "not finite"])
def test_averages_move_after_a_finite_loss_alone(bench, rng, loss):
    """The last channel's variance overflowed: it keeps its averages."""
    own, running = rng.uniform(1, 3, (2, 2, 1, 9)).astype(np.float32).astype(np.float64)
    own[1, 0, 8] = np.inf
    (own_mean, own_variance), (mean, variance) = ([on_numbers(bench, each) for each in pair] for pair in (own, running))
    control = bench.begin()
    if loss != "finite":
        bench.diverge(control)
    bench.engine.batchnorm.average(bench.device, own_mean, own_variance, mean, variance, momentum=0.75, control=control)
    wanted = running * 0.75 + own * 0.25
    wanted[:, 0, 8] = running[:, 0, 8]
    for found, before, after in zip((mean, variance), running, wanted, strict=True):
        assert_allclose(bench.get(found), after if loss == "finite" else before, rtol=3 * bench.sums)
        assert loss == "finite" or (bench.get(found) == before).all()


def test_the_engines_move_the_averages_to_the_same_bits(emulated, rng):
    own, running = rng.normal(size=(2, 2, 1, 300)).astype(np.float32)
    found = []
    for bench in (Bench(HostDevice()), Bench(CudaDevice("cuda:0", emulated(), 0, "fp32"))):
        arrays = [on_numbers(bench, each) for each in (*own, *running)]
        bench.engine.batchnorm.average(bench.device, *arrays, momentum=0.99, control=bench.begin())
        found.append([bench.get(each) for each in arrays[2:]])
    assert_array_equal(found[0], found[1])


@pytest.mark.slow
def test_any_number_of_workers_gives_the_same_bits(teams, rng):
    """Over three pieces, the last of them smaller."""
    shape = (2, 2 * (chunks.VALUES // 30_000) + 1, 50, 60, 10)
    results = []
    x, dy, weight, bias = draw(Bench(teams[0]), rng, shape)
    for device in teams:
        bench = Bench(device)
        found = forward(bench, x, weight, bias)
        results.append([*found, *backward(bench, x, weight, *found[1:], dy)])
    for other in results[1:]:
        for one, two in zip(results[0], other, strict=True):
            assert_array_equal(one, two)
    assert_allclose(results[0][2], x.var((1, 2, 3)), rtol=3e-7)


def test_output_inside_a_border(device, rng):
    """A convolution with padding may follow: its border stays zero."""
    bench = Bench(device)
    x, _, weight, bias = draw(bench, rng, (2, 2, 3, 4, 7))
    around = np.zeros((2, 2, 7, 8, 7), np.float32)
    numbers = [on_numbers(bench, each) for each in (weight, bias)]
    on_host.forward(device, bench.put(x), *numbers, around[:, :, 2:-2, 2:-2], *two(bench, (2, 7)), epsilon=EPSILON)
    assert_array_equal(around[:, :, 2:-2, 2:-2], forward(bench, x, weight, bias)[0])
    around[:, :, 2:-2, 2:-2] = 0
    assert not around.any()


# --- planted faults, each of which the comparisons above find

FAULTS = {  # on the host, and in the kernels
    "the unbiased variance": (
        ("second - first * first", "(second - first * first) * _values(x) / (_values(x) - 1)"),
        ("second / PIXELS", "second / (PIXELS - 1)"),
    ),
    "epsilon outside of the root": (
        (
            "np.sqrt(variance.astype(np.float64) + epsilon)",
            "(np.sqrt(variance.astype(np.float64)) + epsilon)",
        ),
        ("* reciprocal_root(variance[first + i] + EPSILON);", "/ (sqrtf(variance[first + i]) + EPSILON);"),
    ),
    "a gradient that forgets what the mean is made of": (
        ("z += shift[tower]", "pass"),
        ("slopes[i] - shift - ", "slopes[i] - "),
    ),
    "a gradient that forgets what the variance is made of": (
        ("z *= slope[tower]", "z *= 0"),
        ("(values[i] - mean[first + i]) * slope", "0"),
    ),
    "a bias that is left out": (("bias[tower], out", "0, out"), (" + bias[first + i]", "")),
    "a split that is left out": (None, ("split < SPLITS; ++split", "split < SPLITS - 1; ++split")),
    "the first tower's pivot for all": (None, ("(size_t)(channel / LENGTH) * PIXELS", "(size_t)0 * PIXELS")),
}


def agrees(bench):
    """Say whether the comparisons above hold."""
    try:
        for shape in (SHAPES["two towers"], SHAPES["several splits"]):
            test_forward_agrees_with_the_formula(bench, np.random.default_rng(2012), shape)
            test_every_gradient_is_that_of_the_formula(bench, np.random.default_rng(2012), shape)
    except AssertionError:
        return False
    return True


ON_HOST = {name: pair[0] for name, pair in FAULTS.items() if pair[0]}


@pytest.mark.parametrize("fault", ON_HOST.values(), ids=ON_HOST)
def test_planted_faults_on_the_host_are_caught(device, fault):
    text = inspect.getsource(on_host)
    assert text.count(fault[0]) == 1
    spoiled, bench = types.ModuleType("spoiled"), Bench(device)
    exec(text.replace(*fault), vars(spoiled))
    assert agrees(bench)
    bench.engine = types.SimpleNamespace(batchnorm=spoiled, update=bench.engine.update)
    assert not agrees(bench)


@pytest.mark.slow
@pytest.mark.emulator
@pytest.mark.parametrize("fault", [pair[1] for pair in FAULTS.values()], ids=FAULTS)
def test_planted_faults_in_the_kernels_are_caught(emulated, fault):
    runtime = planted(emulated, fault[1], fault[0])()
    assert not agrees(Bench(CudaDevice("cuda:0", runtime, 0, "fp32")))
    assert runtime.found
