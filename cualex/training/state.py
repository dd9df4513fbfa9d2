"""The state of a training between two updates: with weights and velocities, everything that resuming needs."""

import json
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypedDict

from cualex.errors import WeightsError
from cualex.weights import Weights

if TYPE_CHECKING:
    from cualex.training.recipes import Recipe

NOTE = "training"  # name of the state in a checkpoint's notes
RECENT = 10  # updates a line of the log


class Best(TypedDict):
    """The best epoch so far."""

    epoch: int
    top1: float
    top5: float


@dataclass
class Losses:
    """Sums over the updates of an epoch so far, in order, so that stopping changes no bit.

    total: of losses.  seconds: of times.  last: the time of the last update.  recent: the last ten losses.
    """

    total: float = 0.0
    count: int = 0
    images: int = 0
    seconds: float = 0.0
    last: float = 0.0
    recent: deque[float] = field(default_factory=lambda: deque(maxlen=RECENT))

    def add(self, loss: float, images: int, seconds: float) -> None:
        """Add an update: its mean loss, images and seconds."""
        self.total, self.count, self.last = self.total + loss, self.count + 1, seconds
        self.images, self.seconds = self.images + images, self.seconds + seconds
        self.recent.append(loss)

    @property
    def mean(self) -> float:
        """Mean loss of the epoch so far."""
        return self.total / self.count

    @property
    def speed(self) -> float:
        """Images per second."""
        return self.images / self.seconds


@dataclass
class State:
    """The state of a training after an update; the names of the fields are keys in checkpoints.

    update: number of updates.  position: images taken from the stream.  epoch: the current one, or the one to validate.
    losses: of the epoch.  best: the best epoch.  seconds: of training, over all starts.  log: bytes of the log.
    schedule, course, watch: their states.  notices: not yet shown to the user.  recipe, machine: of the last update.
    """

    update: int = 0
    position: int = 0
    epoch: int = 1
    losses: Losses = field(default_factory=Losses)
    best: Best | None = None
    seconds: float = 0.0
    log: int = 0
    schedule: dict[str, Any] = field(default_factory=dict)
    course: dict[str, Any] = field(default_factory=dict)
    watch: dict[str, Any] = field(default_factory=dict)
    notices: list[str] = field(default_factory=list)
    recipe: dict[str, Any] = field(default_factory=dict)
    machine: dict[str, Any] = field(default_factory=dict)

    def is_better(self, top1: float, recipe: "Recipe", last: int) -> bool:
        """Return whether a validation is better than the best so far, or as good and late enough to replace it.

        The best weights are written to disk, so an equal epoch replaces them at most twenty times in a training, and
        at its end, the epoch `last`.
        """
        best = self.best or {"epoch": 0, "top1": -1}
        late = self.epoch == last or self.epoch - best["epoch"] >= recipe.epochs / 20
        return top1 > best["top1"] or (top1 == best["top1"] and recipe.ties == "last" and late)

    def note(self) -> dict[str, str]:
        """Return the state as a note of a weights file."""
        losses = vars(self.losses) | {"recent": list(self.losses.recent)}
        return {NOTE: json.dumps(vars(self) | {"losses": losses})}

    @classmethod
    def of(cls, kept: Weights) -> "State":
        """Read the state from a checkpoint; raise WeightsError when it has none."""
        try:
            fields = json.loads(kept.notes[NOTE])
            losses = fields.pop("losses")
            recent = deque(losses.pop("recent"), maxlen=RECENT)
            return cls(**fields, losses=Losses(**losses, recent=recent))
        except (KeyError, ValueError, TypeError) as error:
            raise WeightsError(f"not a checkpoint of this version of cualex ({error}). Start a new run.") from error


def changes(before: dict[str, Any], now: dict[str, Any]) -> dict[str, list[Any]]:
    """Return the differences of two dictionaries of plain values: {name: [before, now]}."""
    before, now = json.loads(json.dumps([before, now]))
    return {
        name: [before.get(name), now.get(name)]
        for name in sorted(before.keys() | now.keys())
        if before.get(name) != now.get(name)
    }
