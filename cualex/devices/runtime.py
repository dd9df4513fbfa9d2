"""What runs kernels: the interface between the CUDA engine and CuPy, or the emulator in the tests.

Arrays behave like NumPy's as far as a plan needs it: shape, dtype, strides, flags, indexing by numbers and slices,
`view` and `reshape`. Work is queued on streams; a stream keeps its order, streams are ordered by events alone.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol

import numpy as np

from cualex.kernels import Launch

Array = Any
Stream = Any
Event = Any


class Graph(Protocol):
    """Be a captured piece of work, ready to be queued again as a whole."""

    def launch(self) -> None:
        """Queue the work on the first of the streams it was captured from."""


class Runtime(Protocol):
    """Run kernels and copies on one or more devices of one kind."""

    name: str
    uncaptured: str  # why the last capture failed

    def count(self) -> int:
        """Return how many devices there are."""

    def peers(self, one: int, other: int) -> bool:
        """Return whether one device can read another's memory; it can its own."""

    def architecture(self, device: int) -> int:
        """Return a device's compute capability, 90 for sm_90."""

    def title(self, device: int) -> str:
        """Return the name of a device's kind."""

    def peak(self, device: int, precision: str) -> float | None:
        """Return the operations a second of a device's hardware, two a multiply-add; None where they are not known."""

    def free(self, device: int) -> int:
        """Return how many bytes can still be allocated on a device."""

    def held(self, device: int) -> int:
        """Return how many bytes of a device this process holds, in use or not."""

    def allocate(self, device: int, shape: tuple[int, ...], dtype) -> Array:
        """Return an array on a device, its contents arbitrary."""

    def shared(self, array: Any) -> Array:
        """Return another library's array on a device as this runtime's, without a copy, once it is written (DLPack)."""

    def staging(self, device: int, shape: tuple[int, ...], dtype) -> np.ndarray:
        """Return an array in pinned memory of the host, which a device reads by itself."""

    def stream(self, device: int) -> Stream:
        """Make a stream on a device."""

    def record(self, stream: Stream) -> Event:
        """Return an event that happens when all that is queued on a stream so far is done."""

    def wait(self, stream: Stream, event: Event) -> None:
        """Let what is queued on a stream from here on wait for an event."""

    def mark(self, stream: Stream) -> Event:
        """Return an event that remembers when it happened."""

    def elapsed(self, first: Event, last: Event) -> float:
        """Return the seconds between two marks of one device, and wait for the last."""

    def upload(self, stream: Stream, target: Array, values: np.ndarray) -> None:
        """Queue a copy from the host; `values` may change as soon as this returns."""

    def load(self, stream: Stream, target: Array, values: np.ndarray) -> None:
        """Queue a copy from memory of `staging`, which must not change until it has arrived; else as `upload`."""

    def gather(self, stream: Stream, block: Array, inputs: Sequence[tuple[Array, np.ndarray]]) -> None:
        """Queue one copy of all of `block`, in which the arrays of (array, values) lie; the rest of it is arbitrary.

        Values are converted and broadcast as NumPy does it. They may change as soon as this returns, but for those in
        memory of `staging`.
        """

    def finish(self, event: Event) -> None:
        """Wait for an event."""

    def zero(self, stream: Stream, target: Array) -> None:
        """Queue that all bytes of an array become zero."""

    def download(self, stream: Stream, source: Array) -> np.ndarray:
        """Wait for a stream, and return a copy on the host."""

    def fetch(self, stream: Stream, source: Array) -> Callable[[], np.ndarray]:
        """Queue a copy to the host; return what waits for it and gives it. Nothing else is waited for."""

    def copy(self, stream: Stream, source: Array, target: Array) -> None:
        """Queue a copy of an array to one of the same shape, on the same or another device, or from or to `staging`."""

    def compile(self, launches: Iterable[Launch], progress: Callable[[int, int], None] | None = None) -> None:
        """Compile what these launches need and is not there yet; `progress` gets how many are done, of how many."""

    def launch(self, stream: Stream, launch: Launch) -> None:
        """Queue a kernel; compile it first where `compile` has not."""

    def matmul(self, stream: Stream, precision: str, x: Array, weight: Array, y: Array) -> Callable[[], None] | None:
        """Return what queues y = x weight^T, square matrices, by the maker's own library; None where there is none."""

    def synchronize(self) -> None:
        """Wait until nothing is queued anywhere."""

    def capture(self, streams: Sequence[Stream], work: Callable[[], None]) -> Graph | None:
        """Record what `work` queues, without running it, as a graph of the first stream; None where that cannot be.

        `work` forks the other streams from the first by events, and joins them again.
        """


def address(array: Array) -> int:
    """Return where an array begins in memory."""
    pointer = getattr(array.data, "ptr", None)  # CuPy's
    return array.ctypes.data if pointer is None else pointer
