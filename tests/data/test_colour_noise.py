"""Colour noise: the covariance that packing finds, its components, and the shifts that are drawn from them."""

import math
from fractions import Fraction

import numpy as np
import pytest

from cualex.data import colour_noise, decoding, sources
from cualex.data import pack as packs
from cualex.data.batches import Stream, fixed_views, views
from cualex.data.colour_noise import ILSVRC2012, Components, Noise
from cualex.data.decoding import finish
from cualex.data.no_pack import unpacked
from cualex.data.prefetch import Prefetcher
from cualex.errors import UsageError
from cualex.random import philox
from cualex.random.normals import normals
from cualex.training.recipes import CIFAR, DEMO, PAPER
from tests.support.data_sets import LOUD, colourful, everything, folder
from tests.support.tiny_runs import small_model

SIZE = 8
ROUNDING = 2.0**-52


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("CUALEX_CACHE", str(tmp_path / "cache"))


def grey(rng):
    return np.repeat(rng.integers(0, 256, (SIZE, SIZE, 1)), 3, axis=2)


def packed(place, **options):
    return finish(packs.pack(sources.find(place, val_split=0), "train", SIZE, **options))


# --- the set's own colours


def test_the_covariance_is_the_exact_one(tmp_path):
    pack = packed(folder(tmp_path / "set", colourful))
    pixels = [[int(part) for part in pixel] for pixel in everything(pack).reshape(-1, 3)]
    count = len(pixels)
    for i in range(3):
        for j in range(3):
            both = Fraction(sum(pixel[i] * pixel[j] for pixel in pixels), count)
            exact = both - Fraction(sum(p[i] for p in pixels) * sum(p[j] for p in pixels), count**2)
            assert pack.covariance[i][j] == float(exact)
    assert pack.covariance[0][2] < 0 < pack.covariance[0][1]


def test_it_does_not_depend_on_workers_nor_on_being_packed(tmp_path, monkeypatch):
    place = folder(tmp_path / "set", colourful)
    first = packed(place, cache=tmp_path / "1", workers=1)
    looked = finish(unpacked(sources.find(place, val_split=0), "train", SIZE))
    monkeypatch.setattr(decoding, "TASK", 1)
    second = packed(place, cache=tmp_path / "2", workers=5)
    for other in (second, looked, packed(place, cache=tmp_path / "1")):
        assert (other.covariance, other.components) == (first.covariance, first.components)
    looked.threads.shutdown()


def test_only_train_has_it(tmp_path):
    place = folder(tmp_path / "set", colourful)
    val = finish(packs.pack(sources.find(place, val_split=0.5), "val", SIZE))
    assert (val.mean, val.covariance, val.components) == (None, None, None)


@pytest.mark.parametrize(("rows", "columns"), [(300, 256), (7, 258), (7, 259), (300, 1001)])
def test_sums_of_large_pictures_are_exact(rng, rows, columns):
    """Almost white, so that the sum of a row is about what float32 can hold, or beyond."""
    white = rng.integers(250, 256, (rows, columns, 3)).astype(np.uint8)
    pixels = white.reshape(-1, 3).astype(np.int64)
    assert (colour_noise.products(white) == pixels.T @ pixels).all()
    assert colour_noise.products(white).dtype == np.int64


