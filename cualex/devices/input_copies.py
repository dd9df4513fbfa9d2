"""Copies of inputs to a GPU, on a stream of their own beside the steps, and the events that order both."""

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np

from cualex.devices.runtime import Array, Event, Runtime, Stream
from cualex.devices.stored import as_stored


class InputCopies:
    """Queue copies of inputs. A slot is loaded once the last step that read it is over; a step waits for its inputs."""

    def __init__(self, runtime: Runtime, index: int) -> None:
        """Make the stream."""
        self._runtime, self.stream = runtime, runtime.stream(index)
        self._read: dict[int, Event] = {}  # by slot, when the last step that reads it is over
        self._unmarked = False  # inputs have been loaded since `_arrival`
        self._arrival: Event | None = None  # of the inputs loaded so far
        self._awaited: Event | None = None  # the arrival that the last step waited for

    def begin(self, slot: int, steps: Stream) -> None:
        """Let what is loaded from here on wait until the last step that read this slot is over.

        Before the first step, that is until the slot's memory has been cleared.
        """
        self._runtime.wait(self.stream, self._read.get(slot) or self._runtime.record(steps))

    def load(self, inputs: Sequence[tuple[Array, np.ndarray]]) -> None:
        """Queue copies, (array, values)."""
        for target, values in inputs:
            self._runtime.load(self.stream, target, as_stored(values, target))
        self._unmarked = True

    def loaded(self) -> Callable[[], None]:
        """Return what waits until all that has been loaded so far is there."""
        return partial(self._runtime.finish, self._arrived() or self._runtime.record(self.stream))

    def await_by(self, steps: Stream) -> None:
        """Let the next step wait for what has been loaded."""
        arrival = self._arrived()
        if arrival is not self._awaited:
            self._runtime.wait(steps, arrival)
            self._awaited = arrival

    def read(self, slot: int, steps: Stream) -> None:
        """Note that the step is queued that reads this slot."""
        self._read[slot] = self._runtime.record(steps)

    def forget(self) -> None:
        """Let slots be loaded only after all that is queued, and not only after the steps that read them."""
        self._read.clear()

    def _arrived(self) -> Event | None:
        """Return the event after all inputs loaded so far; None before the first."""
        if self._unmarked:
            self._arrival, self._unmarked = self._runtime.record(self.stream), False
        return self._arrival
