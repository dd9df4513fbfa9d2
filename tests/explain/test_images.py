"""Images that a filter or an image is nearest to: strongest, neighbours, the embedding; and dreams."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from cualex.errors import ImageError, UsageError
from cualex.explain import neighbours
from cualex.explain.activation_maximisation import blurred
from cualex.explain.strongest import largest
from tests.support import seeing


@pytest.fixture(scope="module")
def model():
    return seeing.model(precision="fp32")


@pytest.fixture(scope="module")
def images(model):
    return list(seeing.images(model.network, 12))


# --- the strongest


def test_the_strongest_are_those_of_all_maps(model, images):
    for layer, channel in (("conv3", 40), ("pool1", 3), ("fc7", 300)):
        every = np.stack([model.maps(image, layer)[channel] for image in images])
        order = np.argsort(-every.reshape(len(images), -1).max(axis=1), kind="stable")[:4]
        found = model.strongest(layer, channel, images, count=4)
        assert [each.index for each in found] == order.tolist()
        for each in found:
            assert each.activation == pytest.approx(every[each.index, each.row, each.column], rel=1e-5)
            assert each.activation == pytest.approx(every[each.index].max(), rel=1e-5)
            assert each.image is images[each.index]


def test_the_patch_is_what_the_filter_sees(model, images):
    """conv1 by hand, on the patch alone, gives the activation."""
    tensors = model.parameters.unload()
    for channel in (0, 9):  # of either tower
        (best,) = model.strongest("conv1", channel, images, count=1)
        top, left, bottom, right = best.box
        assert best.patch.shape == (11, 11, 3)
        seen = best.patch.astype(float) - model._passes.mean.transpose(1, 2, 0)[top:bottom, left:right]
        weight = tensors["conv1.weight"][channel].transpose(1, 2, 0)
        by_hand = (model.network.scale * seen * weight).sum() + tensors["conv1.bias"][channel]
        assert best.activation == pytest.approx(float(by_hand), rel=1e-4)


def test_equals_go_to_the_earlier_and_nan_never_wins():
    maps = np.zeros((4, 2, 3, 3))
    maps[1:3, 1, 1, 2] = 5
    maps[2, 1, 2, 0] = 5
    maps[3, 1] = np.nan
    two, none = largest(maps, [1, 0], 2)
    assert two == [(1, 5.0, 1, 2), (2, 5.0, 1, 2)]
    assert [each[:2] for each in none] == [(0, 0.0), (1, 0.0)]
    assert [each[0] for each in largest(maps, [1], 9)[0]] == [1, 2, 0, 3]


def test_what_cannot_be_found_is_said(model, images, tmp_path):
    with pytest.raises(UsageError, match=r"^filter 48: expected a number from 0 to 11$"):
        model.strongest("conv1", 48, images)
    with pytest.raises(UsageError, match=r"^filter -1: expected a number from 0 to 11$"):
        model.strongest("conv1", -1, images)
    with pytest.raises(UsageError, match=r"^count must be 1 or more, got 0$"):
        model.strongest("conv1", 0, images, count=0)
    with pytest.raises(UsageError, match=r"^no images were given$"):
        model.neighbours(images[0], [])
    with pytest.raises(ImageError, match=r"gone\.png: "):
        model.embedding([tmp_path / "gone.png"])


# --- neighbours and the embedding


@pytest.mark.parametrize("metric", neighbours.METRICS)
def test_neighbours_are_those_of_all_distances(model, images, metric):
    features = model.features(images).astype(float)
    query = features[3]
    if metric == "l2":
        every = [np.linalg.norm(query - each) for each in features]
    else:
        every = [1 - query @ each / np.linalg.norm(query) / np.linalg.norm(each) for each in features]
    found = model.neighbours(images[3], images, count=5, metric=metric)
    assert [each.index for each in found] == np.argsort(every, kind="stable")[:5].tolist()
    assert found[0].index == 3
    # One image takes another plan than many: sums of float32 in another order.
    size = 1e-5 * (np.linalg.norm(query) if metric == "l2" else 1)
    assert_allclose([each.distance for each in found], np.sort(every)[:5], rtol=1e-4, atol=size)
    again = model.neighbours(images[3], images, count=5, metric=metric, features=model.features(images))
    assert [(each.index, each.distance) for each in again] == [(each.index, each.distance) for each in found]


def test_equals_are_in_the_order_of_the_images():
    rng = np.random.default_rng(2)
    features = np.repeat(rng.normal(size=(5, 7)).astype(np.float32), 40, axis=0)[rng.permutation(200)]
    same = [i for i in range(200) if (features[i] == features[9]).all()]
    for metric in neighbours.METRICS:
        found = neighbours.nearest(features[9], features, range(200), 40, metric)
        assert [each.image for each in found] == same


def test_a_row_of_zeros_is_at_distance_one():
    assert_allclose(neighbours.distances(np.ones(3), np.array([[0, 0, 0], [-1, -1, -1.0]])), [1, 2])
    with pytest.raises(UsageError, match=r"^metric 'l1': expected cosine or l2$"):
        neighbours.distances(np.ones(3), np.ones((2, 3)), "l1")


def test_features_of_other_images_are_refused(model, images):
    with pytest.raises(UsageError, match=r"^expected features of 12 images, got 3$"):
        model.neighbours(images[0], images, features=np.ones((3, 512)))


def test_principal_components_are_those_of_the_covariance():
    rng = np.random.default_rng(4)
    features = rng.normal(size=(30, 6)) @ np.diag([5, 3, 2, 1, 0.5, 0.1]) + 7
    found = neighbours.principal_components(features, 3)
    sizes, directions = np.linalg.eigh(np.cov(features.T))
    sizes, directions = sizes[::-1], directions[:, ::-1]
    directions = directions * np.sign(directions[np.abs(directions).argmax(axis=0), np.arange(6)])
    assert_allclose(found.explained, sizes[:3] / sizes.sum(), rtol=1e-9)
    assert_allclose(found.points, (features - features.mean(axis=0)) @ directions[:, :3], atol=1e-9)


def test_fewer_images_than_dimensions_have_zeros():
    found = neighbours.principal_components(np.array([[1.0, 2, 3], [4, 6, 3]]), 3)
    assert_allclose(np.abs(found.points[:, 0]), 2.5)
    assert_allclose(found.points[:, 1:], 0, atol=1e-12)
    assert found.explained[0] == pytest.approx(1)
    same = neighbours.principal_components(np.ones((3, 4)))
    assert not same.points.any()
    assert not same.explained.any()
    with pytest.raises(UsageError, match=r"^dimensions must be 1 or more, got 0$"):
        neighbours.principal_components(np.ones((3, 4)), 0)


def test_images_of_two_kinds_lie_apart(model, images):
    """Noisy copies of two images: along the first dimension the kinds do not mix."""
    rng = np.random.default_rng(1)
    copies = [np.clip(images[i % 2] + rng.normal(0, 3, images[0].shape), 0, 255).astype(np.uint8) for i in range(10)]
    first = model.embedding(copies).points[:, 0]
    assert max(first[::2]) < min(first[1::2]) or max(first[1::2]) < min(first[::2])


# --- dreams


def test_a_dream_excites_its_filter(model):
    found = model.dream("conv3", 5, steps=24)
    assert (found.image.shape, found.image.dtype, len(found.course)) == ((67, 67, 3), np.uint8, 25)
    assert found.course[-1] > found.course[0] + 2 * np.abs(np.diff(found.course)).mean()
    seen = model._passes.output(found.image.transpose(2, 0, 1)[None], "conv3")[0, 5].mean()
    assert found.course[-1] == pytest.approx(float(seen))


def test_a_seed_gives_one_dream_in_every_placement(model):
    first = model.dream("fc8", 2, steps=3, seed=4)
    for other in (model, seeing.model("cpu,cpu", "fp32")):
        again = other.dream("fc8", 2, steps=3, seed=4)
        assert_array_equal(again.image, first.image)
        assert_array_equal(again.course, first.course)
    assert (model.dream("fc8", 2, steps=3, seed=5).image != first.image).any()


def test_decay_draws_to_the_mean_and_blur_smooths(model):
    def away(**settings):
        image = model.dream("conv3", 5, steps=8, **settings).image.transpose(2, 0, 1)
        return np.abs(image - model._passes.mean).mean(), np.abs(np.diff(image.astype(float), axis=2)).mean()

    plain, decayed, smooth = away(blur=0, decay=0), away(blur=0, decay=0.3), away(blur=2, decay=0)
    assert decayed[0] < 0.7 * plain[0]
    assert smooth[1] < 0.7 * plain[1]


def test_blurring_is_the_sum_of_the_formula(rng):
    x = rng.normal(size=(2, 9, 8))
    weights = np.exp(-0.5 * np.arange(-3, 4) ** 2 / 0.8**2)
    window = np.outer(weights, weights) / weights.sum() ** 2
    padded = np.pad(x, [(0, 0), (3, 3), (3, 3)], mode="edge")
    expected = np.empty_like(x)
    for c, i, j in np.ndindex(x.shape):
        expected[c, i, j] = (padded[c, i : i + 7, j : j + 7] * window).sum()
    assert_allclose(blurred(x, 0.8), expected, rtol=1e-12)
    assert_allclose(blurred(np.full((1, 5, 5), 3.0), 2.0), 3)


def test_what_cannot_be_dreamt_is_said(model):
    with pytest.raises(UsageError, match=r"^filter 12 of conv1: expected a number from 0 to 11$"):
        model.dream("conv1", 12)
    with pytest.raises(UsageError, match=r"^expected steps of 1 or more, .*; got steps 0, jitter 4, "):
        model.dream("conv1", 1, steps=0)
    with pytest.raises(UsageError, match=r"^a backward pass cannot start at softmax: start at fc8"):
        model.dream("softmax", 1)
