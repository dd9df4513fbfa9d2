"""Local response normalisation on the host, alone and with the pooling above it, against the formula."""

import numpy as np
import pytest
import reference
from layout import Untouched
from numpy.testing import assert_array_equal

from cualex.engine.host import lrn, maxpool, pieces

# At the paper's alpha of 1e-4 the sum hardly moves the result, and a broken window passes. At 1 it cannot.
CONSTANTS = {
    "loud": {"n": 5, "k": 2.0, "alpha": 1.0, "beta": 0.75},
    "paper": {"n": 5, "k": 2.0, "alpha": 1e-4, "beta": 0.75},
    "three channels": {"n": 3, "k": 1.0, "alpha": 0.5, "beta": 0.75},
    "its own channel": {"n": 1, "k": 2.0, "alpha": 1.0, "beta": 0.75},
    "even": {"n": 4, "k": 2.0, "alpha": 1.0, "beta": 0.75},
    "wide": {"n": 9, "k": 0.5, "alpha": 1.0, "beta": 0.75},
    "beta a half": {"n": 5, "k": 2.0, "alpha": 1.0, "beta": 0.5},
    "beta beyond one": {"n": 5, "k": 2.0, "alpha": 1.0, "beta": 1.25},
}
SHAPES = {  # towers, pictures, rows, columns, channels
    "one value": (1, 1, 1, 1, 1),
    "fewer channels than n": (1, 2, 1, 5, 3),
    "both edges and a middle": (2, 2, 3, 2, 7),
    "seventeen": (2, 5, 7, 9, 17),
    "more pictures than go together, by one": (1, pieces.VALUES // 15_000 + 1, 50, 50, 6),
    "more channels than go together, by one": (1, 1, 2, 3, 2 * lrn.BLOCK + 1),
}
every_constant = pytest.mark.parametrize("numbers", CONSTANTS.values(), ids=CONSTANTS)
every_shape = pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)


def pixels(maps):
    """See every pixel of every tower as a picture of its own: (pixels, channels, 1, 1)."""
    return maps.reshape(-1, maps.shape[-1], 1, 1).astype(np.float64)


def draw(rng, shape, dtype=np.float32):
    x, dy = rng.normal(0.5, 2, (2, *shape)).astype(dtype)
    return x, dy


def allowed(x, dy, n, k, alpha, beta, dtype):
    """Bound the errors of y and dx from the roundings of their parts, each at most a unit.

    s is a sum of positive terms: n + 4 roundings. s**beta has beta times as many, 5 of the roots and
    products, and 1 of the division. A term of the sum in dx has beta + 1 times those of s, and 8 of its
    products; the sum itself n more. Nothing cancels within a term, so the bound is a share of their sizes.
    """
    unit = reference.UNIT[np.dtype(dtype)]
    base = reference.lrn_base(x, n, k, alpha)
    direct = np.abs(dy) * base**-beta
    ratio = direct * np.abs(x) / base
    shared = reference.lrn_base(np.sqrt(ratio), n, 0.0, 2 * alpha * beta)  # the same window
    forward = beta * (n + 4) + 6
    backward = (beta + 1) * (n + 4) + 14 + n
    return forward * unit * np.abs(x) * base**-beta, backward * unit * (direct + np.abs(x) * shared)


def engine(device, x, dy, numbers, relu=False):
    y, saved, dx = (np.full_like(x, np.nan) for _ in range(3))
    with Untouched(x, dy):
        lrn.forward(device, x, y, saved, **numbers)
        with Untouched(saved):
            lrn.backward(device, x, saved, dy, dx, **numbers, relu=relu)
    return y, dx, saved


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@every_constant
@every_shape
def test_agrees_with_the_formula(device, rng, shape, numbers, dtype):
    x, dy = draw(rng, shape, dtype)
    y, dx, _ = engine(device, x, dy, numbers)
    x, dy, y, dx = map(pixels, (x, dy, y, dx))

    def formula(x):
        return reference.lrn(x, **numbers)

    forward, backward = allowed(x, dy, **numbers, dtype=dtype)
    difference = 1e-9 * np.abs(dy).max()  # how well central differences know the gradient
    assert (np.abs(y - formula(x)) <= forward).all()
    assert (np.abs(dx - reference.gradient(formula, x, dy, apart=True)) <= backward + difference).all()


