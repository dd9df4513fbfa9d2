"""Windows of maps as the rows of a matrix ("im2col"), and how a batch is cut so that they fit the cache."""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import as_strided

COLUMN_BYTES = 4 << 20  # a matrix of columns: larger leaves the cache, smaller makes thin products
GRADIENT_BYTES = 6 << 20  # the same in the backward pass, where each product has to be added to a sum


@dataclass(frozen=True)
class Cut:
    """A run of images, and of rows of their output."""

    pictures: slice
    rows: slice

    def read(self, maps: np.ndarray, size: int, stride: int) -> np.ndarray:
        """Return the part of the input maps that this cut's windows see."""
        return maps[self.pictures, self.rows.start * stride : (self.rows.stop - 1) * stride + size]


def cuts(pictures: int, rows: int, row_bytes: int, *, backward: bool = False) -> list[Cut]:
    """Cut a batch so that the columns of each part stay below `COLUMN_BYTES`, or `GRADIENT_BYTES`.

    Parts are whole images, several where they fit; in the forward pass an image too large alone is cut by rows.
    """
    fit = (GRADIENT_BYTES if backward else COLUMN_BYTES) // (rows * row_bytes)
    if fit or backward:
        fit = max(1, fit)
        return [Cut(slice(n, min(n + fit, pictures)), slice(0, rows)) for n in range(0, pictures, fit)]
    parts = min(rows, -(-rows * row_bytes // COLUMN_BYTES))
    edges = [i * rows // parts for i in range(parts + 1)]
    return [
        Cut(slice(n, n + 1), slice(first, last)) for n in range(pictures) for first, last in itertools.pairwise(edges)
    ]


def columns(sources, rows, width, size, stride, group, groups, scratch) -> np.ndarray:
    """Copy the windows of one group's channels: (images * rows * width, sources * size * size * channels)."""
    n, channels = len(sources[0]), sources[0].shape[3] // groups
    cols = scratch("columns", (n, rows, width, len(sources), size, size * channels), sources[0].dtype)
    for s, maps in enumerate(sources):
        a, b, c, d = maps.strides
        part = maps[:, :, :, group * channels : (group + 1) * channels]
        if c == maps.shape[3] * d and groups == 1:  # a window's row is one run of floats
            seen = as_strided(part, (n, rows, width, size, size * channels), (a, b * stride, c * stride, b, d))
            np.copyto(cols[:, :, :, s], seen)
        else:
            seen = as_strided(part, (n, rows, width, size, size, channels), (a, b * stride, c * stride, b, c, d))
            np.copyto(cols[:, :, :, s].reshape(seen.shape), seen)
    return cols.reshape(n * rows * width, -1)


def products(reads, towers, groups, rows, width, size, stride, scratch) -> Iterator[tuple[int, int, np.ndarray]]:
    """Yield (tower, group, columns) for each product to make; towers that read the same maps share columns.

    `reads` maps a tower to the list of maps that it reads.
    """
    cols: np.ndarray
    for tower in towers:
        same = tower != towers[0] and groups == 1
        for group in range(groups):
            if not same:
                cols = columns(reads(tower), rows, width, size, stride, group, groups, scratch)
            yield tower, group, cols


def tiled(scratch, row: np.ndarray, times: int) -> np.ndarray:
    """Repeat a row of channels: one long addition is faster than many short ones."""
    tile = scratch("tiled", (times, row.size), row.dtype)
    tile[...] = row
    return tile.reshape(-1)
