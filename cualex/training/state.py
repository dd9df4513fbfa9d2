"""Where a training is between two updates: with weights and velocities, all that a resumed one needs."""

import json
from collections import deque
from dataclasses import dataclass, field

from cualex.errors import WeightsError
from cualex.weights import Weights

NOTE = "training"  # the name of the note in the checkpoint
RECENT = 10  # updates a line of the log


@dataclass
class Losses:
    """Sum up what an epoch's updates have given so far, in their order, so that stopping changes no bit.

    total, seconds: of their losses and times.  last: the time of the last.  recent: the losses of the last ten.
    """

    total: float = 0.0
    count: int = 0
    images: int = 0
    seconds: float = 0.0
    last: float = 0.0
    recent: deque[float] = field(default_factory=lambda: deque(maxlen=RECENT))

    def add(self, loss: float, images: int, seconds: float) -> None:
        """Take an update's mean loss, its pictures and the time it took."""
        self.total, self.count, self.last = self.total + loss, self.count + 1, seconds
        self.images, self.seconds = self.images + images, self.seconds + seconds
        self.recent.append(loss)

    @property
    def mean(self) -> float:
        """Return the mean of the epoch so far."""
        return self.total / self.count

    @property
    def speed(self) -> float:
        """Return pictures per second."""
        return self.images / self.seconds


@dataclass
class State:
    """Hold the numbers of a training after an update.

    update: how many there were.  position: pictures taken from the stream.  epoch: the one that runs, or whose
    validation is due.  best: that of the best epoch: its number, top1 and top5.  seconds: since the first start.
    log: bytes of the log that belong to it.  notices: what a person was not told yet.  recipe, machine: what the last
    update was made with.
    """

    update: int = 0
    position: int = 0
    epoch: int = 1
    losses: Losses = field(default_factory=Losses)
    best: dict | None = None
    seconds: float = 0.0
    log: int = 0
    schedule: dict = field(default_factory=dict)
    course: dict = field(default_factory=dict)
    watch: dict = field(default_factory=dict)
    notices: list = field(default_factory=list)
    recipe: dict = field(default_factory=dict)
    machine: dict = field(default_factory=dict)

    def note(self) -> dict[str, str]:
        """Return all of it as the note of a weights file."""
        losses = vars(self.losses) | {"recent": list(self.losses.recent)}
        return {NOTE: json.dumps(vars(self) | {"losses": losses})}

    @classmethod
    def of(cls, kept: Weights) -> "State":
        """Read the note of a checkpoint; raise WeightsError where there is none."""
        try:
            said = json.loads(kept.notes[NOTE])
            losses = said.pop("losses")
            recent = deque(losses.pop("recent"), maxlen=RECENT)
            return cls(**said, losses=Losses(**losses, recent=recent))
        except (KeyError, ValueError, TypeError) as error:
            raise WeightsError(f"not a checkpoint of this version of cualex ({error}). Start a new run.") from error


def changes(before: dict, now: dict) -> dict[str, list]:
    """Return what differs between two plain descriptions: name, [before, now]."""
    before, now = json.loads(json.dumps([before, now]))
    return {
        name: [before.get(name), now.get(name)]
        for name in sorted(before.keys() | now.keys())
        if before.get(name) != now.get(name)
    }
