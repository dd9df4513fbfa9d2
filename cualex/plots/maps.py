"""Plot of the maps of a layer: what an image leaves in it."""

from pathlib import Path
from typing import Any

import numpy as np

from cualex.data.images import ImageSource
from cualex.model import Model
from cualex.networks import Network
from cualex.plots import blocks
from cualex.plots.figure import figure, place
from cualex.plots.theme import DPI, LIGHT, Theme
from cualex.weights import initial

BRIGHTEST = 99.5  # percentile of a layer's values that is drawn as ink
PICTURE, GAP = 2.3, 0.32  # inches: of the image, and between it and blocks
BLOCK = 3.4  # inches, about, of a tower's block
ACTIVE = ("relu", "activation")
MOST_GAP = 3  # pixels between maps


def draw(model: Model, image: ImageSource, layer: str, path: str | Path, theme: Theme = LIGHT) -> np.ndarray:
    """Draw the maps of an image at a layer, tower by tower, and return them: float32 (channels, rows, columns).

    Values from 0 up are drawn in the tower's colour by their square root, up to the layer's 99.5th percentile; where
    some are negative, all are drawn on a linear scale, green above 0 and purple below. Raise ImageError and UsageError
    as `Model.maps` does.
    """
    maps = model.maps(image, layer)
    towers = towers_of(model.network, layer)
    parts, finite = np.split(maps, towers), np.abs(maps[np.isfinite(maps)])
    signed = bool((maps < 0).any())
    end = float(np.percentile(finite, BRIGHTEST)) or float(finite.max()) if finite.size else 0.0
    end = end or 1.0  # all are 0
    laid = [_laid(np.clip(part / end, -1, 1) if signed else np.sqrt(np.clip(part / end, 0, 1))) for part in parts]
    wide, tall = blocks.inches(laid[0])
    count, rows, columns = maps.shape
    what = f"{count} maps of {rows}×{columns}" if rows * columns > 1 else f"{count} units"
    side = model.network.side(layer)
    scale = "linear" if signed else "square-root"
    said = f"{model.network.name}; {what}{f', {side}' if side else ''}. One {scale} scale for all."
    if (reduced := blocks.reduction(maps.shape)) > 1:
        said += f" A pixel is the mean of {reduced}×{reduced} values."
    if finite.size < maps.size:
        said += f" {maps.size - finite.size:,} values are NaN or Inf."
    said += f" {initial.said(model.untrained, model.network)}"
    size = (PICTURE + towers * (wide + GAP), max(blocks.HEAD + tall, PICTURE + blocks.HEAD) + 0.45)
    with figure(path, size, f"{'Maps' if rows * columns > 1 else 'Units'} of {layer}", said, theme) as drawn:
        picture(drawn, model, image, blocks.HEAD, PICTURE)
        for number, part in enumerate(laid):
            left = PICTURE + GAP + number * (wide + GAP)
            colour = colour_of(model.network, towers, number, theme)
            if towers > 1:
                blocks.head(drawn, left, 0, f"tower {number + 1}", "", colour)
            axes = place(drawn, left, blocks.HEAD, wide, tall)
            colours = theme.signed if signed else theme.deep(colour)
            blocks.show(axes, part, theme, colours, signed)
            _key(drawn, left, blocks.HEAD + tall + 0.16, colours, end, signed)
    return maps


def first(network: Network) -> str:
    """Return the layer to draw where none is named: the first ReLU or other activation, else the first layer."""
    return next((name for name, layer in network.layers.items() if layer.kind in ACTIVE), next(iter(network.layers)))


def towers_of(network: Network, layer: str) -> int:
    """Return how many towers have a layer."""
    return next((stage.towers for stage in network.stages() if stage.name == layer), 1)


def colour_of(network: Network, towers: int, index: int, theme: Theme) -> str:
    """Return the colour of a layer in a tower; a layer that reads both towers is grey."""
    return theme.tower(index) if towers == network.towers else theme.soft


def _laid(maps: np.ndarray) -> np.ndarray:
    """Arrange the maps of a tower; units are small squares."""
    across = blocks.columns(len(maps))
    side = int(BLOCK * DPI) // across
    gap = max(1, min(MOST_GAP, side // 8))
    return blocks.mosaic(maps, across, side - gap, gap)


def picture(drawn: Any, model: Model, image: ImageSource, top: float, side: float) -> None:
    """Draw what the network is shown of an image: the centre crop."""
    crop, centre = model.network.crop, model.network.centre
    axes = blocks.image(drawn, model.read(image)[centre, centre], 0, top, side)
    blocks.note(axes, f"the centre crop, {crop}×{crop}", (0, 0), (0, -5), va="top")


def _key(drawn: Any, left: float, top: float, colours: Any, end: float, signed: bool) -> None:
    """Draw the scale of a block: its colours, with the numbers at both ends."""
    axes = place(drawn, left, top, 1.2, 0.09)
    ramp = np.linspace(0, 1, 128)[None] if signed else np.sqrt(np.linspace(0, 1, 128))[None]
    axes.imshow(ramp, cmap=colours, vmin=0, vmax=1, aspect="auto")
    blocks.note(axes, f"−{end:.3g}" if signed else "0", (0, 0), (0, -4), va="top")
    blocks.note(axes, f"{end:.3g}", (1, 0), (0, -4), va="top", ha="right")
