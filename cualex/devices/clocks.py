"""Clocks for a device's work, read in the order of that work: CUDA events, or the host's clock."""

import time
from collections.abc import Callable
from typing import Protocol

from cualex.devices.runtime import Event, Runtime, Stream


class Clock(Protocol):
    """A clock for one piece of a device's work.

        clock = device.clock()
        clock.start(); step.run(); clock.stop()
        clock.began, clock.seconds

    `start` and `stop` wait for nothing; reading `began` or `seconds` waits until the work is done.
    """

    def start(self, after: "Clock | None" = None) -> None:
        """Start before the work that is queued next, and after the work, on any device, that `after` timed."""

    def stop(self) -> None:
        """Stop after the work that is queued so far."""

    @property
    def began(self) -> float:
        """When the work began, in seconds since a moment that all clocks of the process share."""

    @property
    def seconds(self) -> float:
        """How long the work took."""


class CudaClock:
    """A clock for a stream of a GPU: events before and after the work.

    `stream` returns the stream, with all work of its device in order. `origin` is an event of the same device, and
    `moment` the host's time when it happened.
    """

    def __init__(self, runtime: Runtime, stream: Callable[[], Stream], origin: Event, moment: float) -> None:
        """Time work on a stream."""
        self._runtime, self._stream, self._origin, self._moment = runtime, stream, origin, moment

    def start(self, after: Clock | None = None) -> None:
        """Queue the first event."""
        if isinstance(after, CudaClock):  # what a HostClock timed is done
            self._runtime.wait(self._stream(), after.end)
        self._begin = self._runtime.mark(self._stream())

    def stop(self) -> None:
        """Queue the last event."""
        self.end = self._runtime.mark(self._stream())

    @property
    def began(self) -> float:
        """When the first event happened."""
        return self._moment + self._runtime.elapsed(self._origin, self._begin)

    @property
    def seconds(self) -> float:
        """Time between the events."""
        return self._runtime.elapsed(self._begin, self.end)


class HostClock:
    """A clock for the CPU, whose work is done when the call returns."""

    began: float
    seconds: float

    def start(self, after: Clock | None = None) -> None:
        """Start; work queued before is done."""
        self.began = time.perf_counter()

    def stop(self) -> None:
        """Stop."""
        self.seconds = time.perf_counter() - self.began
