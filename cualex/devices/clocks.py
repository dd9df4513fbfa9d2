"""What tells the time of a device's work: before and after a step, in the order of the device's own work."""

import time
from typing import Protocol

from cualex.devices.runtime import Event, Runtime, Stream


class Clock(Protocol):
    """Time one piece of a device's work.

        clock = device.clock()
        clock.start(); step.run(); clock.stop()
        clock.began, clock.seconds

    A device that only queues its work is not held up: `start` and `stop` wait for nothing. `began` and `seconds` are
    read afterwards, and wait until the work is done.
    """

    def start(self, after: "Clock | None" = None) -> None:
        """Start before what is handed to the device next, and after the work, on any device, that `after` timed."""

    def stop(self) -> None:
        """Stop after what was handed to the device so far."""

    @property
    def began(self) -> float:
        """Say when the work began, in seconds since a moment that all clocks of the process share."""

    @property
    def seconds(self) -> float:
        """Say how long the work took."""


class CudaClock:
    """Time work on a stream of a GPU, by events before and after it.

    `origin` is a mark of the same device, and `moment` what the host's clock said when that mark had happened.
    """

    def __init__(self, runtime: Runtime, stream: Stream, origin: Event, moment: float):
        """Time what is queued on a stream."""
        self._runtime, self._stream, self._origin, self._moment = runtime, stream, origin, moment

    def start(self, after: Clock | None = None) -> None:
        """Queue the first mark."""
        if after is not None:
            self._runtime.wait(self._stream, after.end)
        self._begin = self._runtime.mark(self._stream)

    def stop(self) -> None:
        """Queue the last mark."""
        self.end = self._runtime.mark(self._stream)

    @property
    def began(self) -> float:
        """Return when the first mark happened."""
        return self._moment + self._runtime.elapsed(self._origin, self._begin)

    @property
    def seconds(self) -> float:
        """Return the time between the marks."""
        return self._runtime.elapsed(self._begin, self.end)


class HostClock:
    """Time work on the CPU, which is done when the call returns."""

    def start(self, after: Clock | None = None) -> None:
        """Start; what was handed over before is done."""
        self.began = time.perf_counter()

    def stop(self) -> None:
        """Stop."""
        self.seconds = time.perf_counter() - self.began
