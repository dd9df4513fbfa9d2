"""Blocks of small images, and the filters and maps that are laid out in them."""

import itertools

import numpy as np
import pytest

from cualex import networks
from cualex.errors import UsageError
from cualex.plots import blocks, filters, maps, towers
from cualex.plots.theme import THEMES

NAN = np.nan


def test_images_are_laid_out_row_by_row():
    images = np.arange(1, 7).reshape(3, 1, 2).astype(float)
    laid = blocks.mosaic(images, across=2, side=2, gap=1)
    expected = [[1, 2, NAN, 3, 4], [NAN] * 5, [5, 6, NAN, NAN, NAN]]
    assert np.array_equal(laid, expected, equal_nan=True)


def test_a_pixel_becomes_as_many_as_fit():
    assert np.array_equal(blocks.mosaic(np.array([[[7.0]]]), 1, 3, 1), np.full((3, 3), 7.0))
    assert blocks.mosaic(np.zeros((1, 2, 2)), 1, 5, 1).shape == (4, 4)
    assert blocks.mosaic(np.zeros((1, 1, 1)), 1, 500, 1).shape == (24, 24)
    assert blocks.mosaic(np.zeros((1, 9, 9)), 1, 3, 1).shape == (9, 9)


def test_large_maps_are_averaged():
    image = np.zeros((1, 130, 128))
    image[0, :3, :3] = 9.0
    laid = blocks.mosaic(image, 1, 10, 1)
    assert laid.shape == (43, 42)
    assert (laid[0, 0], laid[0, 1]) == (9, 0)


@pytest.mark.parametrize(
    ("count", "expected"),
    [(1, 1), (2, 1), (3, 1), (7, 3), (10, 2), (48, 6), (96, 8), (192, 12), (1000, 25), (2048, 32)],
)
def test_blocks_are_about_square(count, expected):
    assert blocks.columns(count) == expected


def test_filters_are_in_full_rows_as_in_the_paper():
    assert [filters.across(count) for count in (1, 6, 7, 24, 31, 48, 64, 96)] == [1, 6, 7, 12, 16, 16, 16, 16]


def test_filters_are_scaled_around_grey():
    weights = np.zeros((2, 3, 2, 2))
    weights[1, 0, 1, 0], weights[1, 2, 1, 0] = 4.0, -2.0  # red, and less than no blue
    shown = filters.scaled(weights)
    assert shown.shape == (2, 2, 2, 3)
    assert shown[1, 1, 0].tolist() == [1.0, 0.5, 0.25]
    shown[1, 1, 0] = 0.5
    assert (shown == 0.5).all()
    assert filters.scaled(weights[:, :1]).shape == (2, 2, 2)


def test_the_first_convolution_is_found():
    assert filters.first(networks.build("alexnet")) == ("conv1", 2)
    assert filters.first(networks.build("lenet5")) == ("conv1", 1)
    assert maps.first(networks.build("alexnet")) == "relu1"
    assert maps.first(networks.build("cifar-tanh")) == "tanh1"


def test_filters_of_other_channels_are_refused(tmp_path):
    with pytest.raises(UsageError, match="conv1 of alexnet reads 4 channels: expected 1 or 3"):
        filters.draw(networks.build("alexnet"), np.zeros((96, 4, 11, 11)), tmp_path / "a.png")


def test_what_is_nan_is_the_ground():
    theme, drawn = THEMES["light"], []
    axes = type("Axes", (), {"imshow": lambda self, shown, **settings: drawn.append(shown)})()
    laid = np.array([[NAN, 0.0, 1.0]])
    blocks.show(axes, laid, theme, theme.deep(theme.tower1))
    blocks.show(axes, laid, theme, theme.signed, signed=True)
    ground, ink = theme.mixed(theme.ground, 1), theme.mixed(theme.ink, 1)
    assert drawn[0][0, 0] == pytest.approx(ground)
    assert drawn[0][0, 2] == pytest.approx(ink)
    assert drawn[1][0, 2] == pytest.approx(theme.mixed(theme.positive, 1))
    assert drawn[1][0, 1] == pytest.approx(ground, abs=0.02)


@pytest.mark.parametrize("name", ["alexnet", "alexnet-torchvision", "lenet5", "cifar-relu"])
def test_a_network_is_placed_without_overlap(name):
    """Layers from left to right; a block has a square for every map of a tower."""
    network = networks.build(name)
    placed, _ = towers.placed(network)
    for before, after in itertools.pairwise(placed):
        assert after.left >= before.right + towers.GAP
    for column in placed:
        full = np.isfinite(column.cells)
        rows, columns = full.any(axis=1), full.any(axis=0)
        starts = (np.diff(np.r_[0, rows]) == 1).sum(), (np.diff(np.r_[0, columns]) == 1).sum()
        count = column.box.output[0]
        assert starts[0] * starts[1] >= count > starts[0] * starts[1] - starts[1]


def test_the_numbers_of_a_network_are_those_of_its_summary():
    rows = {row["layer"]: row for row in towers.table(networks.build("alexnet"))}
    assert sum(row["parameters"] for row in rows.values()) == 60_965_224
    assert sum(row["multiply_adds"] for row in rows.values()) == 724_406_816
    assert {name: row["sent"] for name, row in rows.items() if row["sent"]} == {
        "conv3": 21632,
        "fc6": 4608,
        "fc7": 2048,
        "fc8": 2048,
    }
