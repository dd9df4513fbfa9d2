"""Plot of the activation functions and their derivatives."""

from itertools import cycle, product
from pathlib import Path

import numpy as np

from cualex.engine.activations import ACTIVATIONS
from cualex.plots.figure import BLUE, GREEN, GREY, ORANGE, figure

COLOURS, LINES = (BLUE, ORANGE, GREEN), ("-", "--", ":", "-.")
REACH, POINTS = 4.0, 801  # of the inputs drawn, to either side of 0


def draw(path: str | Path) -> None:
    """Draw the table of activations: functions on the left, derivatives on the right, for inputs from -4 to 4."""
    x = np.linspace(-REACH, REACH, POINTS)
    styles = dict(zip(ACTIVATIONS, cycle(product(LINES, COLOURS)), strict=False))
    with figure(path, columns=2, size=(9.0, 4.2)) as (_, (left, right)):
        for name, activation in ACTIVATIONS.items():
            line, colour = styles[name]
            left.plot(x, activation.function(x), color=colour, linestyle=line, label=name)
            slope = activation.derivative(x)
            if name.endswith("relu"):
                slope[POINTS // 2] = np.nan  # a jump, not a slope
            right.plot(x, slope, color=colour, linestyle=line, label=name)
        left.set(xlabel="x", title="function", ylim=(-1.5, 3), xlim=(-REACH, REACH))
        right.set(xlabel="x", title="derivative", ylim=(-0.1, 1.2), xlim=(-REACH, REACH))
        for axes in (left, right):
            axes.axhline(0, color=GREY, linewidth=0.6)
            axes.axvline(0, color=GREY, linewidth=0.6)
            axes.spines[["top", "right"]].set_visible(False)
        left.legend(frameon=False, loc="upper left")
