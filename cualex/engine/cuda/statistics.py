"""Sums and counts for training diagnostics; they change nothing.

The host does the last step of each: the sum over blocks, and over slices of the pixels.
"""

from cualex.engine.cuda.launching import THREADS, grid, storage


def absolute_sums(device, values, sums) -> None:
    """Sum absolute values: sums float64 (parts,), whose sum is that of |values|; not finite where a value is not."""
    device.launch(
        "absolute_sums",
        (values, sums),
        grid=(sums.size,),
        block=THREADS,
        shared=8 * THREADS,
        COUNT=values.size,
    )


def count_positive(device, y, counts) -> None:
    """Count the positive values in each channel of y (towers, images, rows, columns, channels).

    counts: uint32 (slices, towers, channels), to be added up over the slices.
    """
    slices, towers, channels = counts.shape
    device.launch(
        "count_positive",
        (y, counts),
        grid=grid(channels, slices, towers),
        block=THREADS,
        PIXELS=y.size // (towers * channels),
        CHANNELS=channels,
        PRECISION=storage(device),
    )
