"""The verdict on a training: better than guessing or not, still improving or not, overfitting or not.

`judge` reads the epochs in the log, which are the same for a run that was stopped and one that never was.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np

from cualex.evaluation import entropy, uneven
from cualex.training import advice, confidence, trends

BETTER, NO_BETTER = "Better than guessing", "No better than guessing"
TOO_FEW = "Too few images to tell it from guessing"
BEHIND = 0.05  # by which macro recall lies below top-1 if small classes are neglected
FALLEN = 0.5  # of the largest learning rate; below it the schedule has dropped it


@dataclass(frozen=True)
class Verdict:
    """Evaluation of a training by its last epoch.

    The best epoch was chosen out of many by the images that it is measured on, which biases it; the last epoch was
    not, so it is the one that is judged. It is better than guessing when the lower bound of the one-sided 97.5 %
    interval (Clopper and Pearson; see confidence.py) of its top-1 lies above `baseline`, the fraction of the largest
    class among the validation images, which is the accuracy of predicting that class alone.

    epochs: their number.  best_epoch, top1: of the weights that are kept.
    right, images: of the last epoch.  interval: the two-sided 95 % interval of right / images.
    images_needed: how many could decide if these cannot; None if they can or no number would.
    cannot_tell: too few images to decide.  held_out: whether the images were not trained on.
    train_loss, val_loss: of the last epoch.  weighted: whether the training loss has class weights; the validation
    loss never has.  baseline_loss: the entropy -SUM p ln p of the class frequencies p in validation, the loss of
    predicting these frequencies.
    improving: whether validation still improves over the last `improving_over` epochs; None: too few epochs.
    rate: of the last epoch.  highest_rate: of all epochs.  rate_fallen: the last is less than half of that.
    overfitting: whether the validation loss has risen while the training loss fell, since epoch `lowest_epoch` with
    the losses `lowest_val_loss` and `lowest_train_loss`; None: too few epochs.
    macro_recall: the mean recall of the classes in the last epoch.
    uneven: whether class sizes are.  balance_advised: whether class weights would help the small classes.
    """

    epochs: int
    best_epoch: int
    top1: float
    right: int
    images: int
    interval: tuple[float, float]
    baseline: float
    better: bool
    cannot_tell: bool
    images_needed: int | None
    held_out: bool
    train_loss: float | None
    weighted: bool
    val_loss: float | None
    baseline_loss: float
    improving: bool | None
    improving_over: int
    rate: float
    highest_rate: float
    rate_fallen: bool
    overfitting: bool | None
    lowest_epoch: int | None
    lowest_val_loss: float | None
    lowest_train_loss: float | None
    macro_recall: float | None
    uneven: bool
    balance_advised: bool

    @property
    def phrase(self) -> str:
        """The verdict in a phrase."""
        return BETTER if self.better else NO_BETTER

    @property
    def told(self) -> str:
        """The verdict as people are told it: of an accuracy above guessing in too few images, that they cannot tell."""
        above = self.right > self.baseline * self.images
        return TOO_FEW if self.cannot_tell and self.held_out and above else self.phrase

    @property
    def last_top1(self) -> float:
        """Top-1 of the last epoch."""
        return self.right / max(self.images, 1)

    def document(self) -> dict[str, Any]:
        """Return plain values, for finished.json and --json."""
        return {"verdict": self.phrase, "last_top1": self.last_top1} | asdict(self)

    @classmethod
    def read(cls, outcome: dict[str, Any]) -> "Verdict | None":
        """Make a verdict from `document`; None for an old run that has none."""
        names = [field.name for field in fields(cls)]
        if any(name not in outcome for name in names):
            return None
        return cls(**{name: outcome[name] for name in names} | {"interval": tuple(outcome["interval"])})

    def lines(self, run: str, data: str, kept: bool) -> list[str]:
        """Return a line a finding, with advice.

        run: its directory.  data: the data set.  kept: whether its checkpoint exists.
        """
        return advice.lines(self, run, data, kept)


def judge(
    epochs: Sequence[trends.Epoch],
    best: Mapping[str, Any],
    validation: np.ndarray,
    training: np.ndarray,
    held_out: bool = True,
    balanced: bool = False,
) -> Verdict:
    """Judge a training by its epochs.

    epochs: the log's records, with epoch, loss, val_loss, top1, rate, and macro_recall if known.
    best: epoch and top1 of the weights kept.  validation, training: int (classes,), images by class.
    held_out: whether the validation images were not trained on.  balanced: whether the loss has class weights already.
    """
    last, images = epochs[-1], int(validation.sum())
    right, baseline = round(last["top1"] * images), float(validation.max() / images)
    better = confidence.above(right, images, baseline)
    # Without any sign: an accuracy half-way between guessing and 1 is what should be detectable.
    hoped = right / images if right > baseline * images else (1 + baseline) / 2
    cannot_tell = not better and not confidence.above(math.floor(hoped * images), images, baseline)
    recall, highest = last.get("macro_recall"), max(epoch["rate"] for epoch in epochs)
    improving, over = trends.improving(epochs)
    overfitting, lowest = trends.overfitting(epochs) if held_out else (None, None)
    return Verdict(
        epochs=last["epoch"],
        best_epoch=best["epoch"],
        top1=best["top1"],
        right=right,
        images=images,
        interval=confidence.interval(right, images),
        baseline=baseline,
        better=better,
        cannot_tell=cannot_tell,
        images_needed=confidence.needed(hoped, baseline) if cannot_tell else None,
        held_out=held_out,
        train_loss=_finite(last["loss"]),
        weighted=balanced,
        val_loss=_finite(last["val_loss"]),
        baseline_loss=entropy(validation),
        improving=improving,
        improving_over=over,
        rate=last["rate"],
        highest_rate=highest,
        rate_fallen=last["rate"] < FALLEN * highest,
        overfitting=overfitting,
        lowest_epoch=lowest["epoch"] if lowest else None,
        lowest_val_loss=lowest["val_loss"] if lowest else None,
        lowest_train_loss=lowest["loss"] if lowest else None,
        macro_recall=recall,
        uneven=uneven(validation) or uneven(training),
        balance_advised=bool(
            recall is not None and not balanced and uneven(training) and recall < last["top1"] - BEHIND
        ),
    )


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
