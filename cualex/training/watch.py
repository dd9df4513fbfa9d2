"""A watch on training: a loss that stays where it began, and filters that have died."""

import math
from collections import deque

import numpy as np

from cualex.model import Model

WINDOW = 100  # updates whose mean loss is looked at
NEAR = 0.01  # of ln(classes): a mean this close has not left it


class Watch:
    """Notice a loss that is stuck near ln(classes), the loss of naming every class equally often."""

    def __init__(self, classes: int):
        """Start with no losses seen."""
        self.chance = math.log(classes)
        self._losses: deque[float] = deque(maxlen=WINDOW)
        self._said = False

    def after_update(self, loss: float) -> bool:
        """Take an update's loss; return True the first time that the last `WINDOW` of them are stuck."""
        self._losses.append(loss)
        if self._said or len(self._losses) < WINDOW:
            return False
        self._said = abs(sum(self._losses) / WINDOW - self.chance) < NEAR * self.chance
        return self._said

    def state(self) -> dict:
        """Return what it has seen, for a checkpoint."""
        return {"losses": list(self._losses), "said": self._said}

    def restore(self, losses: list[float], said: bool) -> None:
        """Take what `state` returned."""
        self._losses.extend(losses)
        self._said = said


def dead_filters(model: Model, pictures: np.ndarray) -> dict[str, float]:
    """Return, for each ReLU, the share of filters or units that are zero everywhere on these pictures."""
    names = tuple(name for name, layer in model.network.layers.items() if layer.kind == "relu")
    plan = model.plan(len(pictures), names)
    plan.put(pictures, np.tile(model.centre(), (len(pictures), 1)), np.full(len(pictures), -1))
    plan.run()
    return {name: float((plan.output(name).max(axis=(0, 2, 3)) <= 0).mean()) for name in names}


def some(pack, size: int) -> np.ndarray:
    """Return a few pictures from all over a pack: (32 or fewer, size, size, 3)."""
    chosen = np.linspace(0, len(pack) - 1, min(32, len(pack))).astype(int)
    pictures = np.empty((len(chosen), size, size, 3), np.uint8)
    pack.read(chosen, pictures)
    return pictures


def diagnosis(classes: int, dead: dict[str, float], rate: float) -> str:
    """Say in a few lines what a stuck loss means, and the likely cause."""
    shares = ", ".join(f"{name} {share:.0%}" for name, share in dead.items())
    worst = max(dead, key=dead.get)
    if dead[worst] > 0.5:
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
        f"  dead filters: {shares}\n  likely cause: {cause}"
    )
