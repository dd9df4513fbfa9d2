"""Max-pooling: the largest value of each window; windows may overlap.

    y[p, q] = max over r, s of x[p*stride + r, q*stride + s],    r, s < size

`saved` is the choice: for each value of y the index of the first maximum in its window, row by row, in a byte. The
gradient is gathered: a pixel sums those of the windows that chose it. Rows and columns that no window reaches get no
gradient. NaN counts as the largest. Arrays are (towers, images, rows, columns, channels).
"""

from cualex.engine.cuda.launching import THREADS, grid, sizes, storage, vector

POSITIONS = 255  # of a window: what fits in a byte


def forward(device, x, y, saved=None, *, size, stride) -> None:
    """Take the maximum of each window; `saved` may be None in inference."""
    choose = int(saved is not None)
    _launch(device, "maxpool_forward", (x, y, saved), y.size, x, y, size, stride, CHOOSE=choose)


def backward(device, x, saved, y, dy, dx, *, size, stride, relu=False) -> None:
    """Pass the gradient of each window to its maximum; with `relu`, only where it is positive."""
    _launch(device, "maxpool_backward", (saved, y if relu else None, dy, dx), x.size, x, y, size, stride)


def window(size: int, stride: int) -> dict[str, int]:
    """Return the window's constants; raise ValueError where it has more positions than a byte."""
    if size * size > POSITIONS:
        raise ValueError(f"maxpool: windows of {size}x{size} have more than {POSITIONS} positions")
    return {"SIZE": size, "STRIDE": stride}


def _launch(device, name, arguments, count, x, y, size, stride, **choices) -> None:
    values = vector(device, x.shape[-1])
    device.launch(
        name,
        arguments,
        grid=grid(count // values),
        block=THREADS,
        VECTOR=values,
        PRECISION=storage(device),
        **sizes(x, y),
        **window(size, stride),
        **choices,
    )
