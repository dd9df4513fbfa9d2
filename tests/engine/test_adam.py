"""Adam as Keras has it: the formula in float64, PyTorch's with epsilon where it belongs, and the kernel's bits."""

import math

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from cualex.devices.control import Control
from cualex.devices.stored import to_bf16
from cualex.engine.host import update
from tests.support import reference

RATE, STEPS = 0.01, 10


def gradients(rng, count=60):
    """Draw a gradient a step; some numbers are so small that epsilon decides, others large."""
    size = np.geomspace(1e-9, 10, count)
    return [(rng.normal(size=count) * size).astype(np.float32) for _ in range(STEPS)]


def run(given, weight, decay=0.0, dtype=np.float32, **settings):
    """Take ten steps; return the weights."""
    weight = weight.astype(dtype)
    first, second = np.zeros_like(weight), np.zeros_like(weight)
    control = Control(RATE, decay=decay, **settings)
    sink = update.Adam(weight, first, second, control, decay=True)
    for step, gradient in enumerate(given):
        control.step = control.began + step
        sink(slice(None), gradient.astype(dtype))
    return weight


def expected(given, weight, decay=0.0):
    """Take the same steps by the formula."""
    state = weight.astype(np.float64), np.zeros(len(weight)), np.zeros(len(weight))
    for t, gradient in enumerate(given, 1):
        state = reference.adam(*state, gradient.astype(np.float64), t, RATE, decay)
    return state[0]


@pytest.mark.parametrize("decay", [0.0, 0.5])
def test_ten_steps_are_the_formulas(rng, decay):
    """In float64: a step has eleven roundings of numbers no larger than the weight and ten rates."""
    given, weight = gradients(rng), rng.normal(size=60)
    found = run(given, weight, decay, np.float64)
    bound = STEPS * 11 * 2.0**-53 * (np.abs(weight) + STEPS * 4 * RATE)
    assert (np.abs(found - expected(given, weight, decay)) <= bound).all()


def test_ten_steps_in_float32(rng):
    """Each quotient is good to ten roundings, at most 4 rates large; the sum rounds to the weight."""
    given, weight = gradients(rng), rng.normal(size=60).astype(np.float32)
    bound = STEPS * 2.0**-24 * (np.abs(weight) + 10 * 4 * RATE + STEPS * 4 * RATE)
    assert (np.abs(run(given, weight) - expected(given, weight)) <= bound).all()


def torchs(given, weight, epsilon):
    """Take ten steps with torch.optim.Adam; `epsilon(t)` is its eps."""
    torch = pytest.importorskip("torch")
    parameter = torch.nn.Parameter(torch.from_numpy(weight.astype(np.float64)))
    optimizer = torch.optim.Adam([parameter], lr=RATE)
    for t, gradient in enumerate(given, 1):
        optimizer.param_groups[0]["eps"] = epsilon(t)
        parameter.grad = torch.from_numpy(gradient.astype(np.float64))
        optimizer.step()
    return parameter.detach().numpy()


def test_ten_steps_are_pytorchs_with_keras_epsilon(rng):
    """PyTorch adds eps to sqrt(s / (1 - second^t)), Keras epsilon to sqrt(s): eps = epsilon / sqrt(1 - second^t)."""
    given, weight = gradients(rng), rng.normal(size=60)
    found = run(given, weight, dtype=np.float64)
    theirs = torchs(given, weight, lambda t: 1e-7 / math.sqrt(1 - 0.999**t))
    assert_allclose(found, theirs, rtol=1e-13, atol=1e-14)
    as_it_is = torchs(given, weight, lambda t: 1e-7)
    assert np.abs(found - as_it_is).max() > 1e-4  # so the place of epsilon is seen


def test_corrections_count_from_the_rules_first_step(rng):
    given, weight = gradients(rng), rng.normal(size=60)
    assert_array_equal(run(given, weight, began=1000), run(given, weight))


def test_the_first_step_is_the_rate():
    """Where a gradient is far above epsilon, whatever its size."""
    found = run([np.array([1e-2, -3.0, 1e4])], np.zeros(3), dtype=np.float64)
    assert_allclose(found, [-RATE, RATE, -RATE], rtol=1e-3)


def test_nothing_moves_when_the_loss_was_not_finite(rng):
    weight = rng.normal(size=60).astype(np.float32)
    assert_array_equal(run([np.full(60, np.nan)], weight, finite=False), weight)


# --- the kernel

SHAPE = (2, 3, 5, 7, 3)  # more than two blocks, and no multiple of one


@pytest.mark.parametrize(("decay", "bias"), [(True, False), (False, True), (0.3, False)])
def test_the_kernels_bits_are_those_of_the_host(cuda_bench, rng, decay, bias):
    (*wanted, given), on_gpu = draw(cuda_bench, rng)
    copy = cuda_bench.empty(SHAPE) if cuda_bench.device.dtype == np.uint16 and not bias else None
    settings = {"rate": 0.3, "decay": 0.2, "bias_rate": 0.7, "step": 8, "began": 5}
    control = cuda_bench.begin(**settings)
    numbers = {"control": control, "decay": decay, "factor": 0.3, "bias": bias}
    with cuda_bench.untouched(on_gpu[3]):
        sink = cuda_bench.engine.update.Adam(*on_gpu[:3], copy=copy, **numbers)
        cuda_bench.engine.update.apply(cuda_bench.device, on_gpu[3], sink)
    update.Adam(*wanted, **numbers)((slice(None),), given)
    for found, own in zip(on_gpu, wanted, strict=False):
        assert_array_equal(cuda_bench.get(found), own)
    if copy is not None:
        assert_array_equal(to_bf16(cuda_bench.get(copy)), to_bf16(wanted[0]))


def test_no_kernel_moves_anything_when_the_loss_was_not_finite(cuda_bench, rng):
    _, on_gpu = draw(cuda_bench, rng)
    control = cuda_bench.begin(rate=0.3)
    cuda_bench.diverge(control)
    with cuda_bench.untouched(*on_gpu):
        sink = cuda_bench.engine.update.Adam(*on_gpu[:3], control, True)
        cuda_bench.engine.update.apply(cuda_bench.device, on_gpu[3], sink)


def draw(bench, rng):
    """Return weight, both averages and gradient."""
    given = rng.normal(size=(4, *SHAPE)).astype(np.float32)
    given[2] **= 2
    return given, [bench.put(values, np.float32) for values in given]


# --- planted faults


@pytest.mark.parametrize("off", [-0.5, 1])
def test_a_correction_that_is_off_by_a_step_is_found(rng, monkeypatch, off):
    def wrong(control, bias):
        t = control.step - control.began + 1 + off
        return control.rate * math.sqrt(1 - 0.999**t) / (1 - 0.9**t)

    given, weight = gradients(rng), rng.normal(size=60)
    monkeypatch.setattr(Control, "corrected", wrong)
    assert np.abs(run(given, weight, dtype=np.float64) - expected(given, weight)).max() > 1e-4
