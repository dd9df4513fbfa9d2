"""Shared by the kernels over maps: the vector width of memory accesses, grids, and elementwise launches."""

from math import prod

THREADS = 256
ACCESS = 16  # bytes that a thread reads or writes at once, where the sizes allow


def storage(device, rounds: bool | None = None) -> str:
    """Return how maps are stored, as kernels/common/values.cuh names it; in tf32 `rounds`, or the device, says."""
    if device.precision != "tf32":
        return device.precision.upper()
    return "TF32" if (device.rounds if rounds is None else rounds) else "FP32"


def vector(device, length: int, most: int = ACCESS) -> int:
    """Return the vector width of memory accesses: `ACCESS` bytes, at most `most` values, or one value.

    `length` is that of a row; rows are contiguous, so that it must be a multiple of the width.
    """
    values = min(ACCESS // device.dtype.itemsize, most)
    return values if length % values == 0 else 1


def grid(threads: int, *more: int) -> tuple[int, ...]:
    """Return a grid with enough blocks of THREADS, and its further axes."""
    return (-(-threads // THREADS), *more)


def elementwise(device, name: str, arguments, **constants) -> None:
    """Launch an elementwise kernel; the arrays of one tower may be part of a larger array."""
    count = arguments[0].size
    width = vector(device, prod(arguments[0].shape[1:]))
    device.launch(
        name,
        arguments,
        grid=grid(count // width),
        block=THREADS,
        COUNT=count,
        VECTOR=width,
        PRECISION=storage(device),
        **constants,
    )


def sizes(x, y=None) -> dict[str, int]:
    """Return the dimensions of maps (towers, images, rows, columns, channels), and of the pooled maps above."""
    towers, images, rows, columns, channels = x.shape
    found = {"IMAGES": towers * images, "ROWS": rows, "COLUMNS": columns, "CHANNELS": channels}
    return found if y is None else {**found, "OUT_ROWS": y.shape[2], "OUT_COLUMNS": y.shape[3]}
