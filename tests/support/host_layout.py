"""From the order of the reference (picture, channel, row, column) to the host engine's, and back."""

import numpy as np


def inside(maps, dtype=np.float32, border=0):
    """Put (n, c, h, w) in the engine's order (n, h, w, c), inside a border of zeros."""
    around = ((0, 0), (border, border), (border, border), (0, 0))
    return np.ascontiguousarray(np.pad(np.moveaxis(maps, 1, 3), around).astype(dtype))


def outside(maps):
    """Put (n, h, w, c) in the reference's order."""
    return np.moveaxis(maps, 3, 1)


def empty(*shape, dtype=np.float32):
    """Return an array that shows what was never written."""
    return np.full(shape, np.nan, dtype)


class Untouched:
    """Check on leaving that the arrays are as they were on entering."""

    def __init__(self, *arrays):
        self.arrays = arrays

    def __enter__(self):
        self.before = [array.copy() for array in self.arrays]

    def __exit__(self, *failure):
        if failure[0] is None:
            for before, array in zip(self.before, self.arrays, strict=True):
                np.testing.assert_array_equal(array, before, "an input was changed")
