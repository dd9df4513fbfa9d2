"""Plot of a learning-rate range test: loss against rate."""

from pathlib import Path

from cualex.plots.figure import BLUE, GREY, ORANGE, figure
from cualex.training.debugging.range_test import Step


def draw(steps: list[Step], suggested: float | None, path: str | Path) -> None:
    """Draw the losses of batches and their moving average by rate, and the suggested rate if there is one."""
    finite = [step for step in steps if step.loss is not None]
    rates = [step.rate for step in finite]
    smoothed = [step.smoothed for step in finite]
    with figure(path) as (_, axes):
        axes.plot(rates, [step.loss for step in finite], GREY, linewidth=0.7, alpha=0.6, label="loss of a batch")
        axes.plot(rates, smoothed, BLUE, label="moving average")
        if suggested:
            axes.axvline(suggested, color=ORANGE, linestyle="--", label=f"suggested: {suggested:g}")
        axes.set(xlabel="learning rate", ylabel="training loss", xscale="log", ylim=(0, 1.05 * max(smoothed)))
        axes.legend(frameon=False, loc="upper left")
        axes.spines[["top", "right"]].set_visible(False)
