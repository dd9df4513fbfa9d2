"""A network as a plot: a row of layers for each tower, and the links at which towers exchange their maps."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cualex.networks import Network
from cualex.networks.summary import rows
from cualex.plots.figure import BLUE, GREY, ORANGE, figure

POOLS = ("maxpool", "averagepool")
DRAWN = ("conv", "dense", *POOLS)
GAP, SPREAD = 0.46, 2.3  # between columns, and between towers
Centre = tuple[float, list[float]]  # right edge of a layer, and the height of each of its boxes


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

    @property
    def width(self) -> float:
        """Return the width to draw, which grows with the channels."""
        return 0.16 if self.kind == "dense" else 0.1 + 0.055 * math.log2(self.output[0])

    @property
    def height(self) -> float:
        """Return the height to draw, which grows with the rows of the maps."""
        return 1.15 if self.kind == "dense" else 0.3 + self.output[1] / 64


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


def draw(network: Network, path: str | Path) -> list[Box]:
    """Draw a network into a PNG, and return its boxes; links are arrows with the floats that a tower sends."""
    layers, x = boxes(network), 1.0
    centres: list[Centre] = []
    towers = max(len(box.towers) for box in layers)
    middle = {tower: SPREAD * ((towers + 1) / 2 - tower) for tower in range(1, towers + 1)}
    with figure(path, size=(9.6, 0.7 + 1.55 * towers)) as (_, axes):
        _image(axes, network.crop, [(1.0 - GAP, middle[tower]) for tower in layers[0].towers])
        for box in layers:
            centre = x + box.width / 2
            lines = [middle[tower] for tower in box.towers] if len(box.towers) == towers else [0.0]
            for y in lines:
                _box(axes, box, centre, y)
            if box.sent:
                _link(axes, box, x, centres[-1], middle, lines)
            elif centres:
                _straight(axes, centres[-1], x, lines)
            centres.append((x + box.width, lines))
            x += box.width + GAP
        top = SPREAD * towers / 2
        if any(box.sent for box in layers):
            axes.text(-0.5, top, "floats that a tower sends, per image:", color=ORANGE, va="bottom", fontsize=8)
        for tower, y in middle.items() if towers > 1 else ():
            axes.text(-0.5, y, f"tower {tower}", va="center", fontsize=8)
        axes.set(xlim=(-0.6, x - GAP + 0.25), ylim=(-top, top + 0.25))
        axes.axis("off")
    return layers


def _image(axes: Any, crop: int, targets: list[tuple[float, float]]) -> None:
    """Draw the input, from which every tower reads."""
    from matplotlib.patches import Rectangle

    axes.add_patch(Rectangle((-0.5, -0.45), 0.75, 0.9, facecolor="white", edgecolor=GREY, linewidth=1.2))
    axes.text(-0.125, 0, f"image\n{crop}x{crop}\nRGB", ha="center", va="center", fontsize=8)
    for x, y in targets:
        axes.annotate("", (x + GAP - 0.05, y), (0.26, 0), arrowprops={"arrowstyle": "->", "color": GREY})


def _box(axes: Any, box: Box, x: float, y: float) -> None:
    """Draw a layer of one tower, with its name above and its shape below."""
    from matplotlib.patches import Rectangle

    pooled = box.kind in POOLS
    corner = (x - box.width / 2, y - box.height / 2)
    colour = "white" if pooled else BLUE
    axes.add_patch(Rectangle(corner, box.width, box.height, facecolor=colour, edgecolor=BLUE, alpha=0.85))
    top = f"{box.layer}\n{box.window}" if box.window else box.layer
    channels, height, width = box.output
    shape = f"{channels}" if (height, width) == (1, 1) else f"{channels}\n{height}x{width}"
    axes.text(x, y + box.height / 2 + 0.06, top, ha="center", va="bottom", fontsize=8, linespacing=1.0)
    axes.text(x, y - box.height / 2 - 0.06, shape, ha="center", va="top", fontsize=8, color="#444444", linespacing=1.0)


def _straight(axes: Any, before: Centre, x: float, lines: list[float]) -> None:
    """Join a layer to the one before it, in the same tower."""
    end, _ = before
    for y in lines:
        axes.plot([end, x], [y, y], color=GREY, linewidth=0.9, zorder=0)


def _link(axes: Any, box: Box, x: float, before: Centre, middle: dict[int, float], lines: list[float]) -> None:
    """Draw what a layer reads of both towers: its own, and what the link brings from the other."""
    end, sources = before
    for source in sources:
        for y in lines:
            crossing = source != y and (len(lines) > 1 or source != middle[1])
            style = {"arrowstyle": "->", "color": ORANGE if crossing else GREY, "lw": 1.6 if crossing else 0.9}
            axes.annotate("", (x, y), (end, source), arrowprops=style)
    text = f"{max(box.sent):,}"
    axes.text((x + end) / 2, SPREAD * len(middle) / 2, text, color=ORANGE, ha="center", va="bottom", fontsize=8)
