"""What tells the time of a device's work: before and after a step, in the order of the device's own work."""

import time
from typing import Protocol


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


class HostClock:
    """Time work on the CPU, which is done when the call returns."""

    def start(self, after: Clock | None = None) -> None:
        """Start; what was handed over before is done."""
        self.began = time.perf_counter()

    def stop(self) -> None:
        """Stop."""
        self.seconds = time.perf_counter() - self.began
