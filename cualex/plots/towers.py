"""A network as a plot: a row of layers for each tower, and the links at which towers exchange their maps."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from cualex.networks import Network
from cualex.networks.summary import rows, totals
from cualex.plots import blocks
from cualex.plots.figure import Table, figure, place
from cualex.plots.text import width_of
from cualex.plots.theme import DPI, LIGHT, SERIF, SMALL, TEXT, Theme

POOLS = ("maxpool", "averagepool")
DRAWN = ("conv", "dense", *POOLS)
NAMES = {"lrn": "norm", "spatial_lrn": "norm", "batchnorm": "batch norm", "exchange": "exchange", "join": "join"}
PIXELS = 192  # of the height of a block, which all layers of the paper divide; others are a little lower or higher
LANE, BETWEEN, ABOVE = PIXELS / DPI, 0.3, 0.46  # inches: of a tower, between towers, and for the names above
LINE, BELOW = 0.145, 2  # inches, of a caption; lines below a layer, under which are those of what lies between
GAP, FIRST, IMAGE = 0.3, 0.55, 0.75  # inches: between layers, at least, and before the first; side of the image
THREADS = 5  # lines from one tower to another
WIDE = 20  # pixels, of a square from which on the gap is wider
FULL = 0.6  # part of a colour in a block


@dataclass(frozen=True)
class Box:
    """A layer of one or both towers: its filter or window, and the shape of one tower's output (channel, row, column).

    sent: floats that each tower sends to the other before this layer, per image, forward; () without a link.
    """

    layer: str
    kind: str
    towers: tuple[int, ...]
    output: tuple[int, int, int]
    window: str = ""
    sent: tuple[int, ...] = ()


@dataclass
class Column:
    """A layer with weights as it is drawn: what lies between it and the one before, and its position in inches."""

    box: Box
    between: list[str]
    left: float = 0.0
    tops: list[float] = field(default_factory=list)

    @property
    def cells(self) -> np.ndarray:
        """One tower's maps as squares, in pixels; NaN between them."""
        count = self.box.output[0]
        across = blocks.columns(count)
        side = max(2, round(PIXELS / -(-count // across)))
        gap = 1 if side < WIDE else 2
        return blocks.mosaic(np.ones((count, 1, 1)), across, side - gap, gap, side)

    @property
    def right(self) -> float:
        """Right edge, in inches."""
        return self.left + blocks.inches(self.cells)[0]


def boxes(network: Network) -> list[Box]:
    """List the layers to draw, input first; a link belongs to the layer that reads what it brings."""
    found: list[Box] = []
    sent: tuple[int, ...] = ()
    for row in rows(network):
        sent = row.sent_forward if any(row.sent_forward) else sent
        if row.kind in DRAWN:
            layer = network.layers[row.layer]
            size, stride = getattr(layer, "size", None), getattr(layer, "stride", 1)
            window = f"{size}x{size}" + (f" /{stride}" if stride > 1 else "") if size else ""
            found.append(Box(row.layer, row.kind, row.towers, row.output, window, sent))
            sent = ()
    return found


def table(network: Network) -> Table:
    """Return a row for each layer with weights or a pool, for a CSV file; counts are of all towers together."""
    described = {row.layer: row for row in rows(network)}
    found = []
    for box in boxes(network):
        row, (channels, high, wide) = described[box.layer], box.output
        shape = {"channels": channels, "rows": high, "columns": wide, "window": box.window}
        counts = {"parameters": row.parameters, "multiply_adds": row.multiply_adds, "sent": max(box.sent, default=0)}
        found.append({"layer": box.layer, "kind": box.kind, "towers": len(box.towers), **shape, **counts})
    return found


def placed(network: Network) -> tuple[list[Column], float]:
    """Return the layers with weights, each with its place, and the right edge of all."""
    found = list(_columns(network))
    lanes = _lanes(found)
    x, last = IMAGE, [ABOVE + number * (LANE + BETWEEN) for number in range(lanes)]
    for column in found:
        first = FIRST if lanes > 1 and x == IMAGE else GAP
        column.left = x + max([first, *(width_of(words, SMALL) + 0.12 for words in column.between)])
        column.tops = last if len(column.box.towers) == lanes else [ABOVE + (_height(lanes) - LANE) / 2]
        x = max(column.right, *(column.left + width_of(words, SMALL) for words in _captions(column.box)))
    return found, x


def _lanes(columns: list[Column]) -> int:
    """Return how many towers are drawn above one another."""
    return max(len(column.box.towers) for column in columns)


def _height(lanes: int) -> float:
    """Return the height of all towers in inches."""
    return lanes * LANE + (lanes - 1) * BETWEEN


def draw(network: Network, path: str | Path, theme: Theme = LIGHT) -> list[Box]:
    """Draw a network, and return its boxes; lines that cross are links, with the floats that a tower sends."""
    layers, x = placed(network)
    lanes = _lanes(layers)
    height = _height(lanes)
    captions = max(len(column.between) for column in layers)
    total = totals(rows(network))
    said = f"{network.classes:,} classes, {total.parameters:,} parameters, {total.multiply_adds:,} multiply-adds."
    if any(column.box.sent for column in layers):
        said += " Where lines of both towers cross are links; below them, what each tower sends of an image."
    # Widths of texts differ a little between versions of matplotlib.
    size = (math.ceil(10 * x) / 10, ABOVE + height + 0.12 + (BELOW + captions) * LINE)
    with figure(path, size, network.name, said, theme) as drawn:
        axes = place(drawn, 0, 0, *size)
        axes.set(xlim=(0, size[0]), ylim=(size[1], 0))
        _image(axes, network, ABOVE + height / 2, theme)
        before: list[tuple[float, float]] = [(IMAGE, ABOVE + (height - IMAGE) / 2)]
        shared, tall = True, IMAGE
        for column in layers:
            _lines(axes, before, tall, column, shared or bool(column.box.sent), theme)
            before = [(column.right, top) for top in column.tops]
            shared, tall = False, LANE
        for column in layers:
            _block(axes, network, column, ABOVE + height, theme)
        for number, top in enumerate(layers[0].tops if lanes > 1 else ()):
            style: dict[str, Any] = {"rotation": 90, "va": "center", "ha": "center", "fontsize": SMALL}
            style |= {"fontweight": "bold"}
            style["bbox"] = {"facecolor": theme.ground, "edgecolor": "none", "pad": 1.5}
            style["color"] = theme.tower(number)
            axes.text((IMAGE + layers[0].left) / 2, top + LANE / 2, f"tower {number + 1}", **style)
    return boxes(network)


def _columns(network: Network) -> Iterator[Column]:
    """Yield the layers with weights, each with captions of the layers between it and the one before."""
    links = {box.layer: box for box in boxes(network)}
    between: list[str] = []
    for row in rows(network):
        if row.kind in ("conv", "dense"):
            box = links[row.layer]
            yield Column(box, between + ([f"{max(box.sent):,} floats"] if box.sent else []))
            between = []
        elif row.kind in POOLS:
            _, high, wide = row.output
            between += [f"pool {links[row.layer].window}".replace("x", "×"), f"to {high}×{wide}"]
        elif row.kind in NAMES and (row.kind != "exchange" or len(row.sent_forward)):
            between.append(NAMES[row.kind])


def _captions(box: Box) -> tuple[str, ...]:
    """Return the lines above a block, of which the first is its name, without those below it."""
    channels, high, wide = box.output
    return box.layer, f"{channels:,} · {high}×{wide}" if high * wide > 1 else f"{channels:,}"


def _image(axes: Any, network: Network, middle: float, theme: Theme) -> None:
    """Draw the input, from which every tower reads."""
    from matplotlib.patches import Rectangle

    side, step = IMAGE - 0.12, 0.06
    for number in (2, 1, 0):
        corner = (number * step + 0.01, middle - side / 2 - (1 - number) * step)
        axes.add_patch(Rectangle(corner, side, side, facecolor=theme.ground, edgecolor=theme.faint, linewidth=0.8))
    style = {"ha": "center", "va": "center", "fontsize": SMALL, "linespacing": 1.4}
    axes.text(side / 2, middle - step, f"image\n{network.crop}×{network.crop}\nRGB", color=theme.soft, **style)


def _lines(
    axes: Any, before: list[tuple[float, float]], tall: float, column: Column, shared: bool, theme: Theme
) -> None:
    """Draw what a layer reads, in the colour of its source: its own tower, or all of them where it is shared."""
    from matplotlib.patches import PathPatch
    from matplotlib.path import Path as Curve

    for source, (x, top) in enumerate(before):
        colour = theme.faint if before[0][0] == IMAGE else theme.tower(source)
        for target, goal in enumerate(column.tops):
            if not shared and len(before) == len(column.tops) and source != target:
                continue
            for thread in (np.arange(THREADS) + 0.5) / THREADS:
                start, end = (x + 0.03, top + thread * tall), (column.left - 0.03, goal + thread * LANE)
                middle = (start[0] + end[0]) / 2
                points = [start, (middle, start[1]), (middle, end[1]), end]
                curve = Curve(points, [Curve.MOVETO, Curve.CURVE4, Curve.CURVE4, Curve.CURVE4])
                axes.add_patch(PathPatch(curve, facecolor="none", edgecolor=colour, linewidth=0.7, alpha=0.75))


def _block(axes: Any, network: Network, column: Column, bottom: float, theme: Theme) -> None:
    """Draw the maps of a layer as squares, tower by tower, with names above and filters below."""
    box = column.box
    cells = column.cells
    tall = blocks.inches(cells)[1]
    joined = len(box.towers) < network.towers
    for number, top in enumerate(column.tops):
        colour = theme.soft if joined else theme.tower(number)
        filled = blocks.coloured(cells, theme.ground, theme.mixed(colour, FULL))
        middle = top + LANE / 2
        extent = (column.left, column.right, middle + tall / 2, middle - tall / 2)
        axes.imshow(filled, extent=extent, aspect="auto", interpolation="antialiased")
    name, shape = _captions(box)
    above, style = min(column.tops), {"fontsize": SMALL, "color": theme.soft}
    axes.text(column.left, above - 0.27, name, fontsize=TEXT, fontweight="bold", parse_math=False)
    axes.text(column.left, above - 0.09, shape, **style)
    size, _, stride = box.window.replace("x", "×").partition(" /")
    below = [size, f"stride {stride}" if stride else ""] if size else [box.kind]
    for number, words in enumerate(below):
        axes.text(column.left, bottom + 0.16 + number * LINE, words, **style)
    for number, words in enumerate(column.between):
        serif = {} if words[0].isdigit() else {"fontfamily": [SERIF], "fontstyle": "italic", "fontsize": SMALL + 1}
        middle = column.left - 0.5 * max(GAP, *(width_of(each, SMALL) + 0.12 for each in column.between))
        y = bottom + 0.16 + (BELOW + number) * LINE
        axes.text(middle, y, words, ha="center", **{**style, **serif})
