"""Plot of heat maps over an image: which pixels a class's score comes from, by several methods side by side."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cualex.explain.explanation import Explanation
from cualex.plots import blocks
from cualex.plots.figure import figure, place
from cualex.plots.gallery import percent
from cualex.plots.text import label
from cualex.plots.theme import LIGHT, Theme

WIDE, GAP, SIDE = 10.6, 0.16, 2.3  # inches: of a row, between images, and of an image at most
COLOURS = "inferno"  # told apart in grey too; black is 0
GREYS = 0.55  # brightness of the image below the heat
GREY = np.array([0.299, 0.587, 0.114])  # luma of BT.601
NAMES = {
    "saliency": "Saliency",
    "guided-backpropagation": "Guided backpropagation",
    "grad-cam": "Grad-CAM",
    "integrated-gradients": "Integrated gradients",
    "occlusion": "Occlusion",
}


def draw(
    rows: Sequence[Sequence[Explanation]],
    probabilities: Sequence[float],
    path: str | Path,
    subtitle: str,
    theme: Theme = LIGHT,
) -> np.ndarray:
    """Draw the explanations of an image: a row for each class, a column for each method; return their heat.

    rows: the same methods in each, of one image.  probabilities: of each row's class.  The heat is float32 (classes,
    methods, rows, columns), from 0 to 1; it is drawn by its square root, over the image in grey.
    """
    across = 1 + len(rows[0])
    side = min(SIDE, (WIDE - (across - 1) * GAP) / across)
    tall = side + blocks.LINES + GAP
    said = f"{subtitle} Each map is scaled by its largest value, and drawn by its square root over the image in grey."
    with figure(path, (across * (side + GAP) - GAP, len(rows) * tall + 0.4), "Heat maps", said, theme) as drawn:
        for number, (row, probability) in enumerate(zip(rows, probabilities, strict=True)):
            axes = blocks.image(drawn, row[0].image, 0, number * tall, side)
            blocks.caption(axes, side, label(row[0].cls), f"{percent(probability)}, score {row[0].score:.3g}")
            for column, found in enumerate(row, 1):
                axes = blocks.image(drawn, overlaid(found), column * (side + GAP), number * tall, side)
                blocks.caption(axes, side, NAMES[found.method], _said(found))
        _key(drawn, side + GAP, len(rows) * tall + 0.02)
    return np.stack([np.stack([found.heat for found in row]) for row in rows])


def overlaid(found: Explanation) -> np.ndarray:
    """Return an image in grey below its heat, float (rows, columns, 3) from 0 to 1; pixels without heat stay grey."""
    heat = np.sqrt(np.nan_to_num(found.heat))[:, :, None]
    grey = GREYS * (found.image / 255.0 @ GREY)[:, :, None]
    return np.asarray((1 - heat) * grey + heat * _colour(heat[:, :, 0]))


def _colour(heat: np.ndarray) -> np.ndarray:
    from matplotlib import colormaps

    return np.asarray(colormaps[COLOURS](0.15 + 0.85 * heat))[..., :3]


def _said(found: Explanation) -> str:
    """Return what a method was told, or found, beside the heat."""
    settings: Mapping[str, Any] = found.settings
    if not np.isfinite(found.heat).all():
        return "has NaN or Inf"
    if not found.heat.any():
        return "0 at every pixel"
    if "layer" in settings:
        return f"maps of {settings['layer']}"
    if "patch" in settings:
        return f"patches of {settings['patch']} pixels"
    return f"{settings['steps']} steps" if "steps" in settings else ""


def _key(drawn: Any, left: float, top: float) -> None:
    """Draw the scale of the heat."""
    ramp = np.sqrt(np.linspace(0, 1, 128))
    axes = place(drawn, left, top, 1.2, 0.09)
    axes.imshow(((1 - ramp) * GREYS / 2)[:, None][None] + ramp[None, :, None] * _colour(ramp)[None], aspect="auto")
    blocks.note(axes, "0", (0, 0), (0, -4), va="top")
    blocks.note(axes, "largest", (1, 0), (0, -4), va="top", ha="right")
