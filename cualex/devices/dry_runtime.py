"""A runtime that runs nothing: for plans of any size whose launches are looked at, where there is no GPU."""

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from cualex.devices.runtime import Array
from cualex.kernels import Launch


class DryRuntime:
    """Note what plans want compiled; arrays have no memory until they are touched, and nothing touches them.

    As if there were two GPUs of compute capability `architecture`, 90 for sm_90.
    """

    name = "dry"

    def __init__(self, architecture: int = 90):
        self.launches: list[Launch] = []
        self._architecture = architecture

    def count(self) -> int:
        """Return how many GPUs there seem to be."""
        return 2

    def architecture(self, device: int) -> int:
        """Return the compute capability that all of them seem to have."""
        return self._architecture

    def free(self, device: int) -> int:
        """Return the memory of a large GPU."""
        return 80 << 30

    def allocate(self, device: int, shape: tuple[int, ...], dtype: Any) -> Array:
        """Return an array of the host, which takes addresses and no memory."""
        return np.empty(shape, dtype)

    def stream(self, device: Any) -> None:
        """Return nothing in place of a stream, or of an event."""

    record = mark = stream

    def compile(self, launches: Iterable[Launch], progress: Callable[[int, int], None] | None = None) -> None:
        """Note the launches."""
        self.launches.extend(launches)

    def upload(self, *given: Any) -> None:
        """Copy nothing."""

    copy = launch = load = gather = wait = zero = synchronize = upload
