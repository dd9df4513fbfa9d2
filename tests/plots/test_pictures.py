"""Every kind of plot, against the small versions in tests/golden/show: `python -m tests.golden.pictures` makes them."""

import json

import numpy as np
import pytest
from PIL import Image

from tests.golden import pictures
from tests.support import plot_texts, seeing, small_alexnet

# Under the same versions of matplotlib and FreeType another processor may round the last bit of a coordinate or of a
# map otherwise, which moves a pixel of the plot by a level, and their mean over 16 by no more.
SAME = 1
OTHER = 3  # levels of mean brightness, in squares of 16 pixels: what fonts of other versions change, as for the README


@pytest.mark.slow
@pytest.mark.parametrize("name", pictures.PLOTS)
def test_a_plot_is_what_it_was(name, tmp_path):
    drawn = pictures.drawn(name, tmp_path)
    with Image.open(pictures.KEPT / f"{name}.png") as image:
        kept = np.asarray(image.convert("RGB"))
    if pictures.versions() == json.loads((pictures.KEPT / "versions.json").read_text()):
        assert drawn.shape == kept.shape
        assert np.abs(drawn.astype(int) - kept).max() <= SAME
    else:
        assert np.abs(np.subtract(drawn.shape, kept.shape)).max() <= 2
        rows, columns = np.minimum(drawn.shape, kept.shape)[:2]
        coarse = [
            np.asarray(Image.fromarray(each[:rows, :columns]).convert("L").reduce(4), np.float32)
            for each in (drawn, kept)
        ]
        assert np.abs(coarse[0] - coarse[1]).mean() < OTHER


def test_every_picture_is_of_a_plot():
    assert {path.stem for path in pictures.KEPT.glob("*.png")} == set(pictures.PLOTS)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["curves-of-two", "heat", "maps", "network", "predictions", "strongest"])
def test_a_plot_as_svg_can_be_read(name, tmp_path):
    import xml.etree.ElementTree as tree

    draw, theme = pictures.PLOTS[name]
    draw(tmp_path / "a.svg", pictures.THEMES[theme])
    root = tree.parse(tmp_path / "a.svg").getroot()
    assert root.tag.endswith("svg")
    assert len(list(root.iter())) > 50


@pytest.mark.slow
def test_maps_of_which_some_are_nan_show_the_others(tmp_path, monkeypatch):
    model, scene = pictures.bundled(), pictures.scene(76)
    whole = model.maps(scene, "relu1")
    broken = whole.copy()
    broken[0, 0], broken[1, 0] = np.nan, np.inf
    drawn = []
    for maps in (whole, broken, np.full_like(whole, np.nan), np.zeros_like(whole)):
        monkeypatch.setattr(model, "maps", lambda image, layer, maps=maps: maps)
        pictures.maps.draw(model, scene, "relu1", tmp_path / "a.png")
        drawn.append(pictures.smaller(tmp_path / "a.png").astype(int))
    changed = [(np.abs(each - drawn[0]).max(axis=2) > 16).mean() for each in drawn]
    assert 0 < changed[1] < 0.02 < changed[2]


@pytest.mark.slow
@pytest.mark.parametrize(("crop", "reduced"), [(67, 1), (227, 1), (291, 2)])
def test_every_value_has_a_pixel_of_its_own_or_the_plot_says_that_it_has_none(crop, reduced, tmp_path, monkeypatch):
    """relu1 at 227 pixels was drawn smaller than its values, and no word said so."""
    model = seeing.model(net=small_alexnet.network(crop=crop), precision="fp32")
    shown, show, texts = [], pictures.maps.blocks.show, plot_texts.record(monkeypatch)

    def recorded(axes, laid, *rest):
        box = axes.get_position()
        size = axes.figure.get_size_inches() * pictures.maps.DPI
        shown.append((laid.shape[1] - box.width * size[0], laid.shape[0] - box.height * size[1]))
        return show(axes, laid, *rest)

    monkeypatch.setattr(pictures.maps.blocks, "show", recorded)
    scene = pictures.scene(model.network.stored)
    for draw in (
        lambda path: pictures.sparsity.draw(model, scene, path),
        lambda path: pictures.maps.draw(model, scene, "relu1", path),
    ):
        draw(tmp_path / "a.png")
        said = " ".join(texts)
        assert ("a pixel is the mean of" in said.lower()) == (reduced > 1)
    assert np.abs(shown).max() < 0.01
