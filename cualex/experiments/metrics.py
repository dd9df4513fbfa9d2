"""What an experiment reads off a training that has come to its end, and when it has seen enough."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from cualex import weights
from cualex.evaluation import evaluate
from cualex.experiments import filter_colours
from cualex.model import Model
from cualex.training.run import Run

GOAL = 25.0  # percent of training error, in figure 1
LEFT = 0.95  # of ln C: a mean loss below has left it

Figures = dict[str, float | None]


@dataclass(frozen=True)
class Measure:
    """Say what is measured.

    columns: the figures' names; the first is compared between arms, and the smallest is best.
    take: reads them off a run, given the training images and Model's settings; None for what was never reached.
    reached: says that a run has nothing more to show.  on_training: whether epochs end with the error on the training
    images, and not on others.
    counts: what the first column counts, "epochs" or "updates". Arms are then compared by ratio, and one that never
    gets there is behind by more than what it had; else they are compared by difference.
    """

    columns: tuple[str, ...]
    take: Callable[[Run, object, dict], Figures]
    reached: Callable[[Run, int], bool] | None = None
    on_training: bool = False
    counts: str = ""


def crossing(values: list[float], goal: float, first: float) -> float | None:
    """Return after how many epochs values fall to a goal, along straight lines between epochs; None if they never do.

    values[i] is that after epoch i + 1, and `first`, above the goal, the one before training.
    """
    before = first
    for epoch, value in enumerate(values, 1):
        if value <= goal:
            return epoch - 1 + (before - goal) / (before - value)
        before = value
    return None


def errors(run: Run) -> list[float]:
    """Return the error after each epoch, in percent."""
    if not (run.path / "results.csv").exists():
        return []
    return [100 * (1 - row["metrics/accuracy_top1"]) for row in run.results()]


def losses(run: Run) -> list[tuple[int, float]]:
    """Return the mean loss of each ten updates, with the number of the last."""
    records = run.log().records()
    return [(record["update"], record["loss"]) for record in records if "loss" in record and "val_loss" not in record]


def _errors(run: Run, pack, settings: dict) -> Figures:
    """Read the last epoch's test error; name the training images once more, at their centre and as they are."""
    model = Model(weights.load(run.path / "last.safetensors"), **settings)
    found = 100 * (1 - evaluate(model, pack).top1)
    return {"test error, %": errors(run)[-1], "training error, %": found}


def _epochs(run: Run, pack, settings: dict) -> Figures:
    found = errors(run)
    first = 100 * (1 - 1 / len(pack.classes))
    return {
        "epochs to 25 % training error": crossing(found, GOAL, first),
        "lowest training error, %": min(found),
    }


def _updates(run: Run, pack, settings: dict) -> Figures:
    chance = math.log(len(pack.classes))
    seen = losses(run)
    left = next((update for update, loss in seen if loss < LEFT * chance), None)
    return {"updates to leave ln C": left, "last loss / ln C": seen[-1][1] / chance if seen else None}


def _colours(run: Run, pack, settings: dict) -> Figures:
    tensor = weights.load(run.path / "last.safetensors").tensors["conv1.weight"]
    np.save(run.path / filter_colours.FILE, tensor)
    return filter_colours.figures(tensor)


def _below_goal(run: Run, classes: int) -> bool:
    return any(error <= GOAL for error in errors(run)[-1:])


def _has_left(run: Run, classes: int) -> bool:
    return any(loss < LEFT * math.log(classes) for _, loss in losses(run)[-1:])


ERRORS = Measure(("test error, %", "training error, %"), _errors)
EPOCHS = Measure(
    ("epochs to 25 % training error", "lowest training error, %"),
    _epochs,
    reached=_below_goal,
    on_training=True,
    counts="epochs",
)
UPDATES = Measure(
    ("updates to leave ln C", "last loss / ln C"),
    _updates,
    reached=_has_left,
    on_training=True,
    counts="updates",
)
COLOURS = Measure(filter_colours.COLUMNS, _colours)
