"""A watch on training: a loss that stays where it began, and when it is time to look at the layers.

Looking costs less than 2 % of the training. A forward pass over p pictures is a third of their share of an update, and
comes after at least 33 p pictures: 1 %. Reading weights and velocities is a third of what an update moves of them, and
comes after at least 60 updates, to which is added one reading in `CHECKED` updates: 0.9 %, were an update nothing else.
"""

import math
from collections import deque

import numpy as np

WINDOW = 100  # updates whose mean loss is looked at
NEAR = 0.01  # of ln(classes): a mean this close has not left it
SHOWN = 32  # pictures that the ReLUs are looked at with, at the most
SEEN, UPDATES = (
    33,
    60,
)  # between two looks at the least: pictures trained on for each that is shown, and updates
CHECKED = 100  # updates after which weights and velocities are known to be finite


class Watch:
    """Notice a loss that is stuck near ln(classes), the loss of naming every class equally often.

    every: look at the layers at the end of every epoch, however short, and not only when that costs little.
    """

    def __init__(self, classes: int, every: bool = False):
        """Start with no losses seen."""
        self.chance, self.every = math.log(classes), every
        self._losses: deque[float] = deque(maxlen=WINDOW)
        self._said, self._looked = False, 0

    def due(self, update: int, batch: int, pictures: int) -> bool:
        """Say whether to look at the layers with so many pictures, at an epoch's end; if so, note that it is done."""
        since = update - self._looked
        due = self.every or (since >= UPDATES and since * batch >= SEEN * pictures)
        self._looked = update if due else self._looked
        return due

    def after_update(self, loss: float) -> bool:
        """Take an update's loss; return True the first time that the last `WINDOW` of them are stuck."""
        self._losses.append(loss)
        if self._said or len(self._losses) < WINDOW:
            return False
        self._said = abs(sum(self._losses) / WINDOW - self.chance) < NEAR * self.chance
        return self._said

    def state(self) -> dict:
        """Return what it has seen, for a checkpoint."""
        return {"losses": list(self._losses), "said": self._said, "looked": self._looked}

    def restore(self, losses: list[float], said: bool, looked: int = 0) -> None:
        """Take what `state` returned."""
        self._losses.extend(losses)
        self._said, self._looked = said, looked


def some(pack) -> np.ndarray:
    """Return a few pictures from all over a pack: (32 or fewer, size, size, 3)."""
    chosen = np.linspace(0, len(pack) - 1, min(SHOWN, len(pack))).astype(int)
    pictures = np.empty((len(chosen), pack.size, pack.size, 3), np.uint8)
    pack.read(chosen, pictures)
    return pictures


def diagnosis(classes: int, dead: dict[str, float], rate: float) -> str:
    """Say in a few lines what a stuck loss means, and the likely cause."""
    worst = max(dead, key=dead.get, default=None)
    if worst and dead[worst] > 0.5:
        cause = (
            f"most of {worst} is zero on every picture, which a rate too large does: try --lr {rate / 10:g}"
        )
    else:
        cause = (
            "the filters are alive, so the rate is too small for the initial weights, or the labels do not go "
            f"with the pictures: try --lr {rate * 3:g}, or look at the folders of the data set"
        )
    return (
        f"the loss stays at ln({classes}) = {math.log(classes):.3f}, that of guessing.\n"
        f"  dead filters: {said(dead)}\n  likely cause: {cause}"
    )


def said(dead: dict[str, float]) -> str:
    """List the share of dead filters of each ReLU."""
    return ", ".join(f"{name} {share:.0%}" for name, share in dead.items()) or "not known"
