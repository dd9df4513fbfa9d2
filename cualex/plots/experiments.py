"""Plots of the paper's experiments: curves of all arms, and the first filters of both towers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cualex.plots import blocks, filters
from cualex.plots.figure import figure, place
from cualex.plots.theme import LIGHT

SIDE, GAP = 44, 3  # pixels: of a filter, and between filters
BETWEEN = 0.3  # inches, between towers


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
    with figure(path, (7.6, 4.4), path.stem.replace("-", " ")) as drawn:
        axes = drawn.subplots()
        for line in sorted(lines, key=lambda line: line.strong):
            colour = LIGHT.series[arms.index(line.arm) % len(LIGHT.series)]
            style: dict[str, Any] = {"linewidth": 1.8} if line.strong else {"linewidth": 0.9, "alpha": 0.45}
            key = line.arm, line.strong
            named = {} if key in seen else {"label": line.arm + ("" if line.strong else ", other rates")}
            seen.add(key)
            marker = "." if len(line.points) < 30 else None
            axes.plot(*np.array(line.points, float).reshape(-1, 2).T, color=colour, marker=marker, **style, **named)
        if level:
            axes.axhline(level[1], color=LIGHT.faint, linestyle=":", linewidth=1, label=level[0])
        axes.set(xlabel=labels[0], ylabel=labels[1], ylim=(0, None))
        axes.legend(ncols=2 if weak else 1)
        axes.grid(axis="y")
        axes.xaxis.get_major_locator().set_params(integer=True)


def draw_filters(towers: Mapping[str, np.ndarray], path: Path) -> None:
    """Draw the first filters of both towers as in figure 3, each scaled by its largest weight around grey.

    towers: by name, (2n, 3, rows, columns), of which the first n are the first tower's.
    """
    sheets = {
        name: [
            blocks.mosaic(filters.scaled(half), filters.across(len(half)), SIDE, GAP) for half in np.split(weights, 2)
        ]
        for name, weights in towers.items()
    }
    wide, tall = blocks.inches(next(iter(sheets.values()))[0])
    row = blocks.HEAD + tall + 0.1
    with figure(path, (2 * wide + BETWEEN, row * len(sheets)), path.stem.replace("-", " ")) as drawn:
        for number, (name, halves) in enumerate(sheets.items()):
            for tower, half in enumerate(halves):
                left, top = tower * (wide + BETWEEN), number * row
                blocks.head(drawn, left, top, f"tower {tower + 1}", name, LIGHT.tower(tower))
                blocks.show(place(drawn, left, top + blocks.HEAD, wide, tall), half, LIGHT)
