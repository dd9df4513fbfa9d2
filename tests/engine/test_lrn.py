"""Local response normalisation on both engines, alone and with the pooling above it, against the formula."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from cualex.devices.host import HostDevice
from cualex.engine.host import chunks, lrn
from tests.support import reference
from tests.support.benches import Bench

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
    "forty-eight": (2, 1, 3, 4, 48),
    "more channels than go together, by one": (1, 1, 2, 3, 2 * lrn.BLOCK + 1),
}
every_constant = pytest.mark.parametrize("numbers", CONSTANTS.values(), ids=CONSTANTS)
every_shape = pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)


def pixels(maps):
    """See every pixel of every tower as a picture of its own: (pixels, channels, 1, 1)."""
    return maps.reshape(-1, maps.shape[-1], 1, 1).astype(np.float64)


def draw(bench, rng, shape):
    """Return x and dy as maps hold them, in float64."""
    return bench.rounded(rng.normal(0.5, 2, (2, *shape)))


def allowed(bench, x, dy, n, k, alpha, beta):
    """Bound the errors of y and dx from the roundings of their parts, each at most a unit.

    s is a sum of positive terms: n + 4 roundings. s**beta has beta times as many, 5 of the roots and
    products, and 1 of the division. A term of the sum in dx has beta + 1 times those of s, and 8 of its
    products; the sum itself n more. Nothing cancels within a term, so the bound is a share of their sizes.
    On a GPU s**-beta has those of two reciprocal roots, 1.5 + 1 times, and 1 / s those of one, twice; powf is
    off by as much as two of them. Results are rounded to what maps hold.
    """
    base, roots = reference.lrn_base(x, n, k, alpha), bench.approximate
    y, direct = np.abs(x) * base**-beta, np.abs(dy) * base**-beta
    ratio = direct * np.abs(x) / base
    shared = np.abs(x) * reference.lrn_base(np.sqrt(ratio), n, 0.0, 2 * alpha * beta)  # the same window
    forward = beta * (n + 4) + 6 + 2.5 * roots
    backward = (beta + 1) * (n + 4) + 14 + n + 7 * roots
    return (forward * bench.sums + bench.unit) * y, (backward * bench.sums + bench.unit) * (direct + shared)


def run(bench, x, dy, numbers, relu=False):
    """Return y and dx."""
    x, dy, y, dx = bench.put(x), bench.put(dy), bench.empty(x.shape), bench.empty(x.shape)
    saved = bench.saved("lrn", x, y)
    with bench.untouched(x, dy):
        bench.engine.lrn.forward(bench.device, x, y, saved, **numbers)
        with bench.untouched(*([] if saved is None else [saved])):
            bench.engine.lrn.backward(bench.device, x, saved, dy, dx, **numbers, relu=relu)
    return bench.get(y), bench.get(dx)


@every_constant
@every_shape
def test_agrees_with_the_formula(bench, rng, shape, numbers):
    check(bench, *draw(bench, rng, shape), numbers)


@pytest.mark.slow
def test_more_pictures_than_go_together_by_one(device, rng):
    bench = Bench(device)
    check(bench, *draw(bench, rng, (1, chunks.VALUES // 15_000 + 1, 50, 50, 6)), CONSTANTS["loud"])


@pytest.mark.parametrize("channels", [1, 6, 16])
def test_without_a_constant(bench, rng, channels):
    """Near a pixel of zeros nothing is certain then: these keep away from it."""
    x, dy = draw(bench, rng, (2, 2, 3, 4, channels))
    check(bench, bench.rounded(x + np.copysign(1, x)), dy, {"n": 5, "k": 0.0, "alpha": 1.0, "beta": 0.75})


@pytest.mark.parametrize("channels", [301, 2064])
def test_more_channels_than_a_block_has_threads(cuda_bench, rng, channels):
    """The differences would take long: the host's gradient in float64 stands for them."""
    x, dy = draw(cuda_bench, rng, (1, 2, 1, 2, channels))
    found, wanted = (run(b, x, dy, CONSTANTS["loud"]) for b in (cuda_bench, Bench(HostDevice(precision="fp64"))))
    bounds = allowed(cuda_bench, *map(pixels, (x, dy)), **CONSTANTS["loud"])
    for got, right, bound in zip(found, wanted, bounds, strict=True):
        assert (np.abs(pixels(got) - pixels(right)) <= bound).all()


def check(bench, x, dy, numbers):
    """Hold y to the formula and dx to its differences."""
    y, dx = run(bench, x, dy, numbers)
    x, dy, y, dx = map(pixels, (x, dy, y, dx))

    def formula(x):
        return reference.lrn(x, **numbers)

    forward, backward = allowed(bench, x, dy, **numbers)
    difference = 1e-9 * np.abs(dy).max()  # how well central differences know the gradient
    assert (np.abs(y - formula(x)) <= forward).all()
    assert (np.abs(dx - reference.gradient(formula, x, dy, apart=True)) <= backward + difference).all()


