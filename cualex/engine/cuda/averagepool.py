"""Average pooling: the mean of each window; windows may overlap.

    y[p, q] = mean over r, s of x[p*stride + r, q*stride + s],    r, s < size

A window that reaches beyond the end of x is the mean of the values that it has; y has the number of windows.
Gradients are gathered. Arrays are (towers, images, rows, columns, channels).
"""

from cualex.engine.cuda.launching import THREADS, grid, sizes, storage, vector


def forward(device, x, y, *, size, stride) -> None:
    """Take the mean of each window."""
    _launch(device, "averagepool_forward", (x, y), y.size, sizes(x, y), size, stride)


def backward(device, dy, dx, *, size, stride) -> None:
    """Divide the gradient of each window evenly among its values."""
    _launch(device, "averagepool_backward", (dy, dx), dx.size, sizes(dx, dy), size, stride)


def _launch(device, name, arguments, count, dimensions, size, stride) -> None:
    values = vector(device, dimensions["CHANNELS"])
    device.launch(
        name,
        arguments,
        grid=grid(count // values),
        block=THREADS,
        SIZE=size,
        STRIDE=stride,
        VECTOR=values,
        PRECISION=storage(device),
        **dimensions,
    )
