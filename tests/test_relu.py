"""Rectified linear units on the host: exact."""

import numpy as np
import pytest
import reference
from layout import Untouched
from numpy.testing import assert_array_equal

from cualex.engine.host import relu

SHAPES = [(1, 1, 1), (2, 5, 17), (2, 3, 7, 9, 3)]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_equals_the_formula(device, rng, shape, dtype):
    x, dy = rng.integers(-3, 4, (2, *shape)).astype(dtype)
    y, dx = np.full_like(x, np.nan), np.full_like(x, np.nan)
    with Untouched(x, dy):
        relu.forward(device, x, y)
        relu.backward(device, y, dy, dx)
    assert_array_equal(y, reference.relu(x))
    assert_array_equal(dx, dy * (x > 0))  # at zero: no gradient
    relu.backward(device, y, dy, dy)
    assert_array_equal(dy, dx)


def test_gradient_is_the_difference_away_from_zero(device, rng):
    x = rng.choice([-2.0, -0.5, 0.5, 3.0], (2, 3, 5))
    dy = rng.normal(size=x.shape)
    y, dx = np.empty_like(x), np.empty_like(x)
    relu.forward(device, x, y)
    relu.backward(device, y, dy, dx)
    np.testing.assert_allclose(dx, reference.gradient(reference.relu, x, dy, step=0.25), rtol=1e-14)


def test_output_inside_a_border(device, rng):
    x = rng.integers(-3, 4, (2, 2, 3, 4, 5)).astype(np.float32)
    around = np.zeros((2, 2, 5, 6, 5), np.float32)
    relu.forward(device, x, around[:, :, 1:-1, 1:-1])
    assert_array_equal(around[:, :, 1:-1, 1:-1], reference.relu(x))
    around[:, :, 1:-1, 1:-1] = 0
    assert not around.any()
