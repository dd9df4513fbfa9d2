"""Blocks of small images: filters, or all maps of a layer, tower by tower."""

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from cualex.plots.figure import place
from cualex.plots.text import fitted, in_two, width_of
from cualex.plots.theme import DPI, SMALL, TEXT, Theme

MOST_SCALE = 24  # pixels of the plot for one of an image
LARGEST = 64  # pixels of a map that is drawn as it is; of a larger one, means of pixels
HEAD = 0.3  # inches for the name of a tower above its block
LINES, LINE = 0.42, 12  # inches for two lines below an image; points from one to the next


def columns(count: int) -> int:
    """Return how many columns make a block of `count` images about square, full where there is such a number."""
    root = math.isqrt(count)
    full = next(across for across in range(root, 0, -1) if count % across == 0)
    return full if full > root / 2 else math.ceil(math.sqrt(count))


def mosaic(images: np.ndarray, across: int, side: int, gap: int, most: int = MOST_SCALE) -> np.ndarray:
    """Arrange images (n, rows, columns[, 3]) in rows, NaN between them: whole pixels, about `side` for an image.

    A pixel of an image becomes a square of as many as fit, at least one and at most `most` a side.
    """
    if (reduced := reduction(images.shape)) > 1:
        rows, wide = (size // reduced * reduced for size in images.shape[1:3])
        cut = images[:, :rows, :wide]
        images = cut.reshape(len(cut), rows // reduced, reduced, wide // reduced, reduced, *cut.shape[3:]).mean((2, 4))
    scale = max(1, min(most, side // max(images.shape[1:3])))
    images = images.repeat(scale, 1).repeat(scale, 2)
    count, height, width = images.shape[:3]
    down = -(-count // across)
    laid = np.full((down * (height + gap) - gap, across * (width + gap) - gap, *images.shape[3:]), np.nan)
    for index, image in enumerate(images):
        top, left = (index // across) * (height + gap), (index % across) * (width + gap)
        laid[top : top + height, left : left + width] = image
    return laid


def reduction(shape: tuple[int, ...]) -> int:
    """Return of how many values a side a pixel of `mosaic` is the mean, for images (n, rows, columns[, 3])."""
    return -(-max(shape[1:3]) // LARGEST)


def inches(laid: np.ndarray) -> tuple[float, float]:
    """Return the width and height at which a pixel of an array is a pixel of the plot."""
    return laid.shape[1] / DPI, laid.shape[0] / DPI


def coloured(laid: np.ndarray, ground: str, colour: Any) -> np.ndarray:
    """Return an array that `mosaic` made as (rows, columns, 3): the ground where it is NaN, else the colour."""
    from matplotlib.colors import to_rgb

    return np.where(np.isnan(laid)[:, :, None], to_rgb(ground), to_rgb(colour))


def show(axes: Any, laid: np.ndarray, theme: Theme, colours: Any = None, signed: bool = False) -> Any:
    """Draw an array that `mosaic` made; NaN is the ground.

    Without colours of their own, numbers from 0 (-1 where signed) to 1 take those of the colour map.
    """
    from matplotlib.colors import to_rgb

    if laid.ndim == 2:
        start = -1 if signed else 0
        laid = np.where(np.isnan(laid)[:, :, None], np.nan, colours((laid - start) / (1 - start))[:, :, :3])
    laid = np.where(np.isnan(laid), to_rgb(theme.ground), laid)
    return axes.imshow(np.clip(laid, 0, 1), aspect="auto", interpolation="antialiased")


def note(axes: Any, words: str, at: tuple[float, float], offset: tuple[float, float] = (0, 0), **style: Any) -> None:
    """Write a text, small and weak by default; at: fractions of the axes.  offset: from there, in points."""
    plain = {"fontsize": SMALL, "color": soft(), "parse_math": False}
    axes.annotate(words, at, offset, "axes fraction", "offset points", **{**plain, **style})


def head(drawn: Any, left: float, top: float, name: str, rest: str, colour: str) -> None:
    """Write the name of a block above it in its colour, and beside it what there is to say of it."""
    axes = place(drawn, left, top, 1, HEAD)
    note(axes, name, (0, 0.35), fontsize=TEXT, fontweight="bold", color=colour)
    note(axes, rest, (0, 0.35), (72 * width_of(name, TEXT, bold=True) + 8, 0))


def image(drawn: Any, pixels: np.ndarray, left: float, top: float, side: float) -> Any:
    """Draw an image, (rows, columns, 3), as a square; return its axes."""
    axes = place(drawn, left, top, side, side)
    axes.imshow(pixels, aspect="auto", interpolation="antialiased")
    return axes


def caption(axes: Any, side: float, name: str, rest: str = "", colour: Any = None) -> None:
    """Write below an image of `side` inches a name, long ones in two lines, and weaker what there is to say of it."""
    import matplotlib

    style = {"fontweight": "bold", "color": colour or matplotlib.rcParams["text.color"]}
    lines = in_two(name, side, SMALL)
    for number, line in enumerate(lines):
        note(axes, line, (0, 0), (0, -13 - LINE * number), **style)
    note(axes, fitted(rest, side, SMALL), (0, 0), (0, -13 - LINE * len(lines)))


def below(names: Iterable[str], side: float) -> float:
    """Return the inches that captions with these names take below images of `side` inches."""
    return LINES + LINE / 72 * (max(len(in_two(name, side, SMALL)) for name in set(names)) - 1)


def soft() -> str:
    """Return the colour of weak text in the plot that is being drawn."""
    import matplotlib

    return str(matplotlib.rcParams["axes.labelcolor"])
