"""Exact binomial confidence intervals and tests of an accuracy."""

import math

import numpy as np

TAIL = 0.025  # on either side of a 95 % interval, and the error of calling guessing better than guessing
MOST = 100_000  # images, the largest number that `needed` tries


def tail(right: int, count: int, share: float) -> float:
    """Return the probability of at least `right` successes in `count` trials of probability `share`.

    P(X >= k) = sum over i = k..n of C(n, i) p^i (1 - p)^(n - i)
    """
    if right <= 0:
        return 1.0
    if share <= 0 or right > count:
        return 0.0
    if share >= 1:
        return 1.0
    i = np.arange(1, count + 1, dtype=np.float64)
    logarithms = np.cumsum(np.log((count - i + 1) / i)) + i * math.log(share) + (count - i) * math.log1p(-share)
    return min(1.0, float(np.exp(logarithms[right - 1 :]).sum()))


def lower(right: int, count: int) -> float:
    """Return the lower bound of the one-sided 97.5 % interval: the share p with P(X >= right | p) = 0.025.

    Clopper and Pearson, Biometrika 26 (1934): exact, so that it lies above the true share in at most 2.5 % of cases
    for every share and every number of images; the normal approximation fails for few images.
    """
    low, high = 0.0, 1.0
    for _ in range(50):
        middle = (low + high) / 2
        low, high = (middle, high) if tail(right, count, middle) < TAIL else (low, middle)
    return low


def interval(right: int, count: int) -> tuple[float, float]:
    """Return the two-sided 95 % interval of Clopper and Pearson for a share of `right` in `count`."""
    return lower(right, count), 1 - lower(count - right, count)


def above(right: int, count: int, share: float) -> bool:
    """Return whether the lower bound lies above `share`: the exact one-sided test at 2.5 %."""
    return tail(right, count, share) < TAIL


def needed(share: float, baseline: float) -> int | None:
    """Return about how many images show that an accuracy `share` is above a baseline; None: more than `MOST`."""
    count = 4
    while count <= MOST:
        if above(math.floor(share * count), count, baseline):
            return count
        count += max(1, count // 20)
    return None
