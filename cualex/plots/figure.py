"""The figure of all plots: size, colours, and an atomic write."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from cualex.system import cache, files

# Of Okabe and Ito, distinguishable for the colour-blind as well.
BLUE, ORANGE, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "#777777"


@contextmanager
def figure(
    path: str | Path, rows: int = 1, columns: int = 1, size: tuple[float, float] = (8.0, 4.0)
) -> Iterator[tuple[Any, Any]]:
    """Yield (figure, axes), and write the figure to `path` as PNG at the end.

    axes: of Figure.subplots, one or an array of them by rows and columns, for which matplotlib has no one type.
    """
    os.environ.setdefault("MPLBACKEND", "agg")
    # Without a home matplotlib makes a new directory for each process, and says so.
    if "HOME" not in os.environ:
        os.environ.setdefault("MPLCONFIGDIR", str(cache.place() / "matplotlib"))
    import matplotlib

    matplotlib.use("agg")
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    drawn = Figure(figsize=size, layout="constrained")
    FigureCanvasAgg(drawn)
    yield drawn, drawn.subplots(rows, columns)
    files.replace(path, lambda part: drawn.savefig(part, format="png", dpi=144))
