"""The update rule on the CUDA engine: the bits of the host engine's, which ../test_update.py holds to the formula."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from cualex.devices.stored import to_bf16
from cualex.engine.cuda.update import Momentum, apply
from cualex.engine.host import update as host

SHAPE = (2, 3, 5, 7, 3)  # more than two blocks, and no multiple of one


def draw(bench, rng):
    """Return weight, velocity and gradient."""
    given = rng.normal(size=(3, *SHAPE)).astype(np.float32)
    return given, [bench.put(values, np.float32) for values in given]


@pytest.mark.parametrize("decays", [True, False, 0.3])
@pytest.mark.parametrize(("decay", "factor"), [(0.7, 1.0), (0.0, 0.3), (0.7, 0.3)])
def test_the_bits_are_those_of_the_host(cuda_bench, rng, decays, decay, factor):
    """Of weights, which decay, also by a multiple, and of biases, which do not and have a rate of their own."""
    (*wanted, given), (weight, velocity, gradient) = draw(cuda_bench, rng)
    control = cuda_bench.begin(rate=0.3, momentum=0.9, decay=decay, bias_rate=0.9)
    copy = cuda_bench.empty(SHAPE) if cuda_bench.device.dtype == np.uint16 else None
    with cuda_bench.untouched(gradient):
        sink = Momentum(weight, velocity, control, decays, copy, factor, bias=not decays)
        apply(cuda_bench.device, gradient, sink)
    host.momentum(*wanted, given, control, decays, factor, bias=not decays)
    assert_array_equal(cuda_bench.get(weight), wanted[0])
    assert_array_equal(cuda_bench.get(velocity), wanted[1])
    if copy is not None:
        assert_array_equal(to_bf16(cuda_bench.get(copy)), to_bf16(wanted[0]))


def test_nothing_moves_when_the_loss_was_not_finite(cuda_bench, rng):
    given, (weight, velocity, gradient) = draw(cuda_bench, rng)
    control = cuda_bench.begin(rate=0.3)
    cuda_bench.diverge(control)
    copy = cuda_bench.empty(SHAPE)
    with cuda_bench.untouched(copy):
        apply(cuda_bench.device, gradient, Momentum(weight, velocity, control, True, copy))
    assert_array_equal(cuda_bench.get(weight), given[0])
    assert_array_equal(cuda_bench.get(velocity), given[1])
