"""What the kernels over maps share: how many values go in one access, and the launch of one thread an access."""

from math import prod

THREADS = 256
ACCESS = 16  # bytes that a thread reads or writes at once, where the sizes allow


def storage(device) -> str:
    """Return how maps lie in memory, as kernels/common/values.cuh names it: TF32 is a way to multiply, not to store."""
    return "BF16" if device.precision == "bf16" else "FP32"


def vector(device, length: int, most: int = ACCESS) -> int:
    """Return how many values of a row go in one access: `ACCESS` bytes (and `most` values), or one value.

    `length` is that of a row; rows lie one after the other, so that it must be a multiple of what is returned.
    """
    values = min(ACCESS // device.dtype.itemsize, most)
    return values if length % values == 0 else 1


def grid(threads: int, *more: int) -> tuple[int, ...]:
    """Return a grid with enough blocks of THREADS, and its further axes."""
    return (-(-threads // THREADS), *more)


def elementwise(device, name: str, arguments, **constants) -> None:
    """Launch a kernel that treats every value alike; the arrays of one tower may be part of a larger array."""
    count = arguments[0].size
    here = vector(device, prod(arguments[0].shape[1:]))
    device.launch(
        name,
        arguments,
        grid=grid(count // here),
        block=THREADS,
        COUNT=count,
        VECTOR=here,
        PRECISION=storage(device),
        **constants,
    )


def sizes(x, y=None) -> dict[str, int]:
    """Return the dimensions of maps (towers, pictures, rows, columns, channels), and of the pooled maps above."""
    towers, pictures, rows, columns, channels = x.shape
    found = {"IMAGES": towers * pictures, "ROWS": rows, "COLUMNS": columns, "CHANNELS": channels}
    return found if y is None else {**found, "OUT_ROWS": y.shape[2], "OUT_COLUMNS": y.shape[3]}