def test_the_covariance_of_many_pixels_does_not_overflow():
    """1.3 million pictures of 256 x 256, half of them black and half white."""
    count = 1_300_000 * 65536
    total, squares = np.full(3, count // 2 * 255), np.full((3, 3), count // 2 * 255**2)
    assert colour_noise.covariance(count, total, squares) == ((127.5**2,) * 3,) * 3


@pytest.mark.parametrize("spread", [(1, 1, 1), (1e-3, 1, 1e3), (1, 0, 40)])
def test_components_are_orthonormal_and_make_up_the_covariance(rng, spread):
    for _ in range(20):
        axes = np.linalg.qr(rng.normal(size=(3, 3)))[0]
        matrix = axes.T * np.array(spread) @ axes
        matrix = (matrix + matrix.T) / 2
        found = colour_noise.components(tuple(map(tuple, matrix)))
        directions, variances = np.array(found.directions), np.array(found.variances)
        # Each of some fifteen turns rounds a few times; a variance that rounding could have made is cut off.
        bound = 64 * ROUNDING
        assert np.abs(directions @ directions.T - np.eye(3)).max() <= bound
        assert np.abs(directions.T * variances @ directions - matrix).max() <= bound * max(spread)
        assert np.abs(variances - sorted(spread, reverse=True)).max() <= bound * max(spread)
        assert (np.array([max(row, key=abs) for row in directions]) > 0).all()


def test_a_diagonal_covariance_is_its_own_answer():
    found = colour_noise.components(((3.0, 0.0, 0.0), (0.0, 5.0, 0.0), (0.0, 0.0, 4.0)))
    assert found == Components((5.0, 4.0, 3.0), ((0.0, 1.0, 0.0), (0.0, 0.0, 1.0), (1.0, 0.0, 0.0)))


def test_the_components_of_2012_are_orthonormal_to_their_eight_digits():
    directions = np.array(ILSVRC2012.directions)
    assert np.abs(directions @ directions.T - np.eye(3)).max() < 4e-8
    assert [math.sqrt(variance) for variance in ILSVRC2012.variances] == pytest.approx(
        [121.78006099, 37.09388853, 19.72083305]
    )
    # Most of what varies is brightness: the same sign everywhere. A transposed matrix would not have that.
    assert np.abs(np.abs(directions[0]) - 1 / math.sqrt(3)).max() < 0.02


# --- shifts


def test_shifts_follow_the_formula():
    chosen = np.array([5, 0, 1 << 33])
    numbers = normals(philox.blocks(3, philox.COLOURS, 0, 4, chosen))
    found = Noise(LOUD, 0.5).draw(3, 4, chosen)
    assert found.dtype == np.float32
    a, b, c = 15 * numbers[0], 10 * numbers[1], 2.5 * numbers[2]
    exact = np.stack([0.6 * a - 0.8 * c, b, 0.8 * a + 0.6 * c], axis=1)
    # One rounding to float32, of a sum of at most three terms.
    assert np.abs(found - exact).max() <= 2.0**-23 * np.abs(exact).max()


@pytest.mark.parametrize("components", [LOUD, ILSVRC2012])
def test_their_covariance_is_a_hundredth_of_the_sets(components):
    count = 40_000
    found = Noise(components).draw(11, 2, np.arange(count)).astype(np.float64)
    directions, variances = np.array(components.directions), np.array(components.variances)
    # Along the components they are independent with deviation 0.1 sqrt(variance). Of n draws the mean has the
    # deviation s / sqrt(n), the mean square sqrt(2 / n) s^2, a product s t / sqrt(n): five of each.
    along, scale = found @ directions.T, 0.1 * np.sqrt(variances)
    assert (np.abs(along.mean(axis=0)) < 5 * scale / math.sqrt(count)).all()
    bound = 5 * np.outer(scale, scale) / math.sqrt(count) * (1 + (math.sqrt(2) - 1) * np.eye(3))
    assert (np.abs(along.T @ along / count - 0.01 * np.diag(variances)) < bound).all()


def test_the_sign_of_a_direction_means_nothing():
    """A component turned round gives the same shifts as its number turned round, so the same distribution."""
    turned = Components(LOUD.variances, (tuple(-part for part in LOUD.directions[0]), *LOUD.directions[1:]))
    chosen = np.arange(300)
    one, other = Noise(LOUD).draw(1, 0, chosen), Noise(turned).draw(1, 0, chosen)
    first = np.array(LOUD.directions[0])
    mirrored = other - 2 * np.outer(other @ first, first)
    assert np.abs(one - mirrored).max() <= 2.0**-21 * np.abs(one).max()
    assert not np.allclose(one, other)


def test_grey_pictures_get_grey_shifts(tmp_path):
    pack = packed(folder(tmp_path / "set", grey))
    assert pack.components.variances[0] > 1000
    assert pack.components.variances[1:] == (0.0, 0.0)
    found = Noise(pack.components).draw(0, 0, np.arange(500))
    assert np.abs(found[:, 0]).max() > 5
    # The three parts of the one direction differ by a few roundings of float64, which float32 shows as one at most.
    assert (np.abs(np.diff(found, axis=1)) <= 2.0**-23 * np.abs(found[:, :1])).all()


def test_pictures_of_one_colour_get_none(tmp_path):
    pack = packed(folder(tmp_path / "set", lambda rng: np.full((SIZE, SIZE, 3), (7, 99, 200))))
    assert pack.covariance == ((0.0,) * 3,) * 3
    assert (Noise(pack.components).draw(0, 0, np.arange(9)) == 0).all()


def test_seeds_epochs_and_pictures_differ_and_nothing_else_matters():
    noise, chosen = Noise(LOUD), np.arange(50)
    whole = noise.draw(3, 1, chosen)
    assert len(np.unique(whole, axis=0)) == 50
    assert (noise.draw(3, 1, np.array([7, 49, 7])) == whole[[7, 49, 7]]).all()
    assert not (noise.draw(3, 2, chosen) == whole).any()
    assert not (noise.draw(4, 1, chosen) == whole).any()


# --- in the stream


class Stub:
    """Stand in for a pack: each picture is its own index."""

    size, classes, components = SIZE, ("a", "b"), LOUD

    def __init__(self, count=23):
        self.labels = np.zeros(count, np.int32)

    def __len__(self):
        return len(self.labels)

    def read(self, indices, out):
        out[:] = np.asarray(indices).reshape(-1, 1, 1, 1)


def filled(stream, position, batch):
    """Return the indices, views and colours of a batch."""
    arrays = (
        np.empty((batch, SIZE, SIZE, 3), np.uint8), np.empty((batch, 3), np.int32),
        np.empty(batch, np.int32), np.full((batch, 3), np.nan, np.float32),
    )  # fmt: skip
    stream.fill(position, *arrays)
    return arrays[0][:, 0, 0, 0].astype(int), arrays[1], arrays[3]


@pytest.mark.parametrize("batch", [1, 5, 24, 60])
def test_the_shift_of_a_picture_does_not_depend_on_the_batch(batch):
    stream = Stream(Stub(), 3, 6, noise=Noise(LOUD))
    whole = filled(stream, 0, 120)[2]
    for position in (0, 1, 20, 120 - batch):
        assert (filled(Stream(Stub(), 3, 6, noise=Noise(LOUD)), position, batch)[2] == whole[position:][:batch]).all()
    indices, _, shifts = filled(stream, 23 * 2, 23)
    assert (shifts == Noise(LOUD).draw(3, 2, indices)).all()


def test_the_last_epochs_have_crops_and_mirrors_but_no_noise():
    """Two epochs of 23 with noise, in a batch that lies across the end of the second."""
    _, seen, shifts = filled(Stream(Stub(), 3, 6, noise=Noise(LOUD, epochs=2)), 0, 69)
    assert (shifts[:46] != 0).all()
    assert (shifts[46:] == 0).all()
    assert (seen == filled(Stream(Stub(), 3, 6), 0, 69)[1]).all()
    assert len(np.unique(seen[46:], axis=0)) > 10


def test_a_recipe_says_which_epochs_have_noise_and_whose_components():
    def noise(**numbers):
        return PAPER.but(epochs=9, **numbers).stream(Stub(), 6).noise

    assert noise() == Noise(LOUD, 0.1, 9)
    assert noise(plain_epochs=4, colour_noise=0.3) == Noise(LOUD, 0.3, 5)
    assert noise(colour_components="2012") == Noise(ILSVRC2012, 0.1, 9)
    assert noise(colour_noise=0.0) is None
    assert noise(augment=False) is None
    assert [recipe.stream(Stub(), 6).noise for recipe in (DEMO, CIFAR)] == [None, None]
    with pytest.raises(UsageError) as caught:
        noise(colour_components="2021")
    assert str(caught.value) == "colour components '2021': expected data or 2012"


def test_the_table_says_what_is_switched_off():
    def table(**numbers):
        return {what: here for what, here, _ in PAPER.but(**numbers).against_paper()}

    rows = ["random crops and flips", "augmented views per image", "PCA colour noise, std", "principal components"]
    rows += ["last epochs without noise"]
    assert [table()[row] for row in rows] == ["yes", "1,800", "0.1", "of the training images", "none"]
    assert table()["mean image subtracted"] == "at the crop"
    assert table(mean_at="centre")["mean image subtracted"] == "at the centre"
    off = table(augment=False, plain_epochs=3)
    assert [off[row] for row in rows] == ["no", "1", "none", "none", "none"]
    some = table(colour_components="2012", plain_epochs=25, colour_noise=0.2)
    assert [some[row] for row in rows[2:]] == ["0.2", "of ILSVRC-2012", "25"]


def test_views_are_counted_with_the_last_offset():
    assert [views(256, 227), views(256, 224), views(32, 32)] == [1800, 2178, 2]


def test_every_view_is_drawn():
    """All 2 x 5 x 5 views of 8 pixels through 4, and no other, in 50 views of each of 40 pictures."""
    stream = Stream(Stub(40), 1, 4)
    seen, counts = np.unique(filled(stream, 0, 2000)[1], axis=0, return_counts=True)
    assert len(seen) == views(8, 4) == 50
    assert (seen.min(axis=0).tolist(), seen.max(axis=0).tolist()) == ([0, 0, 0], [4, 4, 1])
    # Chi-square with 49 degrees of freedom: beyond 98 once in thirty thousand.
    assert ((counts - 40) ** 2 / 40).sum() < 98


def test_what_is_read_ahead_has_the_shifts():
    with Prefetcher(Stream(Stub(), 3, 6, noise=Noise(LOUD, epochs=1)), 10) as ahead:
        for turn in range(4):
            shifts = ahead.take()[3]
            assert (shifts == filled(Stream(Stub(), 3, 6, noise=Noise(LOUD, epochs=1)), 10 * turn, 10)[2]).all()
            assert (shifts != 0).any() == (turn < 3)


def test_a_shifted_picture_is_the_picture_in_other_colours(rng):
    """Whole levels and a whole mean, so that nothing rounds: equal to the bit in what the network says."""
    model = small_model()
    pictures = rng.integers(50, 200, (4, 32, 32, 3)).astype(np.uint8)
    shifts = rng.integers(-50, 50, (4, 3))
    plan, seen = model.plan(4, ("fc4",)), np.tile(fixed_views(32, 27, 10)[9], (4, 1))
    found = []
    for given, colours_given in ((pictures, shifts), (pictures + shifts[:, None, None], None), (pictures, None)):
        plan.put(given.astype(np.uint8), seen, np.full(4, -1), colours_given)
        plan.run()
        found.append(plan.output("fc4"))
    assert (found[0] == found[1]).all()
    assert (found[0] != found[2]).all()
