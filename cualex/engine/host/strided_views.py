"""The positions of a window, each as what all windows along one axis have there."""

import numpy as np


def taps(x: np.ndarray, axis: int, count: int, size: int, stride: int) -> list[np.ndarray]:
    """Return an array for each position of the windows that any of them has: views of x.

    Where the last windows reach beyond the end, later places have fewer of them: the first ones.
    """
    length = x.shape[axis]
    before = (slice(None),) * axis
    counts = [min(count, -(-(length - r) // stride)) for r in range(min(size, length))]
    return [x[(*before, slice(r, r + (n - 1) * stride + 1, stride))] for r, n in enumerate(counts) if n > 0]


def first(x: np.ndarray, axis: int, count: int) -> np.ndarray:
    """Return what the first windows along one axis have."""
    return x[(*(slice(None),) * axis, slice(0, count))]
