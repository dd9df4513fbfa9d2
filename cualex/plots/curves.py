"""Plot of trainings: loss and error by epoch, with the drops of the learning rate and the best epoch."""

import itertools
import time
from collections.abc import Sequence
from typing import Any

from cualex.errors import CualexError, UsageError
from cualex.evaluation import TOP5
from cualex.plots.figure import Table, figure
from cualex.plots.text import fitted
from cualex.plots.theme import LIGHT, SUBTITLE, Theme
from cualex.training.run import Run, overview

DRAW_EVERY = 5.0  # seconds; epochs of small sets are shorter than a drawing takes
MARKED = 30  # epochs up to which each is marked
LONGEST = 2.2  # inches, of a run's name
MARKERS = "os^D"  # one more for every five runs, which are the colours
TRAINING: dict[str, Any] = {"linestyle": (0, (4, 2)), "linewidth": 1.1}
FIVE: dict[str, Any] = {"linestyle": (0, (1, 1.6)), "linewidth": 1.3}
DROP: dict[str, Any] = {"linewidth": 0.8}
BEST: dict[str, Any] = {"marker": "o", "markersize": 9, "markerfacecolor": "none", "linestyle": "none"}


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
    draw_runs([run], run.path / "curves.png")


def draw_runs(runs: Sequence[Run], path: Any, theme: Theme = LIGHT) -> Table:
    """Draw losses on the left and validation errors on the right, a colour for each run; return a row an epoch.

    The training loss is of augmented images with dropout, so that it may lie above the validation loss. Columns: run,
    epoch, training_loss, validation_loss, top1_error, top5_error (of 0 to 1), learning_rate.
    """
    names = names_of(runs)
    found = [_results(run) for run in runs]
    top5 = any(_classes(run) >= TOP5 for run in runs)
    single = len(runs) == 1
    title = f"Training curves: {names[0]}" if single else f"Training curves of {len(runs)} runs"
    said = "Cross-entropy of training (augmented, with dropout) and validation, and the validation error, by epoch."
    with figure(path, (9.6, 3.9), title, said, theme) as drawn:
        left, right = drawn.subplots(1, 2)
        for index, (name, rows, best) in enumerate(zip(names, found, map(best_epoch, runs, found), strict=True)):
            style = {"color": theme.series[index % len(theme.series)], "marker": MARKERS[index // 5 % len(MARKERS)]}
            if not single:
                left.plot([], [], label=fitted(name, LONGEST, SUBTITLE), **style)
            _curve(left, right, rows, style, top5, "" if single else fitted(name, LONGEST, SUBTITLE), theme, best)
        _legends(left, right, found, top5, theme.series[0] if single else theme.soft, theme)
        for axes, words in ((left, "Loss"), (right, "Validation error")):
            axes.set_title(words)
            axes.set(xlabel="epoch", ylim=(0, None))
            axes.grid(axis="y")
            axes.spines["left"].set_visible(False)
            axes.tick_params(length=0)
            axes.xaxis.get_major_locator().set_params(integer=True, min_n_ticks=1)
        right.yaxis.set_major_formatter(lambda value, _: f"{value:g} %")
    return [
        {
            "run": name,
            "epoch": int(row["epoch"]),
            "training_loss": row["train/loss"],
            "validation_loss": row["val/loss"],
            "top1_error": round(1 - row["metrics/accuracy_top1"], 6),
            "top5_error": round(1 - row["metrics/accuracy_top5"], 6),
            "learning_rate": row["lr"],
        }
        for name, rows in zip(names, found, strict=True)
        for row in rows
    ]


def _results(run: Run) -> list[dict[str, float]]:
    """Return the epochs of a run; raise UsageError where there are none."""
    try:
        rows = run.results()
    except (OSError, KeyError, ValueError, TypeError):
        rows = []
    if not rows:
        raise UsageError(
            f"{run.path}: expected the directory of a run with results.csv, in which an epoch has ended. Give one in "
            "runs/."
        )
    return rows


def best_epoch(run: Run, rows: list[dict[str, float]]) -> int:
    """Return the best epoch: of epochs that are equally good the one whose weights the run has kept."""
    epochs = {int(row["epoch"]) for row in rows}
    for outcome in (run.outcome, lambda: None):  # what finished.json says, unless it is damaged or of other epochs
        try:
            best = overview.best_of(outcome(), rows)
        except (CualexError, OSError, ValueError, KeyError, TypeError):
            continue
        if best and best["epoch"] in epochs:
            return int(best["epoch"])
    raise UsageError(f"{run.path}: results.csv has no epoch")


def names_of(runs: Sequence[Run]) -> list[str]:
    """Return the directory's name of each run, or its whole path where two have the same."""
    last = [run.path.resolve().name for run in runs]
    return [name if last.count(name) == 1 else str(run.path) for name, run in zip(last, runs, strict=True)]


def _curve(
    left: Any,
    right: Any,
    rows: list[dict[str, float]],
    style: dict[str, Any],
    top5: bool,
    name: str,
    theme: Theme,
    best: int,
) -> None:
    """Draw one run; name: beside its best epoch, "" of the only one.  best: the epoch that is marked."""
    epochs, colour = [row["epoch"] for row in rows], style["color"]
    marked = style if len(rows) < MARKED else {"color": colour}
    alone = {"marker": "_", "markersize": 12, "markeredgewidth": 1.6} if len(rows) == 1 else {}  # one epoch is no line
    left.plot(epochs, [row["train/loss"] for row in rows], color=colour, **TRAINING, **alone)
    left.plot(epochs, [row["val/loss"] for row in rows], **marked)
    errors = [100 * (1 - row["metrics/accuracy_top1"]) for row in rows]
    right.plot(epochs, errors, **marked)
    if top5:
        right.plot(epochs, [100 * (1 - row["metrics/accuracy_top5"]) for row in rows], color=colour, **FIVE)
    for epoch in drops(rows):
        for axes in (left, right):
            axes.axvline(epoch - 0.5, color=theme.faint, zorder=0, **DROP)
    error = errors[epochs.index(best)]
    said = f"best{f' of {name}' if name else ''}: {error:.1f} %, epoch {best}"
    right.plot(best, error, color=colour, label=said, clip_on=False, **BEST)


def _legends(left: Any, right: Any, found: list[list[dict[str, float]]], top5: bool, colour: str, theme: Theme) -> None:
    """Give everything that is drawn a name, by empty curves."""
    left.plot([], [], color=colour, label="validation")
    left.plot([], [], color=colour, label="training", **TRAINING)
    right.plot([], [], color=colour, label="top-1")
    if top5:
        right.plot([], [], color=colour, label="top-5", **FIVE)
    if any(map(drops, found)):
        right.plot([], [], color=theme.faint, label="learning rate lowered", **DROP)
    for axes in (left, right):
        for text in axes.legend(loc="best", handlelength=2.2).get_texts():
            text.set_parse_math(False)  # a run may be called $x_$


def drops(rows: list[dict[str, float]]) -> list[float]:
    """Return the epochs with which a lower learning rate begins that is, or follows, that of several epochs.

    A cosine falls with every epoch, and has none.
    """
    level = [before["lr"] == row["lr"] for before, row in itertools.pairwise(rows)]
    return [
        row["epoch"]
        for at, (before, row) in enumerate(itertools.pairwise(rows))
        if row["lr"] < before["lr"] and any(level[max(0, at - 1) : at + 2])
    ]


def _classes(run: Run) -> int:
    path = run.path / "classes.txt"
    return path.read_bytes().count(b"\n") if path.exists() else 0
