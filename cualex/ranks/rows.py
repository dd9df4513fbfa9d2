"""Rows exchanged between machines: where the memory of one cannot keep a pack, each reads its own rows of it only.

Of M machines the m-th reads the rows i with i % M = m, wherever they are asked for, so that its page cache has to keep
1/M of the pack. Every rank knows the images of every other, as they follow from seed and position alone: nothing is
asked for. A row is sent by one rank of its machine, to each of its ranks by itself. What a rank computes with is what
it would have read itself, to the bit.

The rows of a batch are sent while the batch before it is computed, and read while that before is. All ranks begin and
end an exchange at the same `take`, which the training asks for equally often on all of them.
"""

import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np

from cualex.data.batches import Stream
from cualex.data.prefetch import Batch
from cualex.ranks import Ranks


@dataclass(frozen=True)
class Dealing:
    """Which rows a rank sends and gets for a batch.

    send: indices (n,), those for rank 0 first.  counts: how many for each rank.  places: where in its own part of the
    batch the rows that it gets are, those of rank 0 first.  received: how many from each rank.
    """

    send: np.ndarray
    counts: list[int]
    places: np.ndarray
    received: list[int]


def deal(chosen: np.ndarray, rank: int, machine_of: tuple[int, ...]) -> Dealing:
    """Return what a rank sends and gets; chosen: the indices of each rank's images (ranks, images).

    machine_of: the machine of each rank.
    """
    machines = max(machine_of) + 1
    ranks_on = [[each for each, on in enumerate(machine_of) if on == machine] for machine in range(machines)]
    senders = np.empty(chosen.shape, np.int64)
    for target, indices in enumerate(chosen):
        own = machine_of[target]
        by = [target if machine == own else ranks[target % len(ranks)] for machine, ranks in enumerate(ranks_on)]
        senders[target] = np.array(by)[indices % machines]
    sent = [indices[by == rank] for indices, by in zip(chosen, senders, strict=True)]
    places = [np.flatnonzero(senders[rank] == sender) for sender in range(len(machine_of))]
    return Dealing(
        np.concatenate(sent), [len(each) for each in sent], np.concatenate(places), [len(each) for each in places]
    )


class ExchangedRows:
    """Batches as `data.prefetch.Prefetcher` gives them, of rows that the ranks exchange; see there.

    start: the position of the first whole batch, of which each rank has `batch` images.
    """

    def __init__(
        self,
        ranks: Ranks,
        stream: Stream,
        batch: int,
        start: int,
        staging: Callable[[tuple[int, ...], Any], np.ndarray] = np.empty,
        lag: int = 0,
    ) -> None:
        """Begin to read what is sent for the first batch."""
        size = stream.pack.size
        self.waited = 0.0
        self._ranks, self._stream, self._batch, self._position, self._lag = ranks, stream, batch, start, lag
        self._sets = [
            (
                staging((batch, size, size, 3), np.uint8),
                staging((batch, 3), np.int32),
                staging((batch,), np.int32),
                staging((batch, 3), np.float32),
            )
            for _ in range(lag + 1)
        ]
        self._taken = 0
        self._held: deque[Callable[[], None]] = deque()
        self._threads = ThreadPoolExecutor(1, thread_name_prefix="rows")
        self._read = self._begin_reading(start)
        self._sent: tuple[np.ndarray, np.ndarray, Callable[[], None]] | None = None

    def take(self) -> Batch:
        """Return the next batch, valid until the next call, or as `hold` says; send the rows of the one behind it."""
        while len(self._held) > self._lag:
            self._held.popleft()()
        began = time.perf_counter()
        images, views, labels, colours = made = self._sets[self._taken % len(self._sets)]
        places, rows, arrived = self._sent or self._send()
        arrived()
        images[places] = rows
        own = self._position + self._ranks.rank * self._batch
        self._stream.draw(own, views, labels, colours)
        self._position += self._ranks.size * self._batch
        self._taken += 1
        self._sent = self._send()
        self.waited += time.perf_counter() - began
        return made

    def hold(self, arrived: Callable[[], None]) -> None:
        """Keep the last batch valid until `arrived` returns, which waits for a device that reads it."""
        self._held.append(arrived)

    def close(self) -> None:
        """End the thread; what is on its way arrives, as all ranks have begun it."""
        self._threads.shutdown(cancel_futures=True)

    def __enter__(self) -> "ExchangedRows":
        """Return self; leaving the block closes it."""
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _begin_reading(self, position: int) -> "Future[tuple[Dealing, np.ndarray]]":
        return self._threads.submit(self._read_rows, position)

    def _read_rows(self, position: int) -> tuple[Dealing, np.ndarray]:
        """Return what is dealt of the batch at a position, and the rows that this rank sends."""
        chosen = self._stream.chosen(position, self._ranks.size * self._batch).reshape(self._ranks.size, -1)
        dealing = deal(chosen, self._ranks.rank, self._ranks.machine_of)
        rows = np.empty((len(dealing.send), *self._sets[0][0].shape[1:]), np.uint8)
        self._stream.pack.read(dealing.send, rows)
        return dealing, rows

    def _send(self) -> tuple[np.ndarray, np.ndarray, Callable[[], None]]:
        """Begin to send the rows that were read for `position`, and to read those of the batch behind it."""
        dealing, rows = self._read.result()
        self._read = self._begin_reading(self._position + self._ranks.size * self._batch)
        received = np.empty((self._batch, *rows.shape[1:]), np.uint8)
        what = f"exchange the images from {self._position:,} on"
        return (
            dealing.places,
            received,
            self._ranks.exchange(rows, dealing.counts, received, dealing.received, what),
        )
