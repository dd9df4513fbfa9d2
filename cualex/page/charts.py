"""Pictures of a page: curves as inline SVG in the page's colours, images as data: URIs, plots in both themes.

A page that has these needs the variables of `colours`, or of static/style.css, and the rules of static/charts.css.
"""

import base64
import math
import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from html import escape
from importlib import resources
from pathlib import Path

import numpy as np

from cualex.data import images
from cualex.evaluation import TOP5
from cualex.plots import filters as filter_plot
from cualex.plots.blocks import mosaic
from cualex.plots.curves import best_epoch, drops
from cualex.plots.theme import THEMES, Theme
from cualex.training.run import Run

WIDTH, HEIGHT = 420, 236  # of a chart, in units of its view box
LEFT, RIGHT, TOP, BOTTOM = 40, 12, 12, 32  # margins
TICKS = 5  # on an axis, about
MARKED = 30  # epochs up to which each is marked
FILTER = 44  # pixels of a filter, about
SHARPER = 1.5  # power of a heat map, so that what matters most stands out


@dataclass(frozen=True)
class Curve:
    """A curve: points (epoch, value), its colour as a class of charts.css, and whether it is dashed."""

    label: str
    colour: str
    points: Sequence[tuple[float, float]]
    dashed: bool = False


def colours(theme: Theme) -> str:
    """Return the colours of a theme as CSS variables: --ground, --ink, ..."""
    return " ".join(f"--{name}: {value};" for name, value in asdict(theme).items())


def style(name: str) -> str:
    """Return a style sheet of static/ as text."""
    return resources.files(__package__).joinpath(f"static/{name}").read_text(encoding="utf-8")


def training(run: Run) -> str:
    """Return a run's losses and validation errors by epoch, two figures; "" before the end of the first epoch.

    The training loss is of augmented images with dropout, so that it may lie above the validation loss. Thin lines:
    the learning rate falls.
    """
    try:
        rows = run.results()
        top5 = len((run.path / "classes.txt").read_text(encoding="utf-8").splitlines()) >= TOP5
        epochs = [row["epoch"] for row in rows]
        columns = ("train/loss", "val/loss", "metrics/accuracy_top1", "metrics/accuracy_top5")
        train, validation, top, five = ([row[name] for row in rows] for name in columns)
    except (OSError, ValueError, KeyError, TypeError):  # half written, or another program's
        return ""
    if not rows:
        return ""
    fallen = [epoch - 0.5 for epoch in drops(rows)]
    losses = [
        Curve("training (augmented, with dropout)", "tower1", list(zip(epochs, train, strict=True)), dashed=True),
        Curve("validation", "tower1", list(zip(epochs, validation, strict=True))),
    ]
    errors = [Curve("top-1", "tower2", [(epoch, 100 * (1 - each)) for epoch, each in zip(epochs, top, strict=True)])]
    if top5:
        points = [(epoch, 100 * (1 - each)) for epoch, each in zip(epochs, five, strict=True)]
        errors.append(Curve("top-5", "tower2", points, dashed=True))
    best = errors[0].points[epochs.index(best_epoch(run, rows))]
    said = f"best: {best[1]:.1f} %, epoch {best[0]:.0f}"
    return (
        f'<div class="charts">{_figure("Loss (cross-entropy)", losses, fallen)}'
        f"{_figure('Validation error', errors, fallen, ' %', best, said)}</div>"
    )


def _figure(
    title: str,
    curves: Sequence[Curve],
    fallen: Iterable[float],
    unit: str = "",
    best: tuple[float, float] | None = None,
    said: str = "",
) -> str:
    """Return a chart with its title and legend."""
    keys = "".join(
        f'<span class="key {curve.colour}{" dashed" * curve.dashed}"><i></i>{escape(curve.label)}</span>'
        for curve in curves
    )
    keys += f'<span class="key tower2 ring"><i></i>{escape(said)}</span>' if best else ""
    drawn = _chart(curves, fallen, unit, best, f"{title} by epoch")
    return f"<figure><figcaption><b>{escape(title)}</b>{keys}</figcaption>{drawn}</figure>"


