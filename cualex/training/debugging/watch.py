"""A watch on training: a loss that stays at that of guessing, and when it is time to look at the layers.

Guessing is one answer for all images; the best such answer, the frequencies of the classes, has their entropy as its
loss: ln(classes) where they are even. A training is stuck when its recent losses are neither below that nor falling,
and its validation is no better than guessing either. A network needs some updates to leave guessing, and more where
there are more classes: in a long training the watch waits until each class was seen often enough, and in a short one
until most of it is over. It waits as long again after losses or validation were better than guessing: on right data
too a large step can throw a network back, from where it takes as long as at first.

Looking costs less than 2 % of the training. A forward pass over p images is a third of their share of an update, and
comes after at least 33 p images: 1 %. Reading weights and velocities is a third of what an update moves of them, and
comes after at least 60 updates, to which is added one reading in `CHECKED` updates: 0.9 %, were an update nothing else.
"""

import math
import statistics
from collections import deque
from collections.abc import Sequence

import numpy as np

from cualex.evaluation import Evaluation, entropy

WINDOW = 100  # updates whose losses are kept; the second half of them is recent
LEAST = 200  # updates that it takes right data of two classes to leave guessing
EVERY = 10  # updates after which losses are compared with guessing
FEWEST = 20  # updates, before which no training is stuck
PER_CLASS = 300  # images of each class, on average, that a long training has seen before it is
MOST = 2 / 3  # of the updates of a training that is too short for that
NEAR = 0.01  # of the loss of guessing: less below it is not left it
DEVIATIONS = 2  # by which what is measured on few images must differ from guessing
SPREAD = 0.05  # of the loss of guessing: by which initial weights let the losses of single images differ
SHOWN = 32  # images that the ReLUs are looked at with, at the most
SEEN, UPDATES = 33, 60  # between two looks, at least: images trained on for each that is shown, and updates
CHECKED = 100  # updates after which weights and velocities are known to be finite
CLOSE = 0.05  # of the loss of guessing: a loss this near it is said to be at it
SHORT = 200  # updates in all, below which a training may simply be too short


class Watch:
    """Notice a training that is stuck at what guessing gives, and say when to look at the layers.

    labels: those of the training images.  batch: images an update.
    every: look at the layers at the end of every epoch, however short, and not only when that costs little.
    """

    def __init__(self, labels: np.ndarray, batch: int, every: bool = False):
        """Start with no losses seen."""
        self.guessing, self.every = entropy(np.bincount(labels)), every
        self.patience = max(LEAST, PER_CLASS * len(np.unique(labels)) / batch)
        self._losses: deque[float] = deque(maxlen=WINDOW)
        self._said, self._looked, self._validated, self._better = False, 0, 0, 0

    def due(self, update: int, batch: int, images: int) -> bool:
        """Say whether to look at the layers with so many images, at an epoch's end; if so, note that it is done."""
        since = update - self._looked
        due = self.every or (since >= UPDATES and since * batch >= SEEN * images)
        self._looked = update if due else self._looked
        return due

    def after_update(self, loss: float, update: int, updates: float) -> bool:
        """Take the loss of an update, of so many in all; return True the first time that the training is stuck.

        While validation is near, that is for it to say.
        """
        self._losses.append(loss)
        if update % EVERY == 0 and below(list(self._losses)[len(self._losses) // 2 :], self.guessing):
            self._better = update
        return update - self._validated >= WINDOW and self._stuck(update, updates)

    def after_validation(self, found: Evaluation, update: int, updates: float) -> bool:
        """Take what validation gave after an update; return True the first time that the training is stuck."""
        self._validated = update
        if better(found):
            self._better = update
        return self._stuck(update, updates)

    @property
    def recent(self) -> float:
        """Return the mean of the recent losses."""
        return statistics.fmean(list(self._losses)[len(self._losses) // 2 :])

    def state(self) -> dict:
        """Return what it has seen, for a checkpoint."""
        seen = {"losses": list(self._losses), "said": self._said, "looked": self._looked}
        return seen | {"validated": self._validated, "better": self._better}

    def restore(self, losses: list[float], said: bool, looked: int = 0, validated: int = 0, better: int = 0) -> None:
        """Take what `state` returned."""
        self._losses.extend(losses)
        self._said, self._looked, self._validated, self._better = said, looked, validated, better

    def _stuck(self, update: int, updates: float) -> bool:
        if self._said or update - self._better < max(FEWEST, min(self.patience, MOST * updates)):
            return False
        self._said = not moving(list(self._losses), self.guessing)
        return self._said


def moving(losses: Sequence[float], guessing: float) -> bool:
    """Say whether losses are below that of guessing, or fall.

    The first half of them may hold the leap of the first updates, so it is only asked where most of it lies.
    """
    earlier, recent = losses[: len(losses) // 2], losses[len(losses) // 2 :]
    return below(recent, guessing) or statistics.median(recent) < (1 - NEAR) * statistics.median(earlier)


def below(recent: Sequence[float], guessing: float) -> bool:
    """Say whether the mean of losses is clearly below that of guessing: by more than their noise."""
    if len(recent) < 2:
        return False
    noise = DEVIATIONS * statistics.stdev(recent) / math.sqrt(len(recent))
    return statistics.fmean(recent) < guessing - max(NEAR * guessing, noise)


def better(found: Evaluation) -> bool:
    """Say whether a validation is clearly better than guessing, in its top-1 or in its loss.

    One answer for all images has at best the largest class right, and at best the entropy of the frequencies as loss.
    """
    share = np.bincount(found.labels).max() / found.count
    chance = found.count * share + DEVIATIONS * math.sqrt(found.count * share * (1 - share))
    near = max(NEAR, DEVIATIONS * SPREAD / math.sqrt(found.count))
    return bool(found.right1 > chance or found.loss < (1 - near) * entropy(np.bincount(found.labels)))


def some(pack) -> np.ndarray:
    """Return a few images from all over a pack: (32 or fewer, size, size, 3)."""
    chosen = np.linspace(0, len(pack) - 1, min(SHOWN, len(pack))).astype(int)
    images = np.empty((len(chosen), pack.size, pack.size, 3), np.uint8)
    pack.read(chosen, images)
    return images


def diagnosis(loss: float, guessing: float, classes: int, dead: dict[str, float], rate: float, updates: float) -> str:
    """Say in a few lines what a stuck loss means, and the likely cause; `updates` are those of the whole training."""
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
        cause = f"all of {lost} is zero on every picture, which a rate too large does: try --lr {rate / 10:g}"
    elif updates < SHORT:
        cause = (
            f"the filters are alive, and the training has only {updates:.0f} updates: try more --epochs or a smaller "
            "--batch-size"
        )
    else:
        cause = (
            "the filters are alive, so the rate is too small for the initial weights, or the labels do not go "
            f"with the pictures: try --lr {rate * 3:g}, or look at the folders of the data set"
        )
    return f"the loss stays at {where}.\n  dead filters: {said(dead)}\n  likely cause: {cause}"


def off_centre(mean: float, deviation: float) -> str:
    """Say that what the network reads is far from zero, though the mean image is the one of these images' pack."""
    return (
        f"what the network reads, pictures less the mean picture, lies {mean:+.0f} levels from zero, with a deviation "
        f"of {deviation:.0f}: the mean picture is not that of these pictures: pack them again."
    )


def said(dead: dict[str, float]) -> str:
    """List the share of dead filters of each ReLU."""
    return ", ".join(f"{name} {share:.0%}" for name, share in dead.items()) or "not known"