@pytest.mark.parametrize(
    "numbers", [CONSTANTS["loud"], CONSTANTS["beta a half"]], ids=["loud", "beta a half"]
)
def test_small_changes(device, rng, numbers):
    """The window reaches n // 2 channels to each side within the tower, and nothing else."""
    x, dy = draw(rng, (2, 2, 3, 4, 11))
    y, _, _ = engine(device, x, dy, numbers)
    x[1, 0, 2, 1, 4] += 5
    moved = np.argwhere(engine(device, x, dy, numbers)[0] != y)
    assert_array_equal(moved, [[1, 0, 2, 1, c] for c in range(2, 7)])


def test_relu_below_is_taken_with_it(device, rng):
    x, dy = draw(rng, (2, 2, 3, 4, 7))
    x[:, :, 1] = 0
    plain = engine(device, x, dy, CONSTANTS["loud"])[1]
    with_relu = engine(device, x, dy, CONSTANTS["loud"], relu=True)[1]
    assert_array_equal(with_relu, plain * (x > 0))


def test_gradient_in_the_place_of_the_one_above(device, rng):
    x, dy = draw(rng, (2, 2, 7, 9, 7))
    _, dx, saved = engine(device, x, dy, CONSTANTS["loud"])
    lrn.backward(device, x, saved, dy, dy, **CONSTANTS["loud"])
    assert_array_equal(dy, dx)


@every_constant
def test_inference_saves_nothing(device, rng, numbers):
    x, dy = draw(rng, (2, 2, 3, 4, 7))
    y = np.full_like(x, np.nan)
    lrn.forward(device, x, y, None, **numbers)
    assert_array_equal(y, engine(device, x, dy, numbers)[0])


def test_output_inside_a_border(device, rng):
    """A convolution with padding may follow: its border stays zero."""
    x, dy = draw(rng, (2, 2, 3, 4, 7))
    around = np.zeros((2, 2, 7, 8, 7), np.float32)
    lrn.forward(device, x, around[:, :, 2:-2, 2:-2], None, **CONSTANTS["loud"])
    assert_array_equal(around[:, :, 2:-2, 2:-2], engine(device, x, dy, CONSTANTS["loud"])[0])
    around[:, :, 2:-2, 2:-2] = 0
    assert not around.any()


@pytest.mark.parametrize("relu", [False, True])
@every_constant
def test_pooled_equals_the_two_steps(device, rng, numbers, relu):
    """Zeros of a ReLU give ties; the fused step must break them as the pooling does."""
    x = np.maximum(rng.integers(-6, 3, (2, 3, 9, 11, 7)), 0).astype(np.float32)
    window = {"size": 3, "stride": 2}
    dy = rng.normal(size=(2, 3, 4, 5, 7)).astype(np.float32)
    y, saved, dn, dx = (np.full_like(x, np.nan) for _ in range(4))
    pooled = np.full_like(dy, np.nan)
    lrn.forward(device, x, y, saved, **numbers)
    maxpool.forward(device, y, pooled, **window)
    maxpool.backward(device, y, None, pooled, dy, dn, **window)
    lrn.backward(device, x, saved, dn, dx, **numbers, relu=relu)

    again, also_saved, also_dx = np.full_like(dy, np.nan), np.full_like(x, np.nan), np.full_like(x, np.nan)
    around = np.zeros((2, 3, 6, 7, 7), np.float32)
    with Untouched(x, dy):
        lrn.forward_pooled(device, x, again, also_saved, **numbers, **window)
        lrn.backward_pooled(device, x, also_saved, again, dy, also_dx, **numbers, **window, relu=relu)
        lrn.forward_pooled(device, x, around[:, :, 1:-1, 1:-1], None, **numbers, **window)
    assert_array_equal(again, pooled)
    assert_array_equal(also_dx, dx)
    assert_array_equal(around[:, :, 1:-1, 1:-1], pooled)


def test_the_bits_do_not_depend_on_the_workers_or_on_the_other_tower(teams, rng):
    x, dy = draw(rng, (2, 5, 7, 9, 17))
    one, *others = [engine(device, x, dy, CONSTANTS["loud"]) for device in teams]
    for other in others:
        assert_array_equal(other, one)
    for tower in range(2):
        own = slice(tower, tower + 1)
        alone = engine(teams[0], x[own], dy[own], CONSTANTS["loud"])
        for a, b in zip(alone, one, strict=True):
            assert_array_equal(a, b[own])
