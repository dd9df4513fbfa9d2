"""Plot of activation maximisation: images that excite filters or classes, made from noise."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cualex.explain.activation_maximisation import Dream
from cualex.plots import blocks
from cualex.plots.figure import figure
from cualex.plots.gallery import grid
from cualex.plots.text import short
from cualex.plots.theme import LIGHT, Theme

SIDE, LARGER = 1.69, 3.4  # inches: of an image, and of one or two


@dataclass(frozen=True)
class Dreamt:
    """A dream, and the name of what it excites; colour: of the name, None for ink."""

    name: str
    dream: Dream
    colour: str | None = None


def draw(dreams: Sequence[Dreamt], path: str | Path, title: str, subtitle: str, theme: Theme = LIGHT) -> np.ndarray:
    """Draw each image above its name and its activation, before and after; return them: uint8 (n, crop, crop, 3)."""
    side = LARGER if len(dreams) <= 2 else SIDE
    size, corners = grid(len(dreams), side, side + blocks.below((each.name for each in dreams), side))
    with figure(path, size, title, subtitle, theme) as drawn:
        for each, (left, top) in zip(dreams, corners, strict=True):
            axes = blocks.image(drawn, each.dream.image, left, top, side)
            course = each.dream.course
            blocks.caption(axes, side, each.name, f"{short(course[0])} → {short(course[-1])}", each.colour)
    return np.stack([each.dream.image for each in dreams])
