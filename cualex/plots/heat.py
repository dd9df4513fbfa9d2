"""Plot of heat maps over an image: which pixels a class's score comes from, by several methods side by side."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cualex.explain.explanation import Explanation
from cualex.plots import blocks
from cualex.plots.figure import figure, place
from cualex.plots.gallery import percent
from cualex.plots.text import fitted, label, short
from cualex.plots.theme import LIGHT, TEXT, Theme

WIDE, GAP, SIDE = 10.6, 0.16, 2.3  # inches: of a row, between images, and of an image at most
LONGEST = 6.0  # inches, of the name of a class
COLOURS = "inferno"  # told apart in grey too; black is 0
GREYS = 0.7  # brightness of the image below the heat
DARKEST = 0.3  # of the colours that are drawn, from 0 to 1
COVER = 0.85  # of the image, by the largest heat
BRIGHTEST = 99  # percentile of a map from which on heat is drawn as the largest
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
    methods, rows, columns), from 0 to 1; it is drawn over the image in grey, up to its 99th percentile.
    """
    across = 1 + len(rows[0])
    side = min(SIDE, (WIDE - (across - 1) * GAP) / across)
    tall = blocks.HEAD + side + blocks.LINES + GAP
    several = len(rows) * len(rows[0]) > 1
    said = f"{subtitle} {'Each map is' if several else 'It is'} scaled by itself, from 0 to its 99th percentile."
    title = "Heat maps" if several else "Heat map"
    with figure(path, (across * (side + GAP) - GAP, len(rows) * tall + 0.3), title, said, theme) as drawn:
        for number, (row, probability) in enumerate(zip(rows, probabilities, strict=True)):
            top = number * tall + blocks.HEAD
            said = f"probability {percent(probability)}, score {short(row[0].score)}"
            blocks.head(drawn, 0, number * tall, fitted(label(row[0].cls), LONGEST, TEXT, bold=True), said, theme.ink)
            axes = blocks.image(drawn, row[0].image, 0, top, side)
            blocks.caption(axes, side, "Image", f"the centre crop, {len(row[0].image)}×{len(row[0].image)}")
            for column, found in enumerate(row, 1):
                axes = blocks.image(drawn, overlaid(found), column * (side + GAP), top, side)
                blocks.caption(axes, side, NAMES[found.method], _said(found))
        _key(drawn, 0, len(rows) * tall + 0.02)
    return np.stack([np.stack([found.heat for found in row]) for row in rows])


def overlaid(found: Explanation) -> np.ndarray:
    """Return an image in grey below its heat, float (rows, columns, 3) from 0 to 1; pixels without heat stay grey."""
    heat = np.nan_to_num(found.heat, posinf=0)
    end = float(np.percentile(heat, BRIGHTEST)) or float(heat.max()) or 1.0
    return _over(found.image / 255 @ GREY, np.minimum(heat / end, 1))


def _over(grey: np.ndarray, heat: np.ndarray) -> np.ndarray:
    """Lay heat over grey, both (rows, columns) from 0 to 1: more heat hides more of it."""
    from matplotlib import colormaps

    colour = np.asarray(colormaps[COLOURS](DARKEST + (1 - DARKEST) * heat))[..., :3]
    cover = COVER * heat[..., None]
    return np.asarray((1 - cover) * GREYS * grey[..., None] + cover * colour)


def _said(found: Explanation) -> str:
    """Return what the heat is of, as far as a method was told."""
    settings: Mapping[str, Any] = found.settings
    if not np.isfinite(found.heat).all():
        return "has NaN or Inf"
    if not found.heat.any():
        return "0 at every pixel"
    if "layer" in settings:
        rows, columns = settings["coarse"].shape
        return f"{settings['layer']}, {rows}×{columns}, enlarged"
    if "patch" in settings:
        return f"patch {settings['patch']}, stride {settings['stride']}"
    return f"from the mean, {settings['steps']} steps" if "steps" in settings else "|gradient|"


def _key(drawn: Any, left: float, top: float) -> None:
    """Draw the scale of the heat."""
    axes = place(drawn, left, top, 1.2, 0.09)
    axes.imshow(_over(np.full((1, 128), 0.5), np.linspace(0, 1, 128)[None]), aspect="auto")
    blocks.note(axes, "0", (0, 0), (0, -4), va="top")
    blocks.note(axes, f"{BRIGHTEST}th percentile", (1, 0), (0, -4), va="top", ha="right")
