"""Sums and counts for the watch on training; they change nothing.

Both leave the last step of their sum to the host: a number a block, a count a slice of the pixels.
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
    """Count what is above zero in each channel of y (towers, pictures, rows, columns, channels).

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
