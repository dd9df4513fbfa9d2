"""Fill the next batches in a thread while the network works on this one."""

import threading
import time
from collections.abc import Iterator

import numpy as np

Batch = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]


class Ahead:
    """Keep up to `depth` batches ready: (images, views, labels, colours), as Stream.fill and Sequence.fill write
    them.

    start: the position of the first batch, in images.  stop: the position at which to end; None for never.
    waited: the seconds that `take` has waited for data so far.

    depth + 1 sets of arrays are made once and used in turn. What the thread raises, `take` raises.
    """

    def __init__(self, stream, batch: int, depth: int = 2, start: int = 0, stop: int | None = None):
        """Start the thread."""
        size = stream.pack.size
        self.waited = 0.0
        self._stream, self._batch, self._stop = stream, batch, stop
        self._sets = [
            (
                np.empty((batch, size, size, 3), np.uint8),
                np.empty((batch, 3), np.int32),
                np.empty((batch,), np.int32),
                np.empty((batch, 3), np.float32),
            )
            for _ in range(depth + 1)
        ]
        self._turn = threading.Condition()
        self._filled = 0  # batches filled
        self._taken = 0  # batches handed out; the last of them is in use
        self._closed = False
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._fill, args=(start,), name="ahead", daemon=True)
        self._thread.start()

    def take(self) -> Batch:
        """Hand out the next batch; it is valid until the next call. Raise StopIteration at `stop`."""
        with self._turn:
            began = time.perf_counter()
            self._taken += 1
            self._turn.notify_all()
            while self._filled < self._taken and self._failure is None:
                if self._closed:
                    raise ValueError("take() after close()")
                self._turn.wait()
            self.waited += time.perf_counter() - began
            if self._filled < self._taken:
                self._taken -= 1
                raise self._failure
            return self._sets[(self._taken - 1) % len(self._sets)]

    def __iter__(self) -> Iterator[Batch]:
        """Hand out batches until `stop`; each is valid until the next."""
        while True:
            try:
                batch = self.take()
            except StopIteration:
                return
            yield batch

    def close(self) -> None:
        """End the thread; a batch that it is filling is finished first."""
        with self._turn:
            self._closed = True
            self._turn.notify_all()
        self._thread.join()

    def __enter__(self) -> "Ahead":
        """Return self; leaving closes it."""
        return self

    def __exit__(self, *exception) -> None:
        self.close()

    def _fill(self, position: int) -> None:
        try:
            while self._stop is None or position < self._stop:
                with self._turn:
                    # One set is in the caller's hands; before the first take() it waits unused.
                    while not self._closed and self._filled - self._taken >= len(self._sets) - 1:
                        self._turn.wait()
                    if self._closed:
                        return
                self._stream.fill(position, *self._sets[self._filled % len(self._sets)])
                position += self._batch
                with self._turn:
                    self._filled += 1
                    self._turn.notify_all()
            raise StopIteration
        except BaseException as failure:
            with self._turn:
                self._failure = failure
                self._turn.notify_all()
