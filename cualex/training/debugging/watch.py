"""Watch for a training that is stuck at the loss of guessing, and schedule layer statistics.

Guessing is a constant prediction; the best one, the class frequencies, has their entropy as its loss: ln(classes) if
they are even. A training is stuck when its recent losses are neither below that nor falling, and its validation is no
better than guessing either. A network needs some updates to leave guessing, and more with more classes: in a long
training the watch waits until every class was seen often enough, and in a short one until most of it is over. It waits
as long again after losses or validation were better than guessing: with correct data too a large step can throw a
network back to the start.

Layer statistics cost less than 2 % of the training. A forward pass over p images is a third of their part of an update,
and comes after at least 33 p images: 1 %. Reading weights and velocities is a third of their traffic in an update, and
comes after at least 60 updates, plus one check in `CHECKED` updates: 0.9 %, were an update nothing else.
"""

import math
import statistics
from collections import deque
from collections.abc import Sequence
from typing import Any

import numpy as np

from cualex.data.split import Split
from cualex.evaluation import Evaluation, entropy

WINDOW = 100  # updates whose losses are kept; the second half of them is recent
LEAST = 200  # updates that correct data of two classes need to leave guessing
EVERY = 10  # updates between comparisons of the losses with guessing
FEWEST = 20  # updates before which no training is stuck
PER_CLASS = 300  # images a class, on average, before which no long training is stuck
MOST = 2 / 3  # of the updates, before which no short training is
NEAR = 0.01  # of the loss of guessing: a loss less than this below it has not left it
DEVIATIONS = 2  # standard deviations by which a measurement on few images must differ from guessing
SPREAD = 0.05  # of the loss of guessing: standard deviation of single images' losses with initial weights
SHOWN = 32  # images for the statistics of ReLUs, at most
SEEN, UPDATES = 33, 60  # between two layer statistics, at least: images trained on per image shown, and updates
CHECKED = 100  # updates between checks of weights and velocities for NaN and Inf
CLOSE = 0.05  # of the loss of guessing: a loss this near it counts as equal
SHORT = 200  # updates in all, below which a training may simply be too short


