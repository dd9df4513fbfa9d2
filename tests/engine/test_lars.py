"""LARS (You, Gitman and Ginsburg 2017): the formula in float64, norms that are 0, and the kernels' bits."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from cualex.devices.control import Control
from cualex.devices.host import HostDevice
from cualex.devices.stored import to_bf16
from cualex.engine.host import update
from tests.support import reference

RATE, STEPS = 2.0, 10
SHAPES = [(2, 3, 5, 7, 3), (1, 40_000), (2, 3 * 2**15 + 5), (2, 1)]  # towers first; of less than a lane and of pieces


def run(gradients, weight, dtype=np.float32, decay=True, bias=False, factor=1.0, workers=2, **settings):
    """Take a step a gradient; return weights and velocities."""
    weight, device = weight.astype(dtype), HostDevice(workers=workers)
    velocity = np.zeros_like(weight)
    control = Control(**{"rate": RATE, "trust": 0.01, "decay": 0.05} | settings)
    sink = update.Lars(weight, velocity, control, decay, factor=factor, bias=bias)
    for gradient in gradients:
        given = gradient.astype(dtype)
        update.apply(device, given, sink)
        assert_array_equal(given, gradient.astype(dtype))
    return weight, velocity


def expected(gradients, weight, decay=0.05, factor=1.0, rate=RATE):
    """Take the same steps by the formula, tower by tower."""
    weight = weight.astype(np.float64)
    velocity = np.zeros_like(weight)
    for gradient in gradients:
        for tower in range(len(weight)):
            own = weight[tower], velocity[tower], gradient[tower].astype(np.float64)
            weight[tower], velocity[tower] = reference.lars(*own, rate * factor, 0.01, decay=decay)
    return weight


def draw(rng, shape, steps=STEPS):
    """Return gradients and weights; those of the second tower are of another size."""
    sizes = np.array([1.0, 30.0])[: shape[0]].reshape(-1, *(1,) * (len(shape) - 1))
    gradients = [(rng.normal(size=shape) * sizes).astype(np.float32) for _ in range(steps)]
    return gradients, (rng.normal(size=shape) / sizes).astype(np.float32)


@pytest.mark.parametrize("shape", SHAPES)
def test_ten_steps_are_the_formulas(rng, shape):
    """In float64: norms are good to 2^-50, and the rate moves a weight by no more than its share of trust |w|."""
    gradients, weight = draw(rng, shape)
    found, _ = run(gradients, weight, np.float64)
    wanted = expected(gradients, weight)
    moved = max(np.abs(wanted[t] - weight[t]).max() for t in range(len(weight)))
    assert moved > 0
    assert np.abs(found - wanted).max() <= STEPS * 2.0**-45 * (np.abs(weight).max() + moved)


def test_ten_steps_in_float32(rng):
    """A step rounds five times, and the local rate once; each step moves by less than one of the weights' sizes."""
    gradients, weight = draw(rng, SHAPES[0])
    found, _ = run(gradients, weight)
    for tower in range(2):
        bound = STEPS * STEPS * 8 * 2.0**-24 * np.abs(weight[tower]).max()
        assert np.abs(found[tower] - expected(gradients, weight)[tower]).max() <= bound


