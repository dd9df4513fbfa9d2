"""Plots of explanations: how heat is laid over an image, which images are found, and what is drawn of them."""

import dataclasses

import numpy as np
import pytest

from cualex import networks
from cualex.explain import receptive_field
from cualex.plots import heat, neighbours, strongest
from tests.golden import pictures
from tests.support import seeing


@pytest.fixture(scope="module")
def model():
    return seeing.model(precision="fp32")


@pytest.fixture(scope="module")
def images(model):
    return seeing.images(model.network, 11)


def explanation(values):
    (first, *_), _ = pictures.explanations()
    return dataclasses.replace(first, values=np.asarray(values, np.float32))


def test_pixels_without_heat_are_grey_and_the_hottest_are_covered_most():
    values = np.zeros((67, 67))
    values[10:20, 30:40] = np.linspace(1, 2, 100).reshape(10, 10)
    found = explanation(values)
    drawn, grey = heat.overlaid(found), found.image / 255 @ heat.GREY
    cold = values == 0
    assert np.allclose(drawn[cold], heat.GREYS * grey[cold, None])
    away = np.abs(drawn - heat.GREYS * grey[:, :, None]).max(axis=2)
    assert away[19, 39] > away[10, 30] > 0.2
    assert (drawn >= 0).all()
    assert (drawn <= 1).all()


def test_heat_above_the_99th_percentile_has_one_colour():
    values = np.linspace(0, 1, 67 * 67).reshape(67, 67) ** 3
    found = explanation(values)
    colours = heat.overlaid(found) - (1 - heat.COVER) * heat.GREYS * (found.image / 255 @ heat.GREY)[:, :, None]
    top = found.heat >= np.percentile(found.heat, 99)
    assert np.ptp(colours[top], axis=0).max() < 1e-6  # heat is float32
    assert np.ptp(colours[found.heat > 0.5], axis=0).max() > 0.1


def test_heat_is_scaled_by_itself_and_nan_is_said():
    values = np.random.default_rng(0).uniform(0, 1, (67, 67))
    assert np.allclose(heat.overlaid(explanation(values)), heat.overlaid(explanation(1e-6 * values)), atol=1e-6)
    single = np.zeros((67, 67))
    single[5, 6] = 3  # above the 99th percentile, which is 0
    drawn = heat.overlaid(explanation(single))
    assert np.argwhere(drawn[:, :, 0] - drawn[:, :, 2] > 0.1).tolist() == [[5, 6]]
    broken = explanation(np.where(values > 0.5, np.nan, values))
    assert np.isfinite(heat.overlaid(broken)).all()
    assert heat._said(broken) == "has NaN or Inf"
    assert heat._said(explanation(-values)) == "0 at every pixel"


def test_grad_cam_tells_the_size_of_the_maps_that_are_enlarged(model, images):
    found = model.explain(images[0], 1, "grad-cam")
    rows, columns = model.maps(images[0], "relu5").shape[1:]
    assert heat._said(dataclasses.replace(found, values=np.ones((67, 67)))) == f"relu5, {rows}×{columns}, enlarged"


@pytest.mark.parametrize(("layer", "filters"), [("conv2", [0, 31, 16]), ("relu5", [1]), ("fc7", [300, 2])])
def test_one_pass_finds_what_the_model_finds_filter_by_filter(model, images, layer, filters):
    batches = (images[first : first + 4] for first in range(0, len(images), 4))
    side = model.centre()[0]
    crops = images[:, side : side + 67, side : side + 67]
    found = strongest.search(
        model, layer, filters, 3, batches, lambda index: (f"{index}.png", None), lambda indices: crops[indices]
    )
    half = strongest.channels_of(model.network, layer) // 2
    for each, number in zip(found, filters, strict=True):
        assert (each.filter, each.tower, each.towers) == (number, number // half, 2)
        expected = model.strongest(layer, number, list(images), count=3)
        for one, other in zip(each.strongest, expected, strict=True):
            assert one.image == (f"{other.index}.png", None)
            assert (one.row, one.column, one.box) == (other.row, other.column, other.box)
            assert one.activation == pytest.approx(other.activation, rel=1e-5)
            assert np.array_equal(one.crop, other.crop)


@pytest.mark.parametrize("metric", ["l2", "cosine"])
def test_distances_while_features_go_by_are_those_of_the_model(model, images, metric):
    batches = (model.features(images[first : first + 4], "relu5") for first in range(0, len(images), 4))
    queries = np.stack([model.features(image, "relu5").ravel() for image in images[:2]])
    found = neighbours.search(queries, batches, metric)
    for query, row in zip(images, found, strict=False):
        expected = model.neighbours(query, list(images), 11, layer="relu5", metric=metric)
        assert np.argsort(row, kind="stable").tolist() == [each.index for each in expected]
        assert np.sort(row).tolist() == [each.distance for each in expected]


def test_what_a_unit_sees_is_enlarged_with_the_padding():
    network = networks.build("alexnet", crop=67, classes=10)
    field = receptive_field(network, "conv2")
    crop = np.random.default_rng(1).integers(0, 256, (67, 67, 3), np.uint8)
    for row, column in ((0, 0), (3, 2), (6, 6)):
        box = field.box(row, column)
        one = strongest.Strongest(0, ("", None), 1.0, row, column, box, crop)
        whole = strongest.enlarged(one, field, (0.1, 0.2, 0.3))
        assert whole.shape == (field.size, field.size, 3)
        for at in ((0, 0), (25, 25), (50, 50), (10, 40)):
            y, x = (field.start + unit * field.stride + pixel for unit, pixel in zip((row, column), at, strict=True))
            inside = 0 <= y < 67 and 0 <= x < 67
            assert whole[at].tolist() == ((crop[y, x] / 255).tolist() if inside else [0.1, 0.2, 0.3])
        dark = strongest._marked(one)
        top, left, bottom, right = box
        assert np.array_equal(dark[top:bottom, left:right] * 255, crop[top:bottom, left:right])
        dark[top:bottom, left:right] = 0
        assert dark.max() <= strongest.VEIL


def test_filters_are_spread_over_the_towers():
    assert strongest.spread(128, 4) == [0, 32, 64, 96]
    assert strongest.spread(3, 8) == [0, 1, 2]
    assert strongest.spread(1000, 3) == [0, 333, 666]


def test_a_filter_that_nothing_excites_is_said():
    (one,) = [strongest.Strongest(0, ("", None), 0.0, 0, 0, (0, 0, 1, 1), np.zeros((1, 1, 3), np.uint8))]
    assert strongest._said(strongest.Excited(0, 1, 2, [one])) == "tower 2; excited by no image"
    assert strongest._said(strongest.Excited(0, 0, 1, [dataclasses.replace(one, activation=1.0)])) == ""


@pytest.mark.slow
def test_rows_of_neighbours_have_classes_and_distances(tmp_path):
    near = neighbours.Shown("n.png", pictures.scene(9), None, 0.25)
    rows = [[neighbours.Shown("q.png", pictures.scene(9), "cat"), near, dataclasses.replace(near, cls="dog")]]
    assert neighbours.draw(rows, tmp_path / "a.svg", "") == [
        {"query": "q.png", "query_class": "cat", "rank": 1, "picture": "n.png", "class": None, "distance": 0.25},
        {"query": "q.png", "query_class": "cat", "rank": 2, "picture": "n.png", "class": "dog", "distance": 0.25},
    ]
