"""How fast ranks exchange bytes, in the way in which a training does, and how long a training waits for them."""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from cualex.ranks import Ranks

T = TypeVar("T")

SIZES = (1 << 20, 16 << 20)  # bytes of an array that is added up: a bucket has 16 MB
ROUNDS, FEW, WARM = 50, 5, 5


@dataclass
class Waited:
    """A sum over ranks, of `size` bytes, or the words of an update; times by `time.perf_counter`.

    begun: when it was asked for.  waited: seconds that this rank has waited for it, with nothing left to compute.
    """

    size: int
    begun: float
    waited: float = 0.0
    words: bool = False


class Watched:
    """Ranks whose exchanges are noted: what a plan that is given these instead waits for; see `Ranks`."""

    def __init__(self, ranks: Ranks) -> None:
        """Note nothing yet."""
        self._ranks, self._noted = ranks, list[Waited]()
        self.size, self.rank, self.machines = ranks.size, ranks.rank, ranks.machines
        self.machine_of, self.exchanges_rows = ranks.machine_of, ranks.exchanges_rows
        self.first, self.first_here = ranks.first, ranks.first_here

    def noted(self) -> list[Waited]:
        """Return what was exchanged since the last call, in order."""
        noted, self._noted = self._noted, []
        return noted

    def add_up(self, values: np.ndarray, add: Callable[[np.ndarray], np.ndarray], what: str) -> Callable[[], None]:
        """Add up, and note it."""
        return self._note(values.nbytes, self._ranks.add_up(values, add, what))

    def exchange(
        self, sent: np.ndarray, counts: list[int], received: np.ndarray, from_each: list[int], what: str
    ) -> Callable[[], None]:
        """Exchange rows."""
        return self._ranks.exchange(sent, counts, received, from_each, what)

    def gather(self, values: np.ndarray, what: str) -> Callable[[], np.ndarray]:
        """Gather, and note it."""
        return self._note(values.nbytes, self._ranks.gather(values, what), words=True)

    def collect(self, value: T, what: str) -> list[T]:
        """Return a plain value of every rank."""
        return self._ranks.collect(value, what)

    def at_first(self, call: Callable[[], T], what: str) -> T:
        """Return what `call` gives on rank 0."""
        return self._ranks.at_first(call, what)

    def begin_updates(self, over: bool = False) -> None:
        """From here on, give up after the timeout; `over`: wait without limit again."""
        self._ranks.begin_updates(over)

    def _note(self, size: int, wait: Callable[[], T], words: bool = False) -> Callable[[], T]:
        entry = Waited(size, time.perf_counter(), words=words)
        self._noted.append(entry)

        def timed() -> T:
            began = time.perf_counter()
            try:
                return wait()
            finally:
                entry.waited += time.perf_counter() - began

        return timed


def alone(ranks: Ranks, size: int, add: Callable[[np.ndarray], np.ndarray]) -> float:
    """Return the seconds of a sum of a float32 array of `size` bytes, with nothing beside it: the median."""
    values = np.ones(size // 4, np.float32)
    return _median(ranks, lambda: ranks.add_up(values, add, "time a sum")(), FEW)


def latency(ranks: Ranks) -> float:
    """Return the seconds in which every rank hears 8 bytes of every other: the median."""
    word = np.zeros(1)
    return _median(ranks, lambda: ranks.gather(word, "measure the latency")(), ROUNDS)


def rate(ranks: Ranks, size: int) -> float:
    """Return the bytes per second that leave a rank while an array of `size` bytes is exchanged as for a sum."""
    return 2 * (ranks.size - 1) / ranks.size * size / alone(ranks, size, lambda shares: shares[0])


def _median(ranks: Ranks, work: Callable[[], object], rounds: int) -> float:
    times = []
    ranks.collect(None, "begin to measure")  # a rank that is slower so far is not lost
    ranks.begin_updates()  # in which a rank looks for answers more often
    for number in range(WARM + rounds):
        began = time.perf_counter()
        work()
        if number >= WARM:
            times.append(time.perf_counter() - began)
    ranks.begin_updates(over=True)
    return float(max(ranks.collect(statistics.median(times), "compare times")))  # of the slowest rank
