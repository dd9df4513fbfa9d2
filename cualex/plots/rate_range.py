"""Plot of a learning-rate range test: loss against rate."""

from pathlib import Path

from cualex.plots.figure import figure
from cualex.plots.theme import LIGHT, Theme
from cualex.training.debugging.range_test import Step

TITLE = "Learning-rate range test"
SUBTITLE = "The rate rises from update to update; the loss of each batch, and its moving average."


def draw(steps: list[Step], suggested: float | None, path: str | Path, theme: Theme = LIGHT) -> None:
    """Draw the losses of batches and their moving average by rate, and the suggested rate if there is one."""
    finite = [step for step in steps if step.loss is not None]
    rates = [step.rate for step in finite]
    smoothed = [step.smoothed for step in finite]
    with figure(path, (7.6, 3.6), TITLE, SUBTITLE, theme) as drawn:
        axes = drawn.subplots()
        axes.plot(rates, [step.loss for step in finite], color=theme.faint, linewidth=0.7, label="loss of a batch")
        axes.plot(rates, smoothed, color=theme.series[0], label="moving average")
        if suggested:
            axes.axvline(suggested, color=theme.series[1], linestyle="--", label=f"suggested: {suggested:g}")
        axes.set(xlabel="learning rate", ylabel="training loss", xscale="log", ylim=(0, 1.05 * max(smoothed)))
        axes.legend(loc="upper left")