class Watch:
    """Detects a training that is stuck at the loss of guessing, and schedules layer statistics.

    labels: of the training images.  batch: images an update.
    every: layer statistics at the end of every epoch, not only when they cost little.
    """

    def __init__(self, labels: np.ndarray, batch: int, every: bool = False) -> None:
        """Start without losses."""
        self.guessing, self.every = entropy(np.bincount(labels)), every
        self.patience = max(LEAST, PER_CLASS * len(np.unique(labels)) / batch)
        self._losses: deque[float] = deque(maxlen=WINDOW)
        self._said, self._looked, self._validated, self._better = False, 0, 0, 0

    def due(self, update: int, batch: int, images: int) -> bool:
        """Return whether layer statistics on `images` images are due at an epoch's end; if so, record them as done."""
        since = update - self._looked
        due = self.every or (since >= UPDATES and since * batch >= SEEN * images)
        self._looked = update if due else self._looked
        return due

    def after_update(self, loss: float, update: int, updates: float) -> bool:
        """Record the loss of an update, of `updates` in all; return True the first time that the training is stuck.

        Shortly after a validation, that decides.
        """
        self._losses.append(loss)
        if update % EVERY == 0 and below(list(self._losses)[len(self._losses) // 2 :], self.guessing):
            self._better = update
        return update - self._validated >= WINDOW and self._stuck(update, updates)

    def after_validation(self, evaluation: Evaluation, update: int, updates: float) -> bool:
        """Record a validation after an update; return True the first time that the training is stuck."""
        self._validated = update
        if better(evaluation):
            self._better = update
        return self._stuck(update, updates)

    @property
    def recent(self) -> float:
        """Mean of the recent losses."""
        return statistics.fmean(list(self._losses)[len(self._losses) // 2 :])

    def state(self) -> dict[str, Any]:
        """Return the state, for a checkpoint."""
        seen = {"losses": list(self._losses), "said": self._said, "looked": self._looked}
        return seen | {"validated": self._validated, "better": self._better}

    def restore(self, losses: list[float], said: bool, looked: int = 0, validated: int = 0, better: int = 0) -> None:
        """Restore a result of `state`."""
        self._losses.extend(losses)
        self._said, self._looked, self._validated, self._better = said, looked, validated, better

    def _stuck(self, update: int, updates: float) -> bool:
        if self._said or update - self._better < max(FEWEST, min(self.patience, MOST * updates)):
            return False
        self._said = not moving(list(self._losses), self.guessing)
        return self._said


def moving(losses: Sequence[float], guessing: float) -> bool:
    """Return whether losses are below the loss of guessing, or fall.

    Medians, since the first half may contain the large losses of the first updates.
    """
    earlier, recent = losses[: len(losses) // 2], losses[len(losses) // 2 :]
    return below(recent, guessing) or statistics.median(recent) < (1 - NEAR) * statistics.median(earlier)


def below(recent: Sequence[float], guessing: float) -> bool:
    """Return whether the mean of losses is below the loss of guessing by more than their noise."""
    if len(recent) < 2:
        return False
    noise = DEVIATIONS * statistics.stdev(recent) / math.sqrt(len(recent))
    return statistics.fmean(recent) < guessing - max(NEAR * guessing, noise)


def better(evaluation: Evaluation) -> bool:
    """Return whether a validation is significantly better than guessing, in top-1 or in loss.

    A constant prediction gets at best the largest class right, and has at best the entropy of the frequencies as loss.
    """
    share = np.bincount(evaluation.labels).max() / evaluation.count
    chance = evaluation.count * share + DEVIATIONS * math.sqrt(evaluation.count * share * (1 - share))
    near = max(NEAR, DEVIATIONS * SPREAD / math.sqrt(evaluation.count))
    return bool(evaluation.right1 > chance or evaluation.loss < (1 - near) * entropy(np.bincount(evaluation.labels)))


def sample(pack: Split) -> np.ndarray:
    """Return a few evenly spaced images of a pack: (32 or fewer, size, size, 3)."""
    chosen = np.linspace(0, len(pack) - 1, min(SHOWN, len(pack))).astype(int)
    images = np.empty((len(chosen), pack.size, pack.size, 3), np.uint8)
    pack.read(chosen, images)
    return images


def diagnosis(loss: float, guessing: float, classes: int, dead: dict[str, float], rate: float, updates: float) -> str:
    """Return lines on the meaning of a stuck loss and its likely cause. updates: of the whole training."""
    even = math.log(classes)
    known = (
        f"ln({classes}) = {even:.3f}"
        if math.isclose(guessing, even, rel_tol=NEAR / 2)
        else f"the entropy of the class frequencies = {guessing:.3f}"
    )
    where = (
        f"{known}, that of guessing"
        if abs(loss - guessing) < CLOSE * guessing
        else f"{loss:.3f}, and guessing has {known}"
    )
    lost = next((name for name, share in dead.items() if share == 1), None)
    if lost:
        cause = f"all units of {lost} are zero on every image: the learning rate is too large; try --lr {rate / 10:g}"
    elif updates < SHORT:
        cause = (
            f"the filters are alive, and the training has only {updates:.0f} updates: try more --epochs or a smaller "
            "--batch-size"
        )
    else:
        cause = (
            "the filters are alive, so the learning rate is too small for the initial weights, or the labels are "
            f"wrong: try --lr {rate * 3:g}, or check the folders of the data set"
        )
    return f"the loss stays at {where}.\n  dead filters: {dead_filters(dead)}\n  likely cause: {cause}"


def off_centre(mean: float, deviation: float) -> str:
    """Return the message that the network's input is far from zero, although the mean image is the pack's."""
    return (
        f"the input of the network (image minus mean image) has mean {mean:+.0f}, expected about 0, and standard "
        f"deviation {deviation:.0f}: the mean image is not that of these images. Pack them again."
    )


def dead_filters(dead: dict[str, float]) -> str:
    """Return the fractions of dead filters by ReLU, as a text."""
    return ", ".join(f"{name} {share:.0%}" for name, share in dead.items()) or "not known"