def _chart(
    curves: Sequence[Curve], fallen: Iterable[float], unit: str, best: tuple[float, float] | None, label: str
) -> str:
    """Return curves by epoch as SVG; what is not finite is left out."""
    epochs = [point[0] for curve in curves for point in curve.points]
    heights = [point[1] for curve in curves for point in curve.points if math.isfinite(point[1])]
    first, last = min(epochs), max(epochs)
    marks = ticks(max(heights, default=0.0) or 1.0)
    top = marks[-1]

    def x(epoch: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * ((epoch - first) / (last - first) if last > first else 0.5)

    def y(value: float) -> float:
        return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * value / top

    drawn = [f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y(v):.1f}" y2="{y(v):.1f}"/>' for v in marks]
    drawn += [f'<text x="{LEFT - 6}" y="{y(v) + 3.5:.1f}" text-anchor="end">{v:g}{unit}</text>' for v in marks]
    whole = sorted({round(first + part) for part in ticks(last - first or 1.0)} & set(range(int(first), int(last) + 1)))
    for each in whole:
        drawn.append(f'<text x="{x(each):.1f}" y="{HEIGHT - 16}" text-anchor="middle">{each}</text>')
    drawn.append(f'<text x="{WIDTH - RIGHT}" y="{HEIGHT - 2}" text-anchor="end">epoch</text>')
    for drop in fallen:
        drawn.append(f'<line class="drop" x1="{x(drop):.1f}" x2="{x(drop):.1f}" y1="{TOP}" y2="{HEIGHT - BOTTOM}"/>')
    for curve in curves:
        points = [(x(epoch), y(value)) for epoch, value in curve.points if math.isfinite(value)]
        kind = f"{curve.colour}{' dashed' * curve.dashed}"
        drawn.append(f'<polyline class="{kind}" points="{" ".join(f"{a:.1f},{b:.1f}" for a, b in points)}"/>')
        if len(points) == 1 or (len(points) < MARKED and not curve.dashed):
            drawn += [f'<circle class="{kind}" cx="{a:.1f}" cy="{b:.1f}" r="2.4"/>' for a, b in points]
    if best and math.isfinite(best[1]):
        drawn.append(f'<circle class="ring tower2" cx="{x(best[0]):.1f}" cy="{y(best[1]):.1f}" r="5.5"/>')
    return (
        f'<svg class="chart" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(label)}">'
        f"{''.join(drawn)}</svg>"
    )


def ticks(top: float) -> list[float]:
    """Return round numbers from 0 to one that is not below `top`: about `TICKS` steps of 1, 2 or 5 times a power."""
    rough = top / TICKS
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * 0.999)
    return [round(number * step, 12) for number in range(math.ceil(top / step - 1e-9) + 1)]


def image(pixels: np.ndarray, kind: str = "JPEG") -> str:
    """Return an image, uint8 (rows, columns, 3), or 4 of a PNG, as a data: URI."""
    data = base64.b64encode(images.encoded(pixels, kind)).decode()
    return f"data:image/{kind.lower()};base64,{data}"


def heat(values: np.ndarray) -> str:
    """Return a heat map (rows, columns) of numbers from 0 to 1 as a data: URI: green, the more opaque the larger."""
    shown = np.empty((*values.shape, 4), np.uint8)
    shown[..., :3] = 40, 200, 105
    shown[..., 3] = np.round(225 * np.clip(values, 0, 1) ** SHARPER)
    return image(shown, "PNG")


def filters(weights: np.ndarray) -> str:
    """Return filters (n, 1 or 3, rows, columns) as a data: URI, each scaled by its largest weight.

    Of three channels 0 is grey; of one, positive weights are green, negative ones purple, and 0 is transparent.
    """
    count, channels = weights.shape[:2]
    laid = mosaic(filter_plot.scaled(weights), filter_plot.across(count), FILTER, 3)
    empty = np.isnan(laid) if laid.ndim == 2 else np.isnan(laid).any(axis=2)
    shown = np.zeros((*empty.shape, 4))
    if channels == filter_plot.GREY:
        signed = 2 * np.where(empty, 0.5, laid) - 1
        green, purple = ([int(colour[i : i + 2], 16) for i in (1, 3, 5)] for colour in ("#2e9e50", "#9a5cc8"))
        shown[..., :3] = np.where(signed[..., None] > 0, green, purple)
        shown[..., 3] = 255 * np.abs(signed)
    else:
        shown[..., :3] = 255 * np.where(empty[..., None], 0, laid)
        shown[..., 3] = np.where(empty, 0, 255)
    return image(np.round(shown).astype(np.uint8), "PNG")


def plot(draw: Callable[[Path, Theme], object], label: str) -> str:
    """Return a plot of cualex.plots as SVG, in the light and the dark theme: the reader's system chooses."""
    found = {}
    with tempfile.TemporaryDirectory() as directory:
        for name, theme in THEMES.items():
            path = Path(directory) / f"{name}.svg"
            draw(path, theme)
            found[name] = f"data:image/svg+xml;base64,{base64.b64encode(path.read_bytes()).decode()}"
    return (
        f'<picture class="plot"><source media="(prefers-color-scheme: dark)" srcset="{found["dark"]}">'
        f'<img alt="{escape(label)}" src="{found["light"]}"></picture>'
    )
