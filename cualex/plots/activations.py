"""Plot of the activation functions and their derivatives."""

from pathlib import Path

import numpy as np

from cualex.engine.activations import ACTIVATIONS, Activation
from cualex.plots.figure import Table, figure
from cualex.plots.theme import LIGHT, SMALL, Theme

REACH, POINTS = 4.0, 801  # of the inputs drawn, to either side of 0
MARGIN = 0.3  # of the inputs, so that curves of two panels do not meet
ACROSS = 4


def draw(path: str | Path, theme: Theme = LIGHT) -> Table:
    """Draw each activation in a panel of its own, with its derivative, for inputs from -4 to 4.

    Return a row for each input: x, and for each activation its value (name) and its derivative (name').
    """
    x = np.linspace(-REACH, REACH, POINTS)
    columns: dict[str, np.ndarray] = {"x": x}
    down = -(-len(ACTIVATIONS) // ACROSS)
    said = "Solid: the function; dashed: its derivative, by which the backward pass multiplies."
    with figure(path, (9.6, down * 2.5), "Activation functions", said, theme) as drawn:
        panels = drawn.subplots(down, ACROSS, sharex=True, sharey=True, squeeze=False).ravel()
        for panel, (name, activation) in zip(panels, ACTIVATIONS.items(), strict=False):
            y, slope = activation.function(x), activation.derivative(x)
            columns[name], columns[f"{name}'"] = y, slope
            jumps = np.abs(np.diff(slope, prepend=slope[0])) > 0.5
            panel.plot(x, np.where(jumps, np.nan, slope), color=theme.tower2, linestyle=(0, (4, 2)), linewidth=1.3)
            panel.plot(x, y, color=theme.tower1, linewidth=1.9)
            panel.set_title(name, pad=20)
            style = {"fontsize": SMALL, "color": theme.soft, "parse_math": False}
            panel.annotate(_formula(activation), (0, 1), (0, 7), "axes fraction", "offset points", **style)
            panel.axhline(0, color=theme.faint, linewidth=0.6, zorder=0)
            panel.axvline(0, color=theme.faint, linewidth=0.6, zorder=0)
            panel.set(xlim=(-REACH - MARGIN, REACH + MARGIN), ylim=(-1.5, 3), xticks=(-2, 0, 2), yticks=(-1, 0, 1, 2))
            panel.tick_params(length=0)
            panel.spines[:].set_visible(False)
        for panel in panels[len(ACTIVATIONS) :]:
            panel.set_axis_off()
    return [{name: f"{values[index]:.6g}" for name, values in columns.items()} for index in range(POINTS)]


def _formula(activation: Activation) -> str:
    """Return the formula of an activation with its argument's default."""
    return activation.formula + (f", a = {activation.parameter:g}" if activation.parameter is not None else "")
