"""When a checkpoint is due, and what becomes of one that the disk refuses."""

import time
from collections.abc import Callable

from cualex.errors import OutputError
from cualex.training.state import State

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
            return (
                None
                if before
                else f"{error} Training goes on with the checkpoint before; the next try is soon."
            )
        return "The checkpoint could be written again." if before else None

    @property
    def _mark(self) -> tuple[int, int]:
        return self._state().update, self._state().epoch
