"""Plot of several trainings: validation loss and error by epoch, a colour for each run."""

from collections.abc import Sequence
from pathlib import Path

from cualex.plots.figure import figure
from cualex.training.run.overview import Overview

DASHES = ("-", "--", ":", "-.")  # for every ten runs, since matplotlib has ten colours


def draw(compared: Sequence[Overview], path: str | Path) -> None:
    """Draw the curves of runs that have epochs, with a legend of their names."""
    names = [each.path.name for each in compared]
    with figure(path, columns=2, size=(10.0, 4.5)) as (drawn, (left, right)):
        for number, (each, name) in enumerate(zip(compared, names, strict=True)):
            label = name if names.count(name) == 1 else str(each.path)
            style = {
                "color": f"C{number % 10}",
                "linestyle": DASHES[number // 10 % len(DASHES)],
                "marker": "o" if len(each.results) < 30 else None,
            }
            epochs = [row["epoch"] for row in each.results]
            left.plot(epochs, [row["val/loss"] for row in each.results], **style, label=label)
            errors = [100 * (1 - row["metrics/accuracy_top1"]) for row in each.results]
            right.plot(epochs, errors, **style)
        left.set(xlabel="epoch", ylabel="validation cross-entropy", ylim=(0, None))
        right.set(xlabel="epoch", ylabel="validation error, top-1, %", ylim=(0, None))
        for axes in (left, right):
            axes.spines[["top", "right"]].set_visible(False)
            axes.xaxis.get_major_locator().set_params(integer=True)
        # Text between $ would be set as a formula.
        texts = drawn.legend(loc="outside right upper", frameon=False).get_texts()
        for text in texts:
            text.set_parse_math(False)
