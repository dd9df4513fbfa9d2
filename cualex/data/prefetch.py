"""Prefetch: a thread fills the next batches while the network computes this one."""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any, Protocol

import numpy as np

from cualex.data.split import Split

Batch = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]


class Batches(Protocol):
    """What writes batches: Stream and Sequence (data/batches.py)."""

    pack: Split

    def fill(
        self, position: int, images: np.ndarray, views: np.ndarray, labels: np.ndarray, colours: np.ndarray
    ) -> None:
        """Write the batch at `position`."""


class Prefetcher:
    """An iterator over batches (images, views, labels, colours) that fills up to `depth` of them in advance.

    start: the position of the first batch, in images.  stop: the position at which to end; None for never.
    stride: from a batch to the next, in images; by default those of a batch.
    waited: the seconds that `take` has waited for data so far.

    A GPU reads a batch by itself, from memory that `staging` allocates, while further batches are taken: `hold` says
    until when. lag: how many batches before the last may be held.

    depth + lag + 1 sets of arrays are allocated once and used in turn. An exception of the thread is raised by `take`.
    """

    def __init__(
        self,
        stream: Batches,
        batch: int,
        depth: int = 2,
        start: int = 0,
        stop: int | None = None,
        staging: Callable[[tuple[int, ...], Any], np.ndarray] = np.empty,
        lag: int = 0,
        stride: int | None = None,
    ) -> None:
        """Start the thread."""
        size = stream.pack.size
        self.waited = 0.0
        self._stream, self._stride, self._stop, self._lag = stream, stride or batch, stop, lag
        self._sets = [
            (
                staging((batch, size, size, 3), np.uint8),
                staging((batch, 3), np.int32),
                staging((batch,), np.int32),
                staging((batch, 3), np.float32),
            )
            for _ in range(depth + lag + 1)
        ]
        self._turn = threading.Condition()
        self._filled = 0  # batches filled
        self._taken = 0  # batches taken; the last of them is in use
        self._free = -1  # batches taken whose arrays may be filled again; before the first, one set is left alone
        self._held: deque[Callable[[], None]] = deque()  # what waits for each of the batches taken after those
        self._closed = False
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._fill, args=(start,), name="ahead", daemon=True)
        self._thread.start()

    def take(self) -> Batch:
        """Return the next batch, valid until the next call, or as `hold` says. Raise StopIteration at `stop`."""
        while len(self._held) > self._lag:
            self._held.popleft()()
        with self._turn:
            began = time.perf_counter()
            self._free = self._taken - len(self._held)
            self._taken += 1
            self._turn.notify_all()
            while self._filled < self._taken and self._failure is None:
                if self._closed:
                    raise ValueError("take() after close()")
                self._turn.wait()
            self.waited += time.perf_counter() - began
            if self._filled < self._taken and self._failure is not None:
                self._taken -= 1
                raise self._failure
            return self._sets[(self._taken - 1) % len(self._sets)]

    def hold(self, arrived: Callable[[], None]) -> None:
        """Keep the last batch valid until `arrived` returns, which waits for a device that reads it.

        It is called when `lag` further batches have been taken, by the thread that takes them.
        """
        self._held.append(arrived)

    def __iter__(self) -> Iterator[Batch]:
        """Yield batches until `stop`, valid until the next."""
        while True:
            try:
                batch = self.take()
            except StopIteration:
                return
            yield batch

    def close(self) -> None:
        """End the thread, after the batch that it is filling."""
        with self._turn:
            self._closed = True
            self._turn.notify_all()
        self._thread.join()

    def __enter__(self) -> "Prefetcher":
        """Return self; leaving the block closes it."""
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _fill(self, position: int) -> None:
        try:
            while self._stop is None or position < self._stop:
                with self._turn:
                    while not self._closed and self._filled - self._free >= len(self._sets):
                        self._turn.wait()
                    if self._closed:
                        return
                self._stream.fill(position, *self._sets[self._filled % len(self._sets)])
                position += self._stride
                with self._turn:
                    self._filled += 1
                    self._turn.notify_all()
            raise StopIteration
        except BaseException as failure:
            with self._turn:
                self._failure = failure
                self._turn.notify_all()
