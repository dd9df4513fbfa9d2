"""How fast ranks exchange bytes, in the way in which a training does."""

import statistics
import time
from collections.abc import Callable

import numpy as np

from cualex.ranks import Ranks

SIZES = (1 << 20, 16 << 20)  # bytes of an array that is added up: a bucket has 16 MB
ROUNDS, FEW, WARM = 50, 5, 5


def latency(ranks: Ranks) -> float:
    """Return the seconds in which every rank hears 8 bytes of every other: the median."""
    word = np.zeros(1)
    return _median(ranks, lambda: ranks.gather(word, "measure the latency")(), ROUNDS)


def rate(ranks: Ranks, size: int) -> float:
    """Return the bytes per second that leave a rank while an array of `size` bytes is exchanged as for a sum."""
    values = np.ones(size // 4, np.float32)
    took = _median(ranks, lambda: ranks.add_up(values, lambda shares: shares[0], "measure the rate")(), FEW)
    return 2 * (ranks.size - 1) / ranks.size * size / took


def _median(ranks: Ranks, work: Callable[[], object], rounds: int) -> float:
    times = []
    for number in range(WARM + rounds):
        began = time.perf_counter()
        work()
        if number >= WARM:
            times.append(time.perf_counter() - began)
    return float(max(ranks.collect(statistics.median(times), "compare times")))  # of the slowest rank
