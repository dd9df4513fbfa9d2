"""Normalisation within a channel on both engines, and both normalisations on the lectures' worked examples."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from cualex.engine.host import spatial_lrn
from cualex.layers import SpatialLRN
from tests.support import reference
from tests.support.benches import Bench

CONSTANTS = {
    "loud": {"n": 5, "k": 2.0, "alpha": 1.0, "beta": 0.75},
    "of 2012": {"n": 5, "k": 1.0, "alpha": 1e-3 / 25, "beta": 0.75},
    "even, beta one": {"n": 2, "k": 0.5, "alpha": 1.0, "beta": 1.0},
    "its own pixel": {"n": 1, "k": 2.0, "alpha": 1.0, "beta": 0.75},
}
SHAPES = [(1, 1, 1, 1, 1), (2, 2, 3, 2, 7), (2, 3, 7, 9, 16)]  # the second smaller than the window
every_constant = pytest.mark.parametrize("numbers", CONSTANTS.values(), ids=CONSTANTS)
every_shape = pytest.mark.parametrize("shape", SHAPES, ids=str)


def run(bench, x, dy, numbers, relu=False, kind="spatial_lrn"):
    x, dy, y, dx = bench.put(x), bench.put(dy), bench.empty(x.shape), bench.empty(x.shape)
    module, saved = getattr(bench.engine, kind), bench.saved(kind, x, y)
    with bench.untouched(x, dy):
        module.forward(bench.device, x, y, saved, **numbers)
        module.backward(bench.device, x, saved, dy, dx, **numbers, relu=relu)
    module.backward(bench.device, x, saved, dy, dy, **numbers, relu=relu)
    assert_array_equal(bench.get(dy), bench.get(dx))  # in the place of the gradient above
    return bench.get(y), bench.get(dx)


def maps(array):
    """See every channel of every picture and tower as a picture of its own: (n, 1, rows, columns)."""
    return np.moveaxis(array, 4, 2).reshape(-1, 1, *array.shape[2:4]).astype(np.float64)


def allowed(bench, x, dy, n, k, alpha, beta):
    """Bound the errors as tests/engine/test_lrn.py does, with the n^2 terms of a square."""
    base, roots = reference.spatial_base(x, n, k, alpha), bench.approximate
    y, direct = np.abs(x) * base**-beta, np.abs(dy) * base**-beta
    shared = np.abs(x) * reference.spatial_base(np.sqrt(direct * np.abs(x) / base), n, 0.0, 2 * alpha * beta)
    forward = beta * (n * n + 4) + 6 + 2.5 * roots
    backward = (beta + 1) * (n * n + 4) + 14 + n * n + 7 * roots
    return (forward * bench.sums + bench.unit) * y, (backward * bench.sums + bench.unit) * (direct + shared)


@every_constant
@every_shape
def test_agrees_with_the_formula(bench, rng, shape, numbers):
    x, dy = bench.rounded(rng.normal(0.5, 2, (2, *shape)))
    y, dx = run(bench, x, dy, numbers)
    assert_array_equal(run(bench, x, dy, numbers, relu=True)[1], dx * (x > 0))
    x, dy, y, dx = map(maps, (x, dy, y, dx))

    def formula(x):
        return reference.spatial_lrn(x, **numbers)

    forward, backward = allowed(bench, x, dy, **numbers)
    difference = 1e-9 * np.abs(dy).max()  # how well central differences know the gradient
    assert (np.abs(y - formula(x)) <= forward).all()
    assert (np.abs(dx - reference.gradient(formula, x, dy, apart=True)) <= backward + difference).all()


def test_small_changes(bench, rng):
    """The window reaches two rows and columns to each side, in its own map and no other."""
    x, dy = bench.rounded(rng.normal(0.5, 2, (2, 2, 2, 7, 9, 3)))
    y, _ = run(bench, x, dy, CONSTANTS["loud"])
    x[1, 0, 4, 1, 2] += 64
    moved = np.argwhere(run(bench, x, dy, CONSTANTS["loud"])[0] != y)
    assert_array_equal(moved, [[1, 0, row, column, 2] for row in range(2, 7) for column in range(4)])


def test_inference_saves_nothing_and_output_may_lie_in_a_border(device, rng):
    x, dy = rng.normal(size=(2, 2, 2, 3, 4, 7)).astype(np.float32)
    around = np.zeros((2, 2, 7, 8, 7), np.float32)
    spatial_lrn.forward(device, x, around[:, :, 2:-2, 2:-2], None, **CONSTANTS["loud"])
    assert_array_equal(around[:, :, 2:-2, 2:-2], run(Bench(device), x, dy, CONSTANTS["loud"])[0])
    around[:, :, 2:-2, 2:-2] = 0
    assert not around.any()


def test_the_layer_is_that_of_2012():
    """(1 + 1e-3 / 25 SUM over 5x5)^-.75."""
    assert vars(SpatialLRN()) == {"n": 5, "k": 1.0, "alpha": 1e-3 / 25, "beta": 0.75}


# --- the lectures' worked examples: (k, alpha, beta, n) = (0, 1, 1, 2)

LECTURE = {"n": 2, "k": 0.0, "alpha": 1.0, "beta": 1.0}
TABLE = [[1, 3, 2, 4, 2], [2, 4, 3, 5, 1], [2, 3, 2, 1, 3], [1, 3, 5, 3, 2], [2, 3, 4, 5, 2]]
NORMALISED = [
    [0.03, 0.07, 0.03, 0.07, 0.04],
    [0.05, 0.07, 0.03, 0.07, 0.02],
    [0.05, 0.04, 0.02, 0.01, 0.06],
    [0.03, 0.04, 0.05, 0.03, 0.04],
    [0.09, 0.05, 0.04, 0.06, 0.05],
]


def test_the_worked_example_within_a_channel(bench):
    """All 25 numbers, to the two places that the lecture gives."""
    x = np.reshape(TABLE, (1, 1, 5, 5, 1))
    y, _ = run(bench, x, np.ones(x.shape), LECTURE)
    assert (np.abs(y[0, 0, :, :, 0] - NORMALISED) <= 0.005 + bench.unit).all()
    assert y[0, 0, 2, 3, 0] == pytest.approx(1 / (9 + 25 + 1 + 4 + 1 + 9 + 25 + 9 + 4), rel=4 * bench.unit)


def test_the_worked_example_across_channels(bench):
    """Ones in two neighbouring channels, of which each counts itself and the other: a half."""
    x = np.reshape([1, 1, 0, 0, 1], (1, 1, 1, 1, 5))
    y, _ = run(bench, x, np.ones(x.shape), LECTURE, kind="lrn")
    assert y.ravel() == pytest.approx([0.5, 0.5, 0, 0, 1], rel=8 * bench.unit)


@pytest.mark.parametrize("beta", [0.5, 0.75, 1.0])
@pytest.mark.parametrize("kind", ["lrn", "spatial_lrn"])
def test_a_window_of_zeros_without_a_constant_gives_zero(bench, kind, beta):
    """And its gradient is zero; a window beside it that is not all zero is as it ever was."""
    x = np.zeros((1, 1, 6, 6, 8))
    x[0, 0, 5, 5, 7] = 2
    numbers = {"n": 3, "k": 0.0, "alpha": 1.0, "beta": beta}
    y, dx = run(bench, x, np.ones(x.shape), numbers, kind=kind)
    assert y[0, 0, 5, 5, 7] == pytest.approx(2 / 4**beta, rel=16 * bench.sums + bench.unit)
    y[0, 0, 5, 5, 7] = 0
    assert not y.any()
    assert not dx[0, 0, :4].any()
    assert not dx[..., :6].any() or kind == "spatial_lrn"
    assert np.isfinite(dx).all()


@pytest.mark.parametrize("value", [2e19, -3e25, np.inf, np.nan])
@pytest.mark.parametrize("beta", [0.75, 1.0])
def test_what_overflows_reaches_its_windows_alone(bench, rng, value, beta):
    """As in LRN across channels: neighbours become 0, and the value itself NaN, so that the loss shows it."""
    numbers = {"n": 3, "k": 2.0, "alpha": 1e-4, "beta": beta}
    x, dy = bench.rounded(rng.normal(0.5, 2, (2, 2, 2, 7, 9, 4)))
    y, dx = run(bench, x, dy, numbers)
    x[1, 0, 3, 4, 2] = value * (1e135 if y.dtype == np.float64 else 1)
    new_y, new_dx = run(bench, x, dy, numbers)
    near, gradients = (np.zeros(x.shape, bool) for _ in range(2))
    near[1, 0, 2:5, 3:6, 2] = gradients[1, 0, 1:6, 2:7, 2] = True
    assert_array_equal(new_y[~near], y[~near])
    assert_array_equal(new_dx[~gradients], dx[~gradients])
    expected = np.full((3, 3), np.nan if np.isnan(value) else 0.0)
    expected[1, 1] = np.nan
    assert_array_equal(new_y[1, 0, 2:5, 3:6, 2], expected)
