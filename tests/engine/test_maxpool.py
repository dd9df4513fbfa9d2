"""Overlapping max-pooling on both engines, against the formula: everything here is exact."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from cualex.engine.host import maxpool
from tests.support import reference
from tests.support.benches import Bench
from tests.support.host_layout import outside

WINDOWS = [(3, 2), (2, 2), (3, 1), (3, 3), (5, 2), (4, 3), (2, 3), (1, 1), (1, 2)]  # size, stride
SHAPES = [(1, 1, 5, 5, 1), (2, 2, 7, 9, 3), (1, 5, 8, 6, 17), (2, 1, 13, 13, 8)]
every_window = pytest.mark.parametrize(("size", "stride"), WINDOWS)
every_shape = pytest.mark.parametrize("shape", SHAPES, ids=str)


def draw(rng, shape, size, stride, values, round_up=False):
    towers, pictures, *lengths, channels = shape
    out = (
        towers,
        pictures,
        *(reference.places(length, size, stride, round_up) for length in lengths),
        channels,
    )
    return rng.integers(*values, shape).astype(np.float32), rng.integers(-9, 10, out).astype(np.float32)


def run(bench, x, dy, size, stride, relu=False):
    pool, numbers = bench.engine.maxpool, {"size": size, "stride": stride}
    x, dy, y, dx = bench.put(x), bench.put(dy), bench.empty(dy.shape), bench.empty(x.shape)
    saved = bench.saved("maxpool", x, y)
    with bench.untouched(x, dy):
        pool.forward(bench.device, x, y, saved, **numbers)
        with bench.untouched(y):
            pool.backward(bench.device, x, saved, y, dy, dx, **numbers, relu=relu)
    return bench.get(y), bench.get(dx)


def by_tower(function, *arrays):
    """Compute by the reference, tower by tower, and put the channels last again."""
    return np.moveaxis([function(*map(outside, own)) for own in zip(*arrays, strict=True)], 2, 4)


# Few ties, ties, signs, and nothing but ties.
VALUES = [(-50, 50), (0, 3), (-2, 1), (7, 8)]


@every_window
@every_shape
def test_equals_the_formula(bench, rng, shape, size, stride):
    """A row that no window reaches gets a zero; of equal values the first takes all."""
    drawn = [draw(rng, shape, size, stride, values) for values in VALUES]
    x, dy = (np.concatenate(each, axis=1) for each in zip(*drawn, strict=True))
    y, dx = run(bench, x, dy, size, stride)
    assert_array_equal(y, by_tower(lambda x: reference.maxpool(x, size, stride), x))
    assert_array_equal(dx, by_tower(lambda x, dy: reference.maxpool_gradient(x, dy, size, stride), x, dy))


@pytest.mark.parametrize("values", [(-50, 50), (-2, 1)], ids=["few ties", "ties"])
@pytest.mark.parametrize(("size", "stride"), [(3, 2), (2, 3), (5, 2)])
@pytest.mark.parametrize("shape", [(2, 2, 6, 8, 3), (1, 2, 7, 9, 16)], ids=str)
def test_windows_that_reach_beyond_the_end(bench, rng, shape, size, stride, values):
    """Rounded up: the last windows have fewer values; what is beyond the end is no zero and no maximum."""
    x, dy = draw(rng, shape, size, stride, values, round_up=True)
    x -= 60
    y, dx = run(bench, x, dy, size, stride)
    assert_array_equal(y, by_tower(lambda x: reference.maxpool(x, size, stride, round_up=True), x))
    assert_array_equal(dx, by_tower(lambda x, dy: reference.maxpool_gradient(x, dy, size, stride), x, dy))


def test_first_of_equals_by_hand(bench):
    """The upper right comes before the lower left: rows first, then columns."""
    x = np.zeros((1, 1, 3, 3, 1), np.float32)
    x[0, 0, 0, 2], x[0, 0, 2, 0] = 5, 5
    dx = run(bench, x, np.ones((1, 1, 1, 1, 1), np.float32), 3, 2)[1]
    assert_array_equal(dx[0, 0, :, :, 0], [[0, 0, 1], [0, 0, 0], [0, 0, 0]])


@every_window
def test_relu_below_is_taken_with_it(bench, rng, size, stride):
    x, dy = draw(rng, (2, 2, 7, 9, 3), size, stride, (-3, 2))
    plain = run(bench, x, dy, size, stride)[1]
    assert_array_equal(run(bench, x, dy, size, stride, relu=True)[1], plain * (x > 0))


def test_what_is_no_number_is_the_largest(bench):
    """Else a network that diverged would go on as if it had not."""
    x = np.zeros((1, 1, 3, 5, 1), np.float32)
    x[0, 0, 1, 1], x[0, 0, 2, 2], x[0, 0, 0, 3:] = 7, np.nan, -np.inf
    pooled = run(bench, x, np.ones((1, 1, 1, 2, 1), np.float32), 3, 2)[0]
    assert_array_equal(pooled[0, 0, 0, :, 0], [np.nan, np.nan])
    x[0, 0, 1:, :3, 0] = [[np.inf, -np.inf, 1], [2, 3, 4]]
    assert_array_equal(run(bench, x, np.ones((1, 1, 1, 2, 1)), 3, 2)[0][0, 0, 0, :, 0], [np.inf, 4])
    assert run(bench, np.full((1, 1, 2, 2, 1), -np.inf), np.ones((1, 1, 1, 1, 1)), 2, 2)[0] == -np.inf


@pytest.mark.parametrize(("size", "stride"), [(15, 4), (3, 2)])
def test_windows_up_to_what_a_byte_can_number(cuda_bench, rng, size, stride):
    x, dy = draw(rng, (1, 2, 23, 19, 8), size, stride, (0, 40))
    y, dx = run(cuda_bench, x, dy, size, stride)
    assert_array_equal(y, by_tower(lambda x: reference.maxpool(x, size, stride), x))
    assert_array_equal(dx, by_tower(lambda x, dy: reference.maxpool_gradient(x, dy, size, stride), x, dy))
    x, dy = draw(rng, (1, 1, 16, 16, 1), 16, 1, (0, 40))
    with pytest.raises(ValueError, match=r"^maxpool: windows of 16x16 have more than 255 positions$"):
        run(cuda_bench, x, dy, 16, 1)


def test_inference_saves_nothing(cuda_bench, rng):
    x, dy = draw(rng, (2, 2, 7, 9, 16), 3, 2, (0, 9))
    y = cuda_bench.empty(dy.shape)
    cuda_bench.engine.maxpool.forward(cuda_bench.device, cuda_bench.put(x), y, None, size=3, stride=2)
    assert_array_equal(cuda_bench.get(y), run(cuda_bench, x, dy, 3, 2)[0])


def test_maps_inside_borders(device, rng):
    """Every array may be the inside of a larger one, whose border stays as it is."""
    x, dy = draw(rng, (2, 2, 7, 9, 3), 3, 2, (0, 4))
    wanted = run(Bench(device), x, dy, 3, 2)

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
    one, *others = [run(Bench(device), x, dy, 3, 2) for device in teams]
    for other in others:
        assert_array_equal(other[0], one[0])
        assert_array_equal(other[1], one[1])
