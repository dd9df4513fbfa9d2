"""Plots of the paper's experiments: curves of all arms, and the first filters of both towers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cualex.plots.figure import BLUE, GREEN, GREY, ORANGE, figure

COLOURS = (BLUE, ORANGE, GREEN, "black")
ACROSS = 12  # filters in a row


@dataclass(frozen=True)
class Line:
    """The curve of one training. arm: its arm of the experiment.  strong: whether its rate is the arm's best."""

    arm: str
    points: Sequence[tuple[float, float]]
    strong: bool


def draw_lines(
    lines: Sequence[Line], path: Path, labels: tuple[str, str], level: tuple[str, float] | None = None
) -> None:
    """Draw curves, a colour an arm, the best rate's strong.

    labels: of the axes.  level: name and y of a horizontal line.
    """
    arms = list(dict.fromkeys(line.arm for line in lines))
    seen: set[tuple[str, bool]] = set()
    weak = any(not line.strong for line in lines)
    with figure(path, size=(7.0, 4.5)) as (_, axes):
        for line in sorted(lines, key=lambda line: line.strong):
            colour = COLOURS[arms.index(line.arm) % len(COLOURS)]
            style: dict[str, Any] = {"linewidth": 1.8} if line.strong else {"linewidth": 0.9, "alpha": 0.45}
            key = line.arm, line.strong
            named = {} if key in seen else {"label": line.arm + ("" if line.strong else ", other rates")}
            seen.add(key)
            marker = "." if len(line.points) < 30 else None
            axes.plot(*np.array(line.points, float).reshape(-1, 2).T, color=colour, marker=marker, **style, **named)
        if level:
            axes.axhline(level[1], color=GREY, linestyle=":", linewidth=1, label=level[0])
        axes.set(xlabel=labels[0], ylabel=labels[1], ylim=(0, None))
        axes.legend(frameon=False, ncols=2 if weak else 1)
        axes.spines[["top", "right"]].set_visible(False)
        axes.xaxis.get_major_locator().set_params(integer=True)


def draw_filters(towers: Mapping[str, np.ndarray], path: Path) -> None:
    """Draw the first filters of both towers as in figure 3, scaled to 0 ... 1 around grey.

    towers: by name, (2n, 3, rows, columns), of which the first n are the first tower's.
    """
    sheets = {
        f"{name}, tower {tower}": sheet(half)
        for name, weights in towers.items()
        for tower, half in enumerate(np.split(weights, 2), 1)
    }
    height, width, _ = next(iter(sheets.values())).shape
    with figure(path, len(towers), 2, size=(8.0, len(towers) * (4.0 * height / width + 0.35))) as (_, axes):
        for panel, (title, laid) in zip(np.ravel(axes), sheets.items(), strict=True):
            panel.imshow(laid, interpolation="nearest")
            panel.set_title(title, fontsize=9)
            panel.set_axis_off()


def sheet(weights: np.ndarray) -> np.ndarray:
    """Arrange filters (n, 3, rows, columns) in rows of twelve, white between: (height, width, 3), 0 to 1."""
    count, _, rows, columns = weights.shape
    down = -(-count // ACROSS)
    largest = np.abs(weights).max(axis=(1, 2, 3), keepdims=True)
    shown = 0.5 + 0.5 * weights / np.maximum(largest, 1e-30)
    laid = np.ones((down * (rows + 1) + 1, min(count, ACROSS) * (columns + 1) + 1, 3))
    for index, one in enumerate(shown.transpose(0, 2, 3, 1)):
        top, left = (part * (side + 1) + 1 for part, side in zip(divmod(index, ACROSS), (rows, columns), strict=True))
        laid[top : top + rows, left : left + columns] = one
    return laid
