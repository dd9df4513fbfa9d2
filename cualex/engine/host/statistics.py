"""Sums and counts for the watch on training; they change nothing.

Both leave the last step of their sum to the caller, as the CUDA engine does: a number a part, a count a slice of the
images.
"""

import numpy as np

from cualex.devices.host import HostDevice

VALUES = 2**16  # of a piece: its absolute values fit a core's cache


def absolute_sums(device: HostDevice, values: np.ndarray, sums: np.ndarray) -> None:
    """Sum absolute values: sums float64 (parts,), whose sum is that of |values|; not finite where a value is not."""
    flat, parts = values.reshape(-1), len(sums)

    def task(part, scratch):
        total = 0.0
        for first in range(len(flat) * part // parts, end := len(flat) * (part + 1) // parts, VALUES):
            piece = flat[first : min(first + VALUES, end)]
            total += np.abs(piece, out=scratch("absolute", piece.shape, piece.dtype)).sum(dtype=np.float64)
        sums[part] = total

    device.run(task, parts)


def count_positive(device: HostDevice, y: np.ndarray, counts: np.ndarray) -> None:
    """Count what is above zero in each channel of y (towers, images, rows, columns, channels).

    counts: uint32 (slices, towers, channels), to be added up over the slices.
    """
    slices, towers, _ = counts.shape

    def task(part, tower, scratch):
        own = y[tower, part::slices]
        positive = np.greater(own, 0, out=scratch("positive", own.shape, bool))
        counts[part, tower] = positive.reshape(-1, y.shape[-1]).sum(axis=0, dtype=np.uint32)

    device.grid(task, slices, towers)
