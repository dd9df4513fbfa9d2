"""What a training has come to: better than guessing or not, still improving or not, overfitting or not.

`judge` takes the log's lines of the epochs, which are the same for a run that was stopped and one that never was.
"""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields

import numpy as np

from cualex.evaluation import entropy, uneven
from cualex.training import advice, confidence, trends

BETTER, NO_BETTER = "Better than guessing", "No better than guessing"
BEHIND = 0.05  # by which macro recall lies below top-1 where small classes are neglected
FALLEN = 0.5  # of the largest learning rate; below it the schedule has let it fall


@dataclass(frozen=True)
class Verdict:
    """Hold what the last epoch says of a training.

    The best epoch was chosen out of many by the images that it is measured on, which flatters it; the last epoch was
    not, so it is the one that is judged. It is better than guessing when the lower bound of the one-sided 97.5 %
    interval (Clopper and Pearson; see confidence.py) of its top-1 lies above `baseline`, the share of the validation
    images that are of their largest class, which naming that class alone would get right.

    epochs: how many there were.  best_epoch, top1: of the weights that are kept.
    right, images: of the last epoch.  interval: the two-sided 95 % interval of right / images.
    images_needed: how many could decide where these cannot, None where they can or no number would.
    cannot_tell: too few images to decide.  held_out: whether the images were no training images.
    train_loss, val_loss: of the last epoch.  weighted: whether the training loss weighs the classes, as the validation
    loss never does.  baseline_loss: the entropy -sum p ln p of the class shares p in
    validation, the loss of naming each class with its share.
    improving: whether validation still improves, None where that cannot be said; `improving_over` so many epochs.
    rate: of the last epoch.  highest_rate: of all epochs.  rate_fallen: the last is less than half of that.
    overfitting: whether the validation loss has risen while the training loss fell, since epoch `lowest_epoch`, where
    the losses were `lowest_val_loss` and `lowest_train_loss`; None where that cannot be said.
    macro_recall: the mean over classes of the share of their images that is right, in the last epoch.
    uneven: whether the classes are.  balance_advised: whether weighing the classes would help the small ones.
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
        """Return the verdict itself."""
        return BETTER if self.better else NO_BETTER

    @property
    def last_top1(self) -> float:
        """Return the share that was right in the last epoch."""
        return self.right / max(self.images, 1)

    def document(self) -> dict:
        """Return all of it as plain values, for finished.json and --json."""
        return {"verdict": self.phrase, "last_top1": self.last_top1} | asdict(self)

    @classmethod
    def read(cls, outcome: dict) -> "Verdict | None":
        """Make a verdict of what `document` gave; None for a run that was finished before there were any."""
        names = [field.name for field in fields(cls)]
        if any(name not in outcome for name in names):
            return None
        return cls(**{name: outcome[name] for name in names} | {"interval": tuple(outcome["interval"])})

    def lines(self, run: str, data: str, kept: bool) -> list[str]:
        """Say it in a few lines: each a finding, with what to do about it.

        run: its directory.  data: the set that it was trained on.  kept: whether its checkpoint is there.
        """
        return advice.lines(self, run, data, kept)


def judge(
    epochs: Sequence[dict],
    best: dict,
    validation: np.ndarray,
    training: np.ndarray,
    held_out: bool = True,
    balanced: bool = False,
) -> Verdict:
    """Judge a training by its epochs.

    epochs: of each its number, loss, val_loss, top1 and rate, and macro_recall where it is known, as the log has them.
    best: epoch and top1 of the weights kept.  validation, training: int (classes,), how many images of each class.
    held_out: whether the validation images are no training images.  balanced: whether classes are weighed already.
    """
    last, images = epochs[-1], int(validation.sum())
    right, baseline = round(last["top1"] * images), float(validation.max() / images)
    better = confidence.above(right, images, baseline)
    # Where it is no sign at all: a network half-way between guessing and all right is what should be seen.
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
        lowest_epoch=lowest and lowest["epoch"],
        lowest_val_loss=lowest and lowest["val_loss"],
        lowest_train_loss=lowest and lowest["loss"],
        macro_recall=recall,
        uneven=uneven(validation) or uneven(training),
        balance_advised=bool(
            recall is not None and not balanced and uneven(training) and recall < last["top1"] - BEHIND
        ),
    )


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
