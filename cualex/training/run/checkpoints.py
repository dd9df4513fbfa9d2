"""Checkpoints: when one is due, retries after a full disk, and the room that they take."""

import math
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from cualex.errors import OutputError
from cualex.networks import Network
from cualex.system.amounts import size
from cualex.training.recipes import Recipe
from cualex.training.state import State
from cualex.weights.parameters import AVERAGES

FLOAT = 4  # bytes of a number in a weights file

AGAIN = 60.0  # seconds until the next try, at most; and between checkpoints at the ends of epochs, at least


class Saver:
    """Calls `save` every `every` seconds, never twice for the same state, and retries after a failure."""

    def __init__(self, save: Callable[[], None], state: Callable[[], State], every: float) -> None:
        """Start the clock; `state` returns the state that is saved."""
        self._save, self._state, self._every = save, state, every
        self._failing, self._last = False, time.monotonic()
        self.done()

    def done(self) -> None:
        """Mark the state as saved."""
        self._saved = self._tried = self._mark

    def due(self, between_epochs: bool = False) -> bool:
        """Return whether it is time for a checkpoint, and the state has changed since the last try."""
        wait = min(self._every, AGAIN) if between_epochs or self._failing else self._every
        return self._tried != self._mark and time.monotonic() - self._last >= wait

    def save(self) -> None:
        """Save if the state is not saved; raise OutputError when that fails."""
        if self._saved != self._mark:
            self._save()
            self.done()
            self._last, self._failing = time.monotonic(), False

    def attempt(self) -> str | None:
        """Save; return a message for the user at the first failure, and at the first success after one."""
        before = self._failing
        try:
            self.save()
        except OutputError as error:
            self._tried, self._last, self._failing = self._mark, time.monotonic(), True
            return None if before else f"{error} Training continues; the previous checkpoint is kept."
        return "The checkpoint could be written again." if before else None

    @property
    def saved_update(self) -> int:
        """The update after which the last checkpoint was written; 0: there is none."""
        return self._saved[0]

    @property
    def _mark(self) -> tuple[int, int]:
        return self._state().update, self._state().epoch


@dataclass(frozen=True)
class Room:
    """Disk space of a run in bytes, without log, plots and tables, which are small.

    best: of best.safetensors, weights and mean image.  checkpoint: of a checkpoint, with velocities.
    """

    best: int
    checkpoint: int

    @classmethod
    def of(cls, network: Network, recipe: Recipe) -> "Room":
        """Return the room for a recipe: one velocity a weight, two for Adam, none for frozen layers."""
        sizes = {name: math.prod(shape) for name, shape in network.parameters().items()}
        learning = sum(size for name, size in sizes.items() if name.rpartition(".")[0] not in recipe.freeze)
        velocities = learning * (len(AVERAGES) if recipe.optimizer == "adam" else 1)
        best = sum(map(math.prod, network.tensors().values())) + 3 * network.stored**2
        return cls(FLOAT * best, FLOAT * (best + velocities))

    @property
    def most(self) -> int:
        """Bytes while a checkpoint is written beside the last two."""
        return 3 * self.checkpoint + self.best

    def left(self, keep: bool) -> int:
        """Return the bytes that remain after the training, with the checkpoints or without."""
        return self.best + (2 * self.checkpoint if keep else 0)

    def check(self, directory: Path, new: bool, keep: bool) -> str:
        """Return how much a run writes to its directory, or if it is `new` to one below it, and how much is free.

        Raise OutputError where the disk has too little space.
        """
        available = free(directory)
        said = (
            f"This run writes up to {size(self.most)} {'in' if new else 'to'} {directory}: 2 checkpoints of "
            f"{size(self.checkpoint)}, a third while it is written, {size(self.best)} of best weights; "
            f"{size(self.left(keep))} remain at the end; {size(available)} are free."
        )
        if self.most > available:
            raise OutputError(f"{said} Free some space, or name a directory on another disk with --output.")
        return said


def free(directory: Path) -> int:
    """Return the free bytes for a run, with those of its files that will be replaced."""
    files = [directory / f"{name}.safetensors" for name in ("last", "previous", "best")]
    return shutil.disk_usage(directory).free + sum(file.stat().st_size for file in files if file.exists())