def test_biases_do_not_decay_and_have_their_own_rate(rng):
    gradients, weight = draw(rng, (2, 96))
    found, _ = run(gradients, weight, np.float64, decay=False, bias=True, bias_rate=0.5, factor=3.0)
    wanted = expected(gradients, weight, decay=0.0, factor=3.0, rate=0.5)
    np.testing.assert_allclose(found, wanted, rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize(("weight", "gradient"), [(0.0, 3.0), (2.0, 0.0), (0.0, 0.0)])
def test_where_a_norm_is_zero_the_local_rate_is_trust(weight, gradient):
    """So a bias that begins at 0 moves as by a rate of trust times the rate, and does not jump."""
    weights, gradients = np.full((1, 5), weight), np.full((1, 5), gradient)
    found, velocity = run([gradients], weights, np.float64, momentum=0.0)
    assert_array_equal(velocity, -0.01 * RATE * gradients - 0.01 * (RATE * 0.05) * weights)
    assert_array_equal(found, weights + velocity)


def test_the_step_does_not_depend_on_the_gradients_size(rng):
    """Without decay; 2^20 times the gradient, to the bit in float64."""
    gradients, weight = draw(rng, SHAPES[0])
    one, _ = run(gradients, weight, np.float64, decay=False)
    other, _ = run([each * 2.0**20 for each in gradients], weight, np.float64, decay=False)
    assert_array_equal(one, other)


def test_bits_depend_neither_on_workers_nor_on_the_other_tower(rng):
    gradients, weight = draw(rng, SHAPES[2], 2)
    both, _ = run(gradients, weight, workers=3)
    for tower in range(2):
        alone, _ = run([each[tower : tower + 1] for each in gradients], weight[tower : tower + 1], workers=1)
        assert_array_equal(both[tower : tower + 1], alone)


def test_nothing_moves_when_the_loss_was_not_finite(rng):
    gradients, weight = draw(rng, SHAPES[0], 1)
    found, velocity = run([np.full_like(gradients[0], np.nan)], weight, finite=False)
    assert_array_equal(found, weight)
    assert not velocity.any()


@pytest.mark.parametrize(("size", "local"), [(1e18, 1e-20), (1e-29, 1e27), (1e-31, 0.01), (1e-44, 0.01)])
def test_no_norm_overflows(size, local):
    """Squares are float64; a norm of up to 2^-100 counts as 0, and trust is taken."""
    weight = np.full((1, 9), 1.0, np.float32)
    found, _ = run([np.full((1, 9), size, np.float32)], weight, decay=False, rate=1e-3)
    np.testing.assert_allclose(found, 1 - 1e-3 * local * size, rtol=1e-6)


# --- the kernels


@pytest.mark.parametrize(
    ("shape", "decay", "bias"), [(SHAPES[0], True, False), (SHAPES[2], 0.3, False), ((2, 300), False, True)]
)
def test_the_kernels_bits_are_those_of_the_host(cuda_bench, rng, shape, decay, bias):
    (gradient,), weight = draw(rng, shape, 1)
    velocity = rng.normal(size=shape).astype(np.float32)
    on_gpu = [cuda_bench.put(values, np.float32) for values in (weight, velocity, gradient)]
    copy = cuda_bench.empty(shape) if cuda_bench.device.dtype == np.uint16 and not bias else None
    control = cuda_bench.begin(rate=0.3, decay=0.2, bias_rate=0.7, trust=0.03)
    numbers = {"control": control, "decay": decay, "factor": 0.3, "bias": bias}
    with cuda_bench.untouched(on_gpu[2]):
        sink = cuda_bench.engine.update.Lars(*on_gpu[:2], copy=copy, **numbers)
        cuda_bench.engine.update.apply(cuda_bench.device, on_gpu[2], sink)
    update.apply(HostDevice(workers=1), gradient, update.Lars(weight, velocity, **numbers))
    for found, own in zip(on_gpu, (weight, velocity), strict=False):
        assert_array_equal(cuda_bench.get(found), own)
    if copy is not None:
        assert_array_equal(to_bf16(cuda_bench.get(copy)), to_bf16(weight))


@pytest.mark.parametrize("zero", [0, 1])
def test_the_kernels_take_trust_where_a_norm_is_zero(cuda_bench, rng, zero):
    given = rng.normal(size=(3, 2, 70)).astype(np.float32)
    given[zero, 1] = 0
    weight, gradient, velocity = given
    on_gpu = [cuda_bench.put(values, np.float32) for values in (weight, velocity, gradient)]
    control = cuda_bench.begin(rate=0.3, decay=0.2, trust=0.03)
    cuda_bench.engine.update.apply(
        cuda_bench.device, on_gpu[2], cuda_bench.engine.update.Lars(*on_gpu[:2], control, True)
    )
    update.apply(HostDevice(workers=1), gradient, update.Lars(weight, velocity, control, True))
    assert_array_equal(cuda_bench.get(on_gpu[0]), weight)
    assert np.isfinite(weight).all()


def test_no_kernel_moves_anything_when_the_loss_was_not_finite(cuda_bench, rng):
    on_gpu = [cuda_bench.put(values, np.float32) for values in rng.normal(size=(3, 2, 70))]
    control = cuda_bench.begin(rate=0.3)
    cuda_bench.diverge(control)
    with cuda_bench.untouched(*on_gpu):
        sink = cuda_bench.engine.update.Lars(*on_gpu[:2], control, True)
        cuda_bench.engine.update.apply(cuda_bench.device, on_gpu[2], sink)


# --- planted faults


def _both_towers(device, weight, gradient, control, decay):
    whole = [each.reshape(1, -1) for each in (weight, gradient)]
    return np.repeat(RIGHT(device, *whole, control, decay), len(weight))


def _without_decay(device, weight, gradient, control, decay):
    return RIGHT(device, weight, gradient, control, 0.0)


def _of_the_weights(device, weight, gradient, control, decay):
    return RIGHT(device, weight, weight, control, decay)


RIGHT = update.local_rates


@pytest.mark.parametrize("wrong", [_both_towers, _without_decay, _of_the_weights])
def test_a_wrong_local_rate_is_found(rng, monkeypatch, wrong):
    monkeypatch.setattr(update, "local_rates", wrong)
    with pytest.raises(AssertionError):
        test_ten_steps_are_the_formulas(rng, SHAPES[0])


def test_a_piece_that_is_left_out_is_found(rng, monkeypatch):
    monkeypatch.setattr(update, "_lane_sum", lambda rows: np.square(rows[:, :-1]).sum() ** 0.5)
    with pytest.raises(AssertionError):
        test_ten_steps_are_the_formulas(rng, SHAPES[2])
