"""The figure of all plots: title, margins, PNG or SVG by the ending, and the numbers beside it.

A user's matplotlibrc is left aside, so that a plot looks the same on every machine.
"""

import csv
import io
import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from cualex.errors import UsageError
from cualex.plots.text import MISSING, fitted, wrapped
from cualex.plots.theme import DPI, LEADING, LIGHT, MARGIN, NARROWEST, SANS, SERIF, SUBTITLE, TITLE, Theme, settings
from cualex.system import cache, files

ENDINGS = (".png", ".svg")
MOST = 2**16  # pixels a side of a PNG, matplotlib's bound

Table = Sequence[Mapping[str, object]]


def check_ending(path: str | Path) -> None:
    """Raise UsageError unless a plot's name ends in .png or .svg; without an ending it is a PNG."""
    if Path(path).suffix.lower() not in ("", *ENDINGS):
        raise UsageError(f"{path}: expected a name that ends in {' or '.join(ENDINGS)}")


@contextmanager
def figure(
    path: str | Path,
    size: tuple[float, float] = (8.0, 4.0),
    title: str = "",
    subtitle: str = "",
    theme: Theme = LIGHT,
) -> Iterator[Any]:
    """Yield a matplotlib Figure to draw into, and write it to `path` at the end, PNG or SVG by the ending.

    size: width and height of what is drawn below the title.  subtitle: sentences below it, wrapped.
    The bytes depend on what is drawn and on the version of matplotlib alone.
    """
    check_ending(path)
    os.environ.setdefault("MPLBACKEND", "agg")
    # Without a home matplotlib makes a new directory for each process, and says so.
    if "HOME" not in os.environ:
        os.environ.setdefault("MPLCONFIGDIR", str(cache.place() / "matplotlib"))
    import matplotlib

    matplotlib.use("agg")
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    kind = "svg" if Path(path).suffix.lower() == ".svg" else "png"
    line = LEADING * SUBTITLE / 72
    across = max(size[0], NARROWEST)
    said = [part for words in subtitle.splitlines() for part in wrapped(words, across, SUBTITLE)]
    above = 0.36 if title else 0.0
    head = above + line * len(said) + (0.1 if title or said else 0)
    width, height = across + 2 * MARGIN, size[1] + 2 * MARGIN + head
    if kind == "png" and max(width, height) * DPI >= MOST:
        raise UsageError(
            f"{path} would have {width * DPI:.0f} x {height * DPI:.0f} pixels, and a PNG has fewer than {MOST:,} a "
            "side: draw less, or an .svg"
        )
    with matplotlib.rc_context(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", MISSING)
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(settings(theme))
        drawn = Figure(figsize=(width, height), layout="constrained")
        FigureCanvasAgg(drawn)
        layout: Any = drawn.get_layout_engine()
        box = (MARGIN / width, MARGIN / height, 1 - 2 * MARGIN / width, 1 - (2 * MARGIN + head) / height)
        layout.set(rect=box, w_pad=0.04, h_pad=0.04)
        left, top = MARGIN / width, 1 - 0.8 * MARGIN / height
        named = fitted(title, across, 0.93 * TITLE)  # the serif is narrower than the sans, which is measured
        drawn.text(left, top, named, fontfamily=[SERIF, SANS], fontsize=TITLE, va="top", parse_math=False)
        for number, words in enumerate(said):
            y = top - (above + number * line) / height
            drawn.text(left, y, words, fontsize=SUBTITLE, color=theme.soft, va="top", parse_math=False)
        yield drawn
        for legend in filter(None, (axes.get_legend() for axes in drawn.axes)):
            for label in legend.get_texts():
                label.set_parse_math(False)  # the name of a run may have dollars
        if not any(axes.get_subplotspec() for axes in drawn.axes):
            drawn.set_layout_engine("none")  # which warns where `place` made all axes
        undated = {"Date": None} if kind == "svg" else {"Software": None}
        files.replace(path, lambda part: drawn.savefig(part, format=kind, dpi=DPI, metadata=undated))


def place(drawn: Any, left: float, top: float, width: float, height: float) -> Any:
    """Return new axes without ticks: inches to the right of the left margin, and below the title."""
    x, y, _, tall = drawn.get_layout_engine().get()["rect"]
    across, down = drawn.get_size_inches()
    axes = drawn.add_axes((x + left / across, y + tall - (top + height) / down, width / across, height / down))
    axes.set_axis_off()
    return axes


def write_data(plot: str | Path, data: np.ndarray | Table | str) -> Path:
    """Write the numbers of a plot beside it, under its name: an array as .npy, rows or CSV text as .csv; return where.

    Raise OutputError where the path cannot be written.
    """
    path = Path(plot).with_suffix(".npy" if isinstance(data, np.ndarray) else ".csv")
    if isinstance(data, np.ndarray):
        array = data

        def save(part: Path) -> None:
            with part.open("wb") as file:  # np.save adds an ending to the path of a partial file
                np.save(file, array)

        files.replace(path, save)
    elif isinstance(data, str):
        files.replace_text(path, data)
    else:
        text = io.StringIO()
        lines = csv.DictWriter(text, list(data[0]), lineterminator="\n")
        lines.writeheader()
        lines.writerows(data)
        files.replace_text(path, text.getvalue())
    return path
