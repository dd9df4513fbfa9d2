"""Plot of a training: loss and error by epoch, with the drops of the learning rate."""

import itertools
import time

from cualex.errors import CualexError
from cualex.evaluation import TOP5
from cualex.plots.figure import BLUE, GREY, ORANGE, figure
from cualex.training.run import Run

DRAW_EVERY = 5.0  # seconds; epochs of small sets are shorter than a drawing takes


class Drawing:
    """Draws the curves of a training again and again; a drawing that fails does not end the training."""

    def __init__(self, run: Run) -> None:
        """Start without a drawing."""
        self.run = run
        self._drawn: float | None = None

    def again(self, last: bool = False) -> str | None:
        """Draw, unless that was less than `DRAW_EVERY` seconds ago and is not the last; return what went wrong."""
        if not last and self._drawn is not None and time.monotonic() - self._drawn <= DRAW_EVERY:
            return None
        try:
            draw(self.run)
        except (CualexError, OSError) as error:
            return f"The curves were not drawn: {error}"
        finally:
            self._drawn = time.monotonic()
        return None


def draw(run: Run) -> None:
    """Draw a run's results.csv as curves.png in its directory."""
    rows = run.results()
    epochs = [row["epoch"] for row in rows]
    falls = [row["epoch"] for before, row in itertools.pairwise(rows) if row["lr"] < before["lr"]]
    marker = "o" if len(rows) < 30 else None
    with figure(run.path / "curves.png", columns=2) as (_, (left, right)):
        left.plot(epochs, [row["train/loss"] for row in rows], GREY, marker=marker, label="training")
        left.plot(epochs, [row["val/loss"] for row in rows], BLUE, marker=marker, label="validation")
        left.set(xlabel="epoch", ylabel="cross-entropy", ylim=(0, None))
        curves = ((1, BLUE), (5, ORANGE)) if _classes(run) >= TOP5 else ((1, BLUE),)
        for k, colour in curves:
            errors = [100 * (1 - row[f"metrics/accuracy_top{k}"]) for row in rows]
            right.plot(epochs, errors, colour, marker=marker, label=f"top-{k}")
        right.set(xlabel="epoch", ylabel="validation error, %", ylim=(0, None))
        for axes in (left, right):
            for epoch in falls:
                axes.axvline(epoch - 0.5, color=GREY, linestyle=":", linewidth=1)
            axes.legend(frameon=False)
            axes.spines[["top", "right"]].set_visible(False)
            axes.xaxis.get_major_locator().set_params(integer=True)


def _classes(run: Run) -> int:
    path = run.path / "classes.txt"
    return path.read_bytes().count(b"\n") if path.exists() else 0
