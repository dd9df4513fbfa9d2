"""Plot of the images that excite filters most, with what a unit sees of them: Zeiler and Fergus (2013)."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cualex.explain.receptive_fields import ReceptiveField, receptive_field
from cualex.explain.strongest import Strongest, largest
from cualex.model import Model
from cualex.networks import Network
from cualex.plots import blocks
from cualex.plots.figure import Table, figure
from cualex.plots.maps import colour_of, towers_of
from cualex.plots.text import file_title, label, short
from cualex.plots.theme import LIGHT, Theme

WIDE, GAP = 10.0, 0.12  # inches: of a row, and between images
LEAST, SIDE = 0.9, 1.72  # inches of an image; where a row has many it is wider
VEIL = 0.45  # of the brightness of pixels that a unit does not see
PADDING = 0.15  # of a colour, for what lies beyond the image


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
    towers = towers_of(model.network, layer)
    channels = channels_of(model.network, layer)
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


def channels_of(network: Network, layer: str) -> int:
    """Return how many channels a layer has, of all towers; raise UsageError for a layer that does not exist."""
    receptive_field(network, layer)
    return next(stage.towers * stage.output[0] for stage in network.stages() if stage.name == layer)


def spread(channels: int, count: int) -> list[int]:
    """Return `count` channels, or all, evenly spread, so that each tower has its part of them."""
    return [index * channels // min(count, channels) for index in range(min(count, channels))]


def draw(
    network: Network, layer: str, filters: Sequence[Excited], path: str | Path, subtitle: str, theme: Theme = LIGHT
) -> Table:
    """Draw a row for each filter: what its unit sees of each image, enlarged, and where in the image; return rows.

    What a unit does not see is dark. Where units see about the whole image, there are no enlarged patches. Columns:
    layer, filter, tower, rank, picture, class, activation, row, column, top, left, bottom, right (of the pixels that
    the unit sees, in the crop).
    """
    field = receptive_field(network, layer)
    across = max(len(each.strongest) for each in filters)
    side = max(LEAST, min(SIDE, (WIDE + GAP) / across - GAP))
    lines = 1 if field.size >= field.crop else 2
    below = blocks.below((_named(strong) for each in filters for strong in each.strongest), side)
    tall = blocks.HEAD + lines * (side + GAP) + below
    size = (across * (side + GAP) - GAP, len(filters) * tall - GAP)
    with figure(path, size, f"What excites {layer}", subtitle, theme) as drawn:
        for number, each in enumerate(filters):
            top = number * tall
            colour = colour_of(network, each.towers, each.tower, theme)
            blocks.head(drawn, 0, top, f"filter {each.filter}", _said(each), colour)
            for rank, strong in enumerate(each.strongest):
                left = rank * (side + GAP)
                if lines > 1:
                    padding = theme.mixed(theme.soft, PADDING)
                    blocks.image(drawn, enlarged(strong, field, padding), left, top + blocks.HEAD, side)
                lower = top + blocks.HEAD + (lines - 1) * (side + GAP)
                axes = blocks.image(drawn, _marked(strong), left, lower, side)
                _outline(axes, strong, field.crop)
                blocks.caption(axes, side, _named(strong), short(strong.activation))
    return [
        {
            "layer": layer,
            "filter": each.filter,
            "tower": each.tower + 1,
            "rank": rank,
            "picture": strong.image[0],
            "class": strong.image[1],
            "activation": strong.activation,
            "row": strong.row,
            "column": strong.column,
            **dict(zip(("top", "left", "bottom", "right"), strong.box, strict=True)),
        }
        for each in filters
        for rank, strong in enumerate(each.strongest, 1)
    ]


def legend(network: Network, layer: str) -> str:
    """Say what is beside each image."""
    field = receptive_field(network, layer)
    if field.size >= field.crop:
        return "Below each image: the activation of the unit, which sees the whole crop, or nearly."
    seen = f"{field.size}×{field.size} of the {field.crop}×{field.crop} pixels"
    return f"Above each image: the {seen} that the unit sees, grey beyond the edge; below: its activation."


def _named(strong: Strongest) -> str:
    name, cls = strong.image
    return label(cls) if cls else file_title(str(name))


def _said(each: Excited) -> str:
    tower = f"tower {each.tower + 1}; " if each.towers > 1 else ""
    return f"{tower}excited by no image" if each.strongest[0].activation <= 0 else tower.removesuffix("; ")


def enlarged(strong: Strongest, field: ReceptiveField, padding: Sequence[float]) -> np.ndarray:
    """Return what a unit sees, (size, size, 3) from 0 to 1; padding: the colour of what lies beyond the image."""
    whole = np.broadcast_to(padding, (field.size, field.size, 3)).copy()
    above, before = (field.start + at * field.stride for at in (strong.row, strong.column))
    top, left, bottom, right = strong.box
    whole[top - above : bottom - above, left - before : right - before] = strong.patch / 255
    return whole


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
