"""Overlapping max-pooling on the host, against the formula: everything here is exact."""

import numpy as np
import pytest
import reference
from layout import Untouched, outside
from numpy.testing import assert_array_equal

from cualex.engine.host import maxpool

WINDOWS = [(3, 2), (2, 2), (3, 1), (3, 3), (5, 2), (4, 3), (2, 3), (1, 1), (1, 2)]  # size, stride
SHAPES = [(1, 1, 5, 5, 1), (2, 2, 7, 9, 3), (1, 5, 8, 6, 17), (2, 1, 13, 13, 4)]
every_window = pytest.mark.parametrize(("size", "stride"), WINDOWS)
every_shape = pytest.mark.parametrize("shape", SHAPES, ids=str)


def draw(rng, shape, size, stride, values):
    towers, pictures, height, width, channels = shape
    out = (towers, pictures, (height - size) // stride + 1, (width - size) // stride + 1, channels)
    return rng.integers(*values, shape).astype(np.float32), rng.integers(-9, 10, out).astype(np.float32)


def engine(device, x, dy, size, stride, relu=False):
    y, dx = np.full_like(dy, np.nan), np.full_like(x, np.nan)
    with Untouched(x, dy):
        maxpool.forward(device, x, y, size=size, stride=stride)
        with Untouched(y):
            maxpool.backward(device, x, None, y, dy, dx, size=size, stride=stride, relu=relu)
    return y, dx


def by_tower(function, *arrays):
    """Compute by the reference, tower by tower, and put the channels last again."""
    return np.moveaxis([function(*map(outside, own)) for own in zip(*arrays, strict=True)], 2, 4)


@pytest.mark.parametrize(
    "values", [(-50, 50), (0, 3), (-2, 1), (7, 8)], ids=["few ties", "ties", "signs", "flat"]
)
@every_window
@every_shape
def test_equals_the_formula(device, rng, shape, size, stride, values):
    """A row that no window reaches gets a zero; of equal values the first takes all."""
    x, dy = draw(rng, shape, size, stride, values)
    y, dx = engine(device, x, dy, size, stride)
    assert_array_equal(y, by_tower(lambda x: reference.maxpool(x, size, stride), x))
    assert_array_equal(dx, by_tower(lambda x, dy: reference.maxpool_gradient(x, dy, size, stride), x, dy))


def test_first_of_equals_by_hand(device):
    """The upper right comes before the lower left: rows first, then columns."""
    x = np.zeros((1, 1, 3, 3, 1), np.float32)
    x[0, 0, 0, 2], x[0, 0, 2, 0] = 5, 5
    dx = engine(device, x, np.ones((1, 1, 1, 1, 1), np.float32), 3, 2)[1]
    assert_array_equal(dx[0, 0, :, :, 0], [[0, 0, 1], [0, 0, 0], [0, 0, 0]])


@every_window
def test_relu_below_is_taken_with_it(device, rng, size, stride):
    x, dy = draw(rng, (2, 2, 7, 9, 3), size, stride, (-3, 2))
    plain = engine(device, x, dy, size, stride)[1]
    assert_array_equal(engine(device, x, dy, size, stride, relu=True)[1], plain * (x > 0))


def test_maps_inside_borders(device, rng):
    """Every array may be the inside of a larger one, whose border stays as it is."""
    x, dy = draw(rng, (2, 2, 7, 9, 3), 3, 2, (0, 4))
    wanted = engine(device, x, dy, 3, 2)

    def bordered(array):
        around = np.full(np.add(array.shape, (0, 0, 4, 2, 0)), 100, np.float32)
        inner = around[:, :, 2:-2, 1:-1]
        inner[...] = array
        return around, inner

    (_, x), (_, dy), (y_around, y), (dx_around, dx) = map(bordered, (x, dy, wanted[0] + 1, wanted[1] + 1))
    maxpool.forward(device, x, y, size=3, stride=2)
    maxpool.backward(device, x, None, y, dy, dx, size=3, stride=2)
    assert_array_equal(y, wanted[0])
    assert_array_equal(dx, wanted[1])
    for around, inner in ((y_around, y), (dx_around, dx)):
        assert (around == 100).sum() == around.size - inner.size


def test_the_bits_do_not_depend_on_the_workers(teams, rng):
    x = rng.normal(size=(2, 5, 9, 11, 17)).astype(np.float32)
    dy = rng.normal(size=(2, 5, 4, 5, 17)).astype(np.float32)
    one, *others = [engine(device, x, dy, 3, 2) for device in teams]
    for other in others:
        assert_array_equal(other[0], one[0])
        assert_array_equal(other[1], one[1])
