"""Average pooling on both engines against the formula, windows that reach beyond the end included."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from cualex.layers import AveragePool, MaxPool
from tests.support import reference
from tests.support.host_layout import outside

WINDOWS = [(2, 2), (3, 2), (4, 2), (2, 3)]  # size, stride
SHAPES = [(1, 1, 5, 5, 1), (2, 2, 4, 7, 3), (1, 2, 6, 5, 16)]
every_window = pytest.mark.parametrize(("size", "stride"), WINDOWS)
every_shape = pytest.mark.parametrize("shape", SHAPES, ids=str)
every_end = pytest.mark.parametrize("round_up", [False, True], ids=["whole windows", "rounded up"])


def out(shape, size, stride, round_up):
    towers, pictures, rows, columns, channels = shape
    layer = AveragePool(size, stride, round_up)
    return towers, pictures, *layer.output_shape((channels, rows, columns))[1:], channels


def run(bench, x, dy, size, stride):
    pool, window = bench.engine.averagepool, {"size": size, "stride": stride}
    x, dy, y, dx = bench.put(x), bench.put(dy), bench.empty(dy.shape), bench.empty(x.shape)
    with bench.untouched(x, dy):
        pool.forward(bench.device, x, y, **window)
        pool.backward(bench.device, dy, dx, **window)
    return bench.get(y), bench.get(dx)


def by_tower(function, *arrays):
    """Compute by the reference, tower by tower, and put the channels last again."""
    return np.moveaxis([function(*map(outside, own)) for own in zip(*arrays, strict=True)], 2, 4)


@every_end
@every_window
@every_shape
def test_agrees_with_the_formula(bench, rng, shape, size, stride, round_up):
    """Whole numbers: a mean of four is exact, others round once; so does each share of a gradient."""
    x = rng.integers(-9, 10, shape)
    dy = rng.integers(-9, 10, out(shape, size, stride, round_up))
    y, dx = run(bench, x, dy, size, stride)

    def formula(x):
        return reference.averagepool(x, size, stride, round_up)

    wanted = by_tower(formula, x)
    assert y.shape == wanted.shape
    assert (np.abs(y - wanted) <= 2 * bench.unit * np.abs(wanted)).all()
    if (size, round_up) == (2, False):
        assert_array_equal(y, bench.rounded(wanted))
    d = by_tower(lambda x, dy: reference.gradient(formula, x, dy, step=1, apart=True), x, dy)
    most = by_tower(lambda x, dy: reference.gradient(formula, x, np.abs(dy), step=1, apart=True), x, dy)
    assert (np.abs(dx - d) <= 6 * bench.sums * most + bench.unit * np.abs(d) + 1e-12).all()


def test_cut_off_windows_by_hand(bench):
    """The last window has one column of its two: its mean is of two values, each of which gets a half."""
    x = np.arange(1.0, 11).reshape(1, 1, 2, 5, 1)
    y, dx = run(bench, x, np.ones((1, 1, 1, 3, 1)), 2, 2)
    assert_array_equal(y[0, 0, 0, :, 0], [4, 6, 7.5])
    assert_array_equal(dx[0, 0, :, :, 0], [[0.25, 0.25, 0.25, 0.25, 0.5]] * 2)


def test_output_inside_a_border(device, rng):
    from cualex.engine.host import averagepool
    from tests.support.benches import Bench

    x, dy = rng.normal(size=(2, 2, 6, 8, 3)).astype(np.float32), rng.normal(size=(2, 2, 3, 4, 3))
    around = np.zeros((2, 2, 7, 8, 3), np.float32)
    averagepool.forward(device, x, around[:, :, 2:-2, 2:-2], size=2, stride=2)
    assert_array_equal(around[:, :, 2:-2, 2:-2], run(Bench(device), x, dy, 2, 2)[0])
    around[:, :, 2:-2, 2:-2] = 0
    assert not around.any()


@pytest.mark.parametrize(
    ("length", "size", "stride", "down", "up"),
    [
        (55, 3, 2, 27, 27),
        (13, 3, 2, 6, 6),
        (6, 3, 2, 2, 3),
        (6, 2, 3, 2, 2),
        (7, 2, 3, 2, 3),
        (4, 3, 3, 1, 2),
    ],
)
@pytest.mark.parametrize("layer", [AveragePool, MaxPool])
def test_sizes(layer, length, size, stride, down, up):
    """Rounded up, a window must begin inside of the maps: 2 by 3 has none at the seventh of six places."""
    assert layer(size, stride).output_shape((4, length, length)) == (4, down, down)
    assert layer(size, stride, round_up=True).output_shape((4, length, length)) == (4, up, up)
