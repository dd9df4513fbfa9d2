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

SIDE = 1.69  # inches, of an image


@dataclass(frozen=True)
class Dreamt:
    """A dream, and the name of what it excites; colour: of the name, None for ink."""

    name: str
    dream: Dream
    colour: str | None = None


def draw(dreams: Sequence[Dreamt], path: str | Path, title: str, subtitle: str, theme: Theme = LIGHT) -> np.ndarray:
    """Draw each image above its name and its activation, before and after; return them: uint8 (n, crop, crop, 3)."""
    size, corners = grid(len(dreams), SIDE, SIDE + blocks.below((each.name for each in dreams), SIDE))
    with figure(path, size, title, subtitle, theme) as drawn:
        for each, (left, top) in zip(dreams, corners, strict=True):
            axes = blocks.image(drawn, each.dream.image, left, top, SIDE)
            course = each.dream.course
            blocks.caption(axes, SIDE, each.name, f"{short(course[0])} → {short(course[-1])}", each.colour)
    return np.stack([each.dream.image for each in dreams])
