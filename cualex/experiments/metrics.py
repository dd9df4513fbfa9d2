"""The metrics of experiments, and when a training can end because they are reached."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from cualex import weights
from cualex.data.split import Split
from cualex.evaluation import evaluate
from cualex.experiments import filter_colours
from cualex.model import Model
from cualex.training import confidence
from cualex.training.run import Run
from cualex.training.run.directory import FILTERS

GOAL = 25.0  # percent of training error, in figure 1
LEFT = 0.95  # of ln C: a mean loss below it has left it

Figures = dict[str, float | None]


def better_than_guessing(run: Run, figures: Figures, tested: Split) -> bool:
    """Return whether the last epoch's accuracy is above that of the largest class, as a training's verdict has it.

    The lower bound of the one-sided 97.5 % interval lies above it (training/confidence.py).
    """
    if not (found := errors(run)):
        return False
    images, largest = len(tested), int(np.bincount(tested.labels).max())
    return confidence.above(round((1 - found[-1] / 100) * images), images, largest / images)


def errors(run: Run) -> list[float]:
    """Return the errors after all epochs, in percent."""
    if not (run.path / "results.csv").exists():
        return []
    return [100 * (1 - row["metrics/accuracy_top1"]) for row in run.results()]


@dataclass(frozen=True)
class Measure:
    """What an experiment measures.

    columns: names of the figures; the first is compared between arms, and the smallest is best.
    take: computes them from a run, the training images and keyword arguments of Model; None: never reached.
    reached: whether a run can end.  on_training: whether epochs are validated on training images.
    counts: "epochs" or "updates" if the first column counts those. Arms are then compared by ratio, with a lower bound
    for one that never reached it; else by difference.
    learned: whether a run with these figures is better than guessing on the images that it was validated on.
    chance: the column of the percentage that chance alone would give, if there is one.
    goal: of the training error, in percent, where the first column counts the epochs to it.
    """

    columns: tuple[str, ...]
    take: Callable[[Run, Split, dict[str, Any]], Figures]
    reached: Callable[[Run, int], bool] | None = None
    on_training: bool = False
    counts: str = ""
    learned: Callable[[Run, Figures, Split], bool] = better_than_guessing
    chance: str = ""
    goal: float | None = None


def crossing(values: list[float], goal: float, first: float) -> float | None:
    """Return the epochs until values reach a goal, interpolated linearly; None if they never do.

    values[i] is the value after epoch i + 1, and `first`, above the goal, the one before training.
    """
    before = first
    for epoch, value in enumerate(values, 1):
        if value <= goal:
            return epoch - 1 + (before - goal) / (before - value)
        before = value
    return None


def losses(run: Run) -> list[tuple[int, float]]:
    """Return the mean losses of ten updates, with the number of the last."""
    records = run.log().records()
    return [(record["update"], record["loss"]) for record in records if "loss" in record and "val_loss" not in record]


def _errors(run: Run, pack: Split, settings: dict[str, Any]) -> Figures:
    """Return the last epoch's test error, and the error on the training images without augmentation."""
    model = Model(weights.load(run.path / "last.safetensors"), **settings)
    training = 100 * (1 - evaluate(model, pack).top1)
    return {"test error, %": errors(run)[-1], "training error, %": training}


def epochs_to(goal: float) -> Measure:
    """Return the measure of the epochs until the training error is at a goal, in percent."""
    columns = f"epochs to {goal:g} % training error", "lowest training error, %"

    def take(run: Run, pack: Split, settings: dict[str, Any]) -> Figures:
        found = errors(run)
        first = 100 * (1 - 1 / len(pack.classes))
        return dict(zip(columns, (crossing(found, goal, first), min(found)), strict=True))

    def reached(run: Run, classes: int) -> bool:
        return any(error <= goal for error in errors(run)[-1:])

    return Measure(columns, take, reached, on_training=True, counts="epochs", goal=goal)


def _updates(run: Run, pack: Split, settings: dict[str, Any]) -> Figures:
    chance = math.log(len(pack.classes))
    seen = losses(run)
    left = next((update for update, loss in seen if loss < LEFT * chance), None)
    return {"updates to leave ln C": left, "last loss / ln C": seen[-1][1] / chance if seen else None}


def _colours(run: Run, pack: Split, settings: dict[str, Any]) -> Figures:
    tensor = weights.load(run.path / "last.safetensors").tensors["conv1.weight"]
    np.save(run.path / FILTERS, tensor)
    return filter_colours.figures(tensor)


def _left(run: Run, figures: Figures, tested: Split) -> bool:
    return figures[UPDATES.columns[0]] is not None


def _has_left(run: Run, classes: int) -> bool:
    return any(loss < LEFT * math.log(classes) for _, loss in losses(run)[-1:])


ERRORS = Measure(("test error, %", "training error, %"), _errors)
EPOCHS = epochs_to(GOAL)
UPDATES = Measure(
    ("updates to leave ln C", "last loss / ln C"),
    _updates,
    reached=_has_left,
    on_training=True,
    counts="updates",
    learned=_left,
)
COLOURS = Measure(filter_colours.COLUMNS, _colours, chance=filter_colours.COLUMNS[-1])
