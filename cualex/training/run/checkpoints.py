"""What checkpoints take on the disk, when one is due, and what becomes of one that the disk refuses."""

import math
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from cualex.errors import OutputError
from cualex.networks import Network
from cualex.training.recipes import Recipe
from cualex.training.state import State
from cualex.weights.parameters import AVERAGES

FLOAT = 4  # bytes of a number in a weights file

AGAIN = 60.0  # seconds, at the most, until the next try; and at the least between two at the ends of epochs


class Saver:
    """Call `save` every so many seconds, never twice for the same state, and go on where it fails."""

    def __init__(self, save: Callable[[], None], state: Callable[[], State], every: float):
        """Start to count; `state` gives what is saved."""
        self._save, self._state, self._every = save, state, every
        self._failing, self._last = False, time.monotonic()
        self.done()

    def done(self) -> None:
        """Take the state as saved."""
        self._saved = self._tried = self._mark

    def due(self, between_epochs: bool = False) -> bool:
        """Say whether it is time for a checkpoint, and there is something new since the last try."""
        wait = min(self._every, AGAIN) if between_epochs or self._failing else self._every
        return self._tried != self._mark and time.monotonic() - self._last >= wait

    def save(self) -> None:
        """Save now what is not saved; raise OutputError where that fails."""
        if self._saved != self._mark:
            self._save()
            self.done()
            self._last, self._failing = time.monotonic(), False

    def attempt(self) -> str | None:
        """Save now; return what a person should read: that it cannot be done, or that it can be done again."""
        before = self._failing
        try:
            self.save()
        except OutputError as error:
            self._tried, self._last, self._failing = self._mark, time.monotonic(), True
            return None if before else f"{error} Training goes on with the checkpoint before; the next try is soon."
        return "The checkpoint could be written again." if before else None

    @property
    def _mark(self) -> tuple[int, int]:
        return self._state().update, self._state().epoch


@dataclass(frozen=True)
class Room:
    """Hold what a run takes on the disk, in bytes; log, curves and tables are small beside it.

    best: of best.safetensors: weights and mean image.  checkpoint: of a checkpoint, with velocities.
    """

    best: int
    checkpoint: int

    @classmethod
    def of(cls, network: Network, recipe: Recipe) -> "Room":
        """Count it: a velocity for each weight that learns, Adam's two averages instead, none for frozen layers."""
        sizes = {name: math.prod(shape) for name, shape in network.parameters().items()}
        learning = sum(size for name, size in sizes.items() if name.rpartition(".")[0] not in recipe.freeze)
        velocities = learning * (len(AVERAGES) if recipe.optimizer == "adam" else 1)
        best = sum(map(math.prod, network.tensors().values())) + 3 * network.stored**2
        return cls(FLOAT * best, FLOAT * (best + velocities))

    @property
    def most(self) -> int:
        """Count the bytes while a checkpoint is written beside the last and the one before it."""
        return 3 * self.checkpoint + self.best

    def left(self, keep: bool) -> int:
        """Count the bytes that stay at the end, with the checkpoints or without."""
        return self.best + (2 * self.checkpoint if keep else 0)


def free(directory: Path) -> int:
    """Count the bytes that are free for a run, with those that its own files already take where it goes on."""
    own = [directory / f"{name}.safetensors" for name in ("last", "previous", "best")]
    return shutil.disk_usage(directory).free + sum(file.stat().st_size for file in own if file.exists())
