"""Plot of the first filters, as figure 3 of the paper: those of tower 1 above those of tower 2."""

from pathlib import Path

import numpy as np

from cualex.errors import UsageError
from cualex.layers import Conv
from cualex.networks import Network
from cualex.plots import blocks
from cualex.plots.figure import figure, place
from cualex.plots.theme import LIGHT, Theme

MOST = 16  # filters in a row, as in the paper
SIDE = 78  # pixels for a filter
GREY, COLOURED = 1, 3


def first(network: Network) -> tuple[str, int]:
    """Return the first convolution's name, and its number of towers; raise UsageError where there is none."""
    for stage in network.stages():
        if isinstance(stage.layer, Conv):
            return stage.name, stage.towers
    raise UsageError(f"{network.name} has no convolution, so there are no filters to draw")


def draw(network: Network, weights: np.ndarray, path: str | Path, theme: Theme = LIGHT, more: str = "") -> np.ndarray:
    """Draw the weights of the first convolution (filters, channels, rows, columns), and return them.

    channels: red, green and blue, or one, whose weights are green where positive and purple where negative. Each filter
    is scaled by its largest weight, so that 0 is grey, or the ground.
    """
    layer, towers = first(network)
    count, channels, rows, columns = weights.shape
    if channels not in (GREY, COLOURED):
        raise UsageError(f"{layer} of {network.name} reads {channels} channels: expected 1 or 3, to draw as colours")
    parts = [blocks.mosaic(scaled(part), across(count // towers), SIDE, 4) for part in np.split(weights, towers)]
    wide, tall = blocks.inches(parts[0])
    above = blocks.HEAD if towers > 1 else 0.0
    zero = "grey is 0" if channels == COLOURED else "green is positive, purple negative"
    said = f"{count} filters of {rows}×{columns}×{channels}; each is scaled by its largest weight, {zero}. {more}"
    height = towers * (above + tall) + (towers - 1) * 0.12
    with figure(path, (wide, height), f"Filters of {layer}, {network.name}", said, theme) as drawn:
        for number, part in enumerate(parts):
            top = number * (above + tall + 0.12)
            if towers > 1:
                blocks.head(drawn, 0, top, f"tower {number + 1}", f"{count // towers} filters", theme.tower(number))
            axes = place(drawn, 0, top + above, wide, tall)
            blocks.show(axes, part, theme, theme.signed)
    return weights


def across(count: int) -> int:
    """Return how many filters of a tower are in a row: rows are full where a number from 8 to 16 allows it."""
    full = (number for number in range(min(count, MOST), min(count, MOST) // 2, -1) if count % number == 0)
    return next(full, min(count, MOST))


def scaled(weights: np.ndarray) -> np.ndarray:
    """Scale each filter (n, channels, rows, columns) to 0 ... 1 around 0.5; colours become the last axis."""
    largest = np.abs(weights).max(axis=(1, 2, 3), keepdims=True)
    shown = 0.5 + 0.5 * weights / np.maximum(largest, 1e-30)
    return shown[:, 0] if weights.shape[1] == GREY else shown.transpose(0, 2, 3, 1)
