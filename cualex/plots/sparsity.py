"""Plot of the zeros that ReLU leaves in an image's maps, layer by layer: figure 5 of the lectures."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cualex.data.images import ImageSource
from cualex.errors import UsageError
from cualex.model import Model
from cualex.plots import blocks
from cualex.plots.figure import Table, figure, place
from cualex.plots.maps import colour_of, picture, towers_of
from cualex.plots.theme import DPI, LIGHT, SMALL, TEXT, Theme
from cualex.weights import initial

LANE, WIDEST = 1.5, 1.35  # inches of a tower's block, unless its values need more to have a pixel each
ABOVE, BETWEEN_LANES = 0.72, 0.4  # inches: for what is written above the towers, and above the next
IMAGE, GAP, BETWEEN, NARROWEST = 1.5, 0.36, 0.25, 0.75  # inches: image, from it to layers, between these, of a layer


@dataclass(frozen=True)
class Sparse:
    """The maps after one ReLU, (channels, rows, columns), in each tower."""

    layer: str
    towers: list[np.ndarray]

    @property
    def shape(self) -> str:
        """Shape of one tower's maps, as a text."""
        count, rows, columns = self.towers[0].shape
        return f"{count:,} · {rows}×{columns}" if rows * columns > 1 else f"{count:,}"

    @property
    def blocks(self) -> list[np.ndarray]:
        """Blocks of the towers: 1 where a value is not 0; a value is a square of whole pixels."""
        count, across = len(self.towers[0]), blocks.columns(len(self.towers[0]))
        side = max(1, min(int(LANE * DPI) // -(-count // across), int(WIDEST * DPI) // across) - 1)
        return [blocks.mosaic((part != 0).astype(np.float32), across, side, 1) for part in self.towers]

    @property
    def width(self) -> float:
        """Width in inches, of the block or of what is written about it."""
        return max(NARROWEST, blocks.inches(self.blocks[0])[0])


def draw(model: Model, image: ImageSource, path: str | Path, theme: Theme = LIGHT) -> Table:
    """Draw where ReLU leaves zeros in all maps of an image, pale; return a row for each layer and tower.

    Columns: layer, tower, values, zeros, fraction. Raise ImageError where the image cannot be read, and UsageError for
    a network without ReLU.
    """
    layers = found(model, image)
    rows: list[dict[str, object]] = [
        {
            "layer": each.layer,
            "tower": tower,
            "values": part.size,
            "zeros": int((part == 0).sum()),
            "fraction": round(float((part == 0).mean()), 6),
        }
        for each in layers
        for tower, part in enumerate(each.towers, 1)
    ]
    every = np.concatenate([part.ravel() for each in layers for part in each.towers])
    lanes, lane = (
        max(of) for of in zip(*((len(each.towers), blocks.inches(each.blocks[0])[1]) for each in layers), strict=True)
    )
    wide = IMAGE + GAP + sum(each.width + BETWEEN for each in layers) - BETWEEN
    tall = ABOVE + lanes * (lane + BETWEEN_LANES) - BETWEEN_LANES
    said = f"{model.network.name}; {100 * (every == 0).mean():.0f} % of all values after ReLU are 0, drawn faint; "
    said += "the others are coloured."
    if large := [each.layer for each in layers if blocks.reduction(each.towers[0].shape) > 1]:
        said += f" Of {', '.join(large)} a pixel is the mean of several values."
    said += f" {initial.said(model.untrained, model.network)}"
    with figure(path, (wide, tall), "What ReLU sets to zero", said, theme) as drawn:
        picture(drawn, model, image, (ABOVE + tall - IMAGE) / 2, IMAGE)
        left = IMAGE + GAP
        for each in layers:
            _layer(drawn, model, each, left, (lanes, lane), theme)
            left += each.width + BETWEEN
    return rows


def found(model: Model, image: ImageSource) -> list[Sparse]:
    """Return the maps of an image after each ReLU; raise UsageError where there is none."""
    names = [name for name, layer in model.network.layers.items() if layer.kind == "relu"]
    if not names:
        raise UsageError(f"{model.network.name} has no ReLU, so there are no zeros to draw; take other --weights")
    return [Sparse(name, np.split(model.maps(image, name), towers_of(model.network, name))) for name in names]


def _layer(drawn: Any, model: Model, each: Sparse, left: float, every: tuple[int, float], theme: Theme) -> None:
    """Draw the blocks of a layer, its name, shape and fractions of zeros above; every: towers, and a lane."""
    lanes, height = every
    axes = place(drawn, left, 0, each.width, ABOVE)
    blocks.note(axes, each.layer, (0, 0.73), fontsize=TEXT, fontweight="bold", color=theme.ink)
    blocks.note(axes, each.shape, (0, 0.46))
    count = len(each.towers)
    for tower, (part, laid) in enumerate(zip(each.towers, each.blocks, strict=True)):
        lane = tower if count == lanes else (lanes - 1) / 2
        axes = place(drawn, left, ABOVE + lane * (height + BETWEEN_LANES), *blocks.inches(laid))
        colour = colour_of(model.network, count, tower, theme)
        blocks.show(axes, laid, theme, theme.flat(colour))
        style: dict[str, Any] = {"fontweight": "bold", "color": colour, "fontsize": SMALL}
        blocks.note(axes, f"{100 * (part == 0).mean():.0f} % zero", (0, 1), (0, 5), **style)
        if left == IMAGE + GAP and lanes > 1:
            style |= {"rotation": 90, "va": "center", "ha": "right", "fontsize": SMALL}
            blocks.note(axes, f"tower {tower + 1}", (0, 0.5), (-6, 0), **style)
