"""Plot of the images that excite filters most, with what a unit sees of them: Zeiler and Fergus (2013)."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cualex.explain.receptive_fields import ReceptiveField, receptive_field
from cualex.explain.strongest import Strongest, largest
from cualex.model import Model
from cualex.plots import blocks
from cualex.plots.figure import Table, figure
from cualex.plots.maps import colour_of, towers_of
from cualex.plots.text import label
from cualex.plots.theme import LIGHT, Theme

WIDE, GAP, SIDE = 10.0, 0.12, 1.72  # inches: of a row, between images, and of an image at most
VEIL = 0.45  # of the brightness of pixels that a unit does not see


@dataclass(frozen=True)
class Excited:
    """A filter of a layer, the tower that has it, of how many, and the images that excite it, the strongest first.

    The image of each is (name, class); None for sets without classes.
    """

    filter: int
    tower: int
    towers: int
    strongest: Sequence[Strongest]


def search(
    model: Model,
    layer: str,
    filters: Sequence[int],
    count: int,
    batches: Iterable[np.ndarray],
    named: Callable[[int], tuple[str, str | None]],
    crops: Callable[[list[int]], np.ndarray],
) -> list[Excited]:
    """Find the images that excite filters of a layer most, in one pass.

    batches: all images, (n, stored, stored, 3) each.  named: gives (name, class) of the image with an index.  crops:
    gives the centre crops of images. Raise UsageError for a layer or filter that does not exist.
    """
    field = receptive_field(model.network, layer)
    maps = (
        each if each.ndim == 3 else each[:, None, None] for batch in batches for each in model.features(batch, layer)
    )
    found = largest(maps, filters, count)
    indices = sorted({index for every in found for index, *_ in every})
    seen = dict(zip(indices, crops(indices), strict=True))
    towers = towers_of(model, layer)
    channels = channels_of(model, layer)
    return [
        Excited(
            number,
            number * towers // channels,
            towers,
            [
                Strongest(index, named(index), activation, row, column, field.box(row, column), seen[index])
                for index, activation, row, column in every
            ],
        )
        for number, every in zip(filters, found, strict=True)
    ]


def channels_of(model: Model, layer: str) -> int:
    """Return how many channels a layer has, of all towers; raise UsageError for a layer that does not exist."""
    receptive_field(model.network, layer)
    return next(stage.towers * stage.output[0] for stage in model.network.stages() if stage.name == layer)


def spread(channels: int, count: int) -> list[int]:
    """Return `count` channels, or all, evenly spread, so that each tower has its part of them."""
    return [index * channels // min(count, channels) for index in range(min(count, channels))]


def draw(
    model: Model, layer: str, filters: Sequence[Excited], path: str | Path, subtitle: str, theme: Theme = LIGHT
) -> Table:
    """Draw a row for each filter: what its unit sees of each image, enlarged, and where in the image; return rows.

    What a unit does not see is dark. Where units see about the whole image, there are no enlarged patches. Columns:
    layer, filter, tower, rank, picture, class, activation, row, column, top, left, bottom, right (of the pixels that
    the unit sees, in the crop).
    """
    field = receptive_field(model.network, layer)
    across = max(len(each.strongest) for each in filters)
    side = min(SIDE, (WIDE + GAP) / across - GAP)
    lines = 1 if field.size >= field.crop else 2
    tall = blocks.HEAD + lines * (side + GAP) - GAP + blocks.LINES + GAP
    size = (across * (side + GAP) - GAP, len(filters) * tall - GAP)
    with figure(path, size, f"What excites {layer}", subtitle, theme) as drawn:
        for number, each in enumerate(filters):
            top = number * tall
            colour = colour_of(model, each.towers, each.tower, theme)
            blocks.head(drawn, 0, top, f"filter {each.filter}", _said(each), colour)
            for rank, strong in enumerate(each.strongest):
                left = rank * (side + GAP)
                if lines > 1:
                    _patch(drawn, strong, field, left, top + blocks.HEAD, side, theme)
                below = top + blocks.HEAD + (lines - 1) * (side + GAP)
                axes = blocks.image(drawn, _marked(strong), left, below, side)
                _outline(axes, strong, field.crop)
                name, cls = strong.image
                blocks.caption(axes, side, label(cls) if cls else name, f"{strong.activation:.3g}")
    return [
        {
            "layer": layer,
            "filter": each.filter,
            "tower": each.tower + 1,
            "rank": rank,
            "picture": strong.image[0],
            "class": strong.image[1] or "",
            "activation": f"{strong.activation:.6g}",
            "row": strong.row,
            "column": strong.column,
            **dict(zip(("top", "left", "bottom", "right"), strong.box, strict=True)),
        }
        for each in filters
        for rank, strong in enumerate(each.strongest, 1)
    ]


def _said(each: Excited) -> str:
    tower = f"tower {each.tower + 1}; " if each.towers > 1 else ""
    return f"{tower}excited by no image" if each.strongest[0].activation <= 0 else tower.removesuffix("; ")


def _patch(
    drawn: Any, strong: Strongest, field: ReceptiveField, left: float, top: float, side: float, theme: Theme
) -> None:
    """Draw what a unit sees, enlarged; padding beyond the image is a tint of the ground."""
    whole = np.broadcast_to(theme.mixed(theme.soft, 0.15), (field.size, field.size, 3)).copy()
    first, start = (field.start + at * field.stride for at in (strong.row, strong.column))
    upper, leftmost, lower, rightmost = strong.box
    whole[upper - first : lower - first, leftmost - start : rightmost - start] = strong.patch / 255
    blocks.image(drawn, whole, left, top, side)


def _marked(strong: Strongest) -> np.ndarray:
    """Return the crop, dark where the unit sees nothing."""
    seen = strong.crop * VEIL / 255
    top, left, bottom, right = strong.box
    seen[top:bottom, left:right] = strong.patch / 255
    return np.asarray(seen)


def _outline(axes: Any, strong: Strongest, crop: int) -> None:
    """Draw the edge of what a unit sees, white beside black, unless it is the whole crop."""
    from matplotlib.patches import Rectangle

    top, left, bottom, right = strong.box
    if strong.box == (0, 0, crop, crop):
        return
    for colour, width in (("black", 2.2), ("white", 1.0)):
        edge = Rectangle((left - 0.5, top - 0.5), right - left, bottom - top, fill=False)
        edge.set(edgecolor=colour, linewidth=width)
        axes.add_patch(edge)
