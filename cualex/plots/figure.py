"""What all drawings share: size, colours, and a file that is never half written."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cualex.system import files

# Of Okabe and Ito, told apart by the colour-blind as well.
BLUE, ORANGE, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "#777777"


@contextmanager
def figure(path: str | Path, rows: int = 1, columns: int = 1, size=(8.0, 4.0)) -> Iterator:
    """Hand out (figure, axes) and write the drawing to `path` as PNG at the end."""
    os.environ.setdefault("MPLBACKEND", "agg")
    import matplotlib

    matplotlib.use("agg")
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    drawn = Figure(figsize=size, layout="constrained")
    FigureCanvasAgg(drawn)
    yield drawn, drawn.subplots(rows, columns)
    files.replace(path, lambda part: drawn.savefig(part, format="png", dpi=144))