@pytest.mark.parametrize("numbers", [CONSTANTS["loud"], CONSTANTS["beta a half"]], ids=["loud", "beta a half"])
@pytest.mark.parametrize("channels", [11, 24])
def test_small_changes(bench, rng, numbers, channels):
    """The window reaches n // 2 channels to each side within the tower, and nothing else."""
    x, dy = draw(bench, rng, (2, 2, 3, 4, channels))
    y, _ = run(bench, x, dy, numbers)
    x[1, 0, 2, 1, 4] += 64
    moved = np.argwhere(run(bench, x, dy, numbers)[0] != y)
    assert_array_equal(moved, [[1, 0, 2, 1, c] for c in range(2, 7)])


OVERFLOWING = {  # a value, how far its square reaches, and what becomes of its neighbours
    "a square that overflows": (2e19, 0.0),
    "a sum that overflows": (1.3e19, 0.0),
    "minus": (-3e25, 0.0),
    "infinity": (np.inf, 0.0),
    "no number": (np.nan, np.nan),
}


@pytest.mark.parametrize("kind", OVERFLOWING)
@pytest.mark.parametrize("beta", [0.75, 0.5])
@pytest.mark.parametrize("channels", [40, 13])
def test_what_overflows_reaches_its_windows_alone(bench, rng, kind, beta, channels):
    """Neighbours become 0, as the formula has it; the value itself NaN, so that the loss shows it."""
    value, neighbour = OVERFLOWING[kind]
    numbers = {"n": 5, "k": 2.0, "alpha": 1e-4, "beta": beta}
    x, dy = draw(bench, rng, (2, 2, 3, 4, channels))
    y, dx = run(bench, x, dy, numbers)
    value *= 1e135 if y.dtype == np.float64 else 1
    hit, several = (1, 0, 2, 1), kind == "a sum that overflows"
    x[(*hit, slice(5, 8))] = value if several else x[(*hit, slice(5, 8))]
    x[(*hit, 6)] = value
    new_y, new_dx = run(bench, x, dy, numbers)
    window, gradients = (np.zeros(x.shape, bool) for _ in range(2))
    window[(*hit, slice(4, 9))] = gradients[(*hit, slice(2, 11))] = True
    moved, moved_dx = (~((a == b) | (np.isnan(a) & np.isnan(b))) for a, b in ((new_y, y), (new_dx, dx)))
    if several:
        window[(*hit, slice(3, 10))] = gradients[(*hit, slice(1, 12))] = True
    assert not (moved & ~window).any()
    assert not (moved_dx & ~gradients).any()
    expected = np.full(5, neighbour)
    if not several:
        expected[2] = np.nan  # the value itself
    own = slice(5, 8) if several else slice(4, 9)  # the windows that overflow
    assert_array_equal(new_y[(*hit, own)], expected[: own.stop - own.start])
    if np.isfinite(value):
        assert np.isfinite(new_dx).all()
        assert_array_equal(new_dx[(*hit, slice(6, 7))], 0)


def test_relu_below_is_taken_with_it(bench, rng):
    x, dy = draw(bench, rng, (2, 2, 3, 4, 7))
    x[:, :, 1] = 0
    plain = run(bench, x, dy, CONSTANTS["loud"])[1]
    with_relu = run(bench, x, dy, CONSTANTS["loud"], relu=True)[1]
    assert_array_equal(with_relu, plain * (x > 0))


@pytest.mark.parametrize("channels", [7, 16])
def test_gradient_in_the_place_of_the_one_above(bench, rng, channels):
    given, given_dy = draw(bench, rng, (2, 2, 7, 9, channels))
    x, dy, y = bench.put(given), bench.put(given_dy), bench.empty(given.shape)
    saved = bench.saved("lrn", x, y)
    bench.engine.lrn.forward(bench.device, x, y, saved, **CONSTANTS["loud"])
    bench.engine.lrn.backward(bench.device, x, saved, dy, dy, **CONSTANTS["loud"])
    assert_array_equal(bench.get(dy), run(bench, given, given_dy, CONSTANTS["loud"])[1])


@every_constant
def test_inference_saves_nothing(bench, rng, numbers):
    given, dy = draw(bench, rng, (2, 2, 3, 4, 7))
    x, y = bench.put(given), bench.empty(given.shape)
    bench.engine.lrn.forward(bench.device, x, y, None, **numbers)
    assert_array_equal(bench.get(y), run(bench, given, dy, numbers)[0])


def test_output_inside_a_border(device, rng):
    """A convolution with padding may follow: its border stays zero."""
    x, dy = draw(Bench(device), rng, (2, 2, 3, 4, 7)).astype(np.float32)
    around = np.zeros((2, 2, 7, 8, 7), np.float32)
    lrn.forward(device, x, around[:, :, 2:-2, 2:-2], None, **CONSTANTS["loud"])
    assert_array_equal(around[:, :, 2:-2, 2:-2], run(Bench(device), x, dy, CONSTANTS["loud"])[0])
    around[:, :, 2:-2, 2:-2] = 0
    assert not around.any()


