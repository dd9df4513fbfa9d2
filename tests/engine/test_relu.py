"""Rectified linear units on both engines: exact."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from cualex.engine.host import relu
from tests.support import reference

SHAPES = [(1, 1, 1), (2, 5, 17), (2, 3, 7, 9, 3), (2, 3, 3, 5, 48)]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_equals_the_formula(bench, rng, shape):
    given_x, given_dy = rng.integers(-3, 4, (2, *shape))
    x, dy, y, dx = bench.put(given_x), bench.put(given_dy), bench.empty(shape), bench.empty(shape)
    with bench.untouched(x, dy):
        bench.engine.relu.forward(bench.device, x, y)
        bench.engine.relu.backward(bench.device, y, dy, dx)
    assert_array_equal(bench.get(y), reference.relu(given_x))
    assert_array_equal(bench.get(dx), given_dy * (given_x > 0))  # at zero: no gradient
    bench.engine.relu.backward(bench.device, y, dy, dy)
    assert_array_equal(bench.get(dy), bench.get(dx))


def test_what_is_no_number_stays(bench):
    """Else a network that diverged would go on as if it had not."""
    x, y = bench.put([[np.nan, -np.inf, np.inf, -1.0]]), bench.empty((1, 4))
    bench.engine.relu.forward(bench.device, x, y)
    assert_array_equal(bench.get(y), [[np.nan, 0, np.inf, 0]])


def test_one_tower_of_two(bench, rng):
    """The maps of the second tower begin where those of the first end, at whatever address that is."""
    given = rng.integers(-3, 4, (2, 3, 5))
    x, y = bench.put(given), bench.empty((2, 3, 5))
    bench.engine.relu.forward(bench.device, x[1:], y[1:])
    assert_array_equal(bench.get(y)[1], reference.relu(given[1]))
    assert np.isnan(bench.get(y)[0]).all()


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
