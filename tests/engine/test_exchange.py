"""Sums of gradients from several places, on both engines: exact."""

import pytest
from numpy.testing import assert_array_equal


@pytest.mark.parametrize("shape", [(1, 1, 1), (2, 5, 17), (1, 3, 5, 3, 16)], ids=str)
def test_adds(bench, rng, shape):
    given_x, given_y = rng.integers(-50, 51, (2, *shape))
    x, y = bench.put(given_x), bench.put(given_y)
    with bench.untouched(x):
        bench.engine.exchange.add(bench.device, x, y)
    assert_array_equal(bench.get(y), given_x + given_y)