@pytest.mark.parametrize("relu", [False, True])
@every_constant
def test_pooled_equals_the_two_steps(bench, rng, numbers, relu):
    compare_pooled(bench, rng, numbers, relu, (2, 3, 9, 11, 7), 3, 2)


SHAPES_POOLED = [
    ((2, 2, 9, 11, 16), 3, 2),
    ((1, 2, 10, 8, 8), 2, 3),
    ((1, 1, 12, 13, 8), 5, 2),
    ((1, 2, 5, 5, 3), 5, 1),
]


@pytest.mark.slow
@pytest.mark.parametrize(("shape", "size", "stride"), SHAPES_POOLED)
def test_pooled_equals_the_two_steps_in_other_shapes(bench, rng, shape, size, stride):
    compare_pooled(bench, rng, CONSTANTS["loud"], True, shape, size, stride)


@pytest.mark.parametrize(
    ("shape", "size", "stride"), [((1, 2, 10, 8, 16), 3, 2), ((1, 1, 6, 9, 3), 4, 3), ((1, 1, 4, 6, 3), 2, 3)]
)
def test_pooled_equals_the_two_steps_where_windows_reach_beyond_the_end(bench, rng, shape, size, stride):
    compare_pooled(bench, rng, CONSTANTS["loud"], True, shape, size, stride, round_up=True)


@pytest.mark.parametrize("limits", [{"TILE": 1}, {"BLOCKS": 1}, {"TILE": 2000}, {"STATIC_SHARED": 9 * 16 * 2}], ids=str)
def test_pooled_equals_the_two_steps_however_it_is_cut_up(cuda_bench, rng, monkeypatch, limits):
    """Into segments, bands and chunks of channels, the last of them smaller."""
    for name, value in limits.items():
        monkeypatch.setattr(cuda_bench.engine.lrn, name, value)
    for channels in (40, 13):
        compare_pooled(cuda_bench, rng, CONSTANTS["loud"], True, (1, 2, 11, 15, channels), 3, 2)


def compare_pooled(bench, rng, numbers, relu, shape, size, stride, round_up=False):
    """Zeros of a ReLU give ties; the fused step must break them as the pooling does."""
    device, lrn, maxpool = bench.device, bench.engine.lrn, bench.engine.maxpool
    window = {"size": size, "stride": stride}
    out = (*shape[:2], *(reference.places(length, size, stride, round_up) for length in shape[2:4]), shape[4])
    x, dy = bench.put(np.maximum(rng.integers(-6, 3, shape), 0)), bench.put(rng.normal(size=out))
    y, dn, dx, also_dx = (bench.empty(shape) for _ in range(4))
    pooled, again, inferred = (bench.empty(out) for _ in range(3))
    saved, choice = bench.saved("lrn", x, y), bench.saved("maxpool", y, pooled)
    lrn.forward(device, x, y, saved, **numbers)
    maxpool.forward(device, y, pooled, choice, **window)
    maxpool.backward(device, y, choice, pooled, dy, dn, **window)
    lrn.backward(device, x, saved, dn, dx, **numbers, relu=relu)

    also_saved = bench.saved("lrn+maxpool", x, pooled)
    with bench.untouched(x, dy):
        lrn.forward_pooled(device, x, again, also_saved, **numbers, **window)
        lrn.backward_pooled(device, x, also_saved, again, dy, also_dx, **numbers, **window, relu=relu)
        lrn.forward_pooled(device, x, inferred, None, **numbers, **window)
    assert_array_equal(bench.get(again), bench.get(pooled))
    assert_array_equal(bench.get(inferred), bench.get(pooled))
    assert_array_equal(bench.get(also_dx), bench.get(dx))


def test_pooled_output_inside_a_border(device, rng):
    x = rng.normal(size=(2, 3, 9, 11, 7)).astype(np.float32)
    y, around = np.empty((2, 3, 4, 5, 7), np.float32), np.zeros((2, 3, 6, 7, 7), np.float32)
    for target in (y, around[:, :, 1:-1, 1:-1]):
        lrn.forward_pooled(device, x, target, None, **CONSTANTS["loud"], size=3, stride=2)
    assert_array_equal(around[:, :, 1:-1, 1:-1], y)
    around[:, :, 1:-1, 1:-1] = 0
    assert not around.any()


def test_the_bits_do_not_depend_on_the_workers_or_on_the_other_tower(teams, rng):
    benches = [Bench(device) for device in teams]
    x, dy = draw(benches[0], rng, (2, 5, 7, 9, 17))
    one, *others = [run(bench, x, dy, CONSTANTS["loud"]) for bench in benches]
    for other in others:
        assert_array_equal(other, one)
    for tower in range(2):
        own = slice(tower, tower + 1)
        alone = run(benches[0], x[own], dy[own], CONSTANTS["loud"])
        for a, b in zip(alone, one, strict=True):
            assert_array_equal(a, b[own])
