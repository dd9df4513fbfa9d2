"""Average pooling: the mean of each window; windows may overlap.

    y[p, q] = mean over r, s of x[p*stride + r, q*stride + s],    r, s < size

A window that reaches beyond the end of x is the mean of the values that it has; how many windows there are, y says.
Both passes take one axis after the other. Arrays are (towers, images, rows, columns, channels).
"""

import numpy as np

from cualex.devices.host import HostDevice
from cualex.engine.host.chunks import each_piece
from cualex.engine.host.strided_views import first, taps


def forward(device: HostDevice, x: np.ndarray, y: np.ndarray, *, size: int, stride: int) -> None:
    """Take the mean of each window."""
    counts = _counts(x, y, size, stride)

    def task(own, scratch):
        part = x[own]
        rows = scratch("row sums", (*part.shape[:2], y.shape[3], part.shape[3]), part.dtype)
        _add_up(part, rows, 2, size, stride)
        _add_up(rows, y[own], 1, size, stride)
        y[own] /= counts

    each_piece(device, task, x)


def backward(device: HostDevice, dy: np.ndarray, dx: np.ndarray, *, size: int, stride: int) -> None:
    """Give every value its share of the gradients of its windows."""
    counts = _counts(dx, dy, size, stride)

    def task(own, scratch):
        part, d_part = dy[own], dx[own]
        shares = np.divide(part, counts, out=scratch("shares", part.shape, part.dtype))
        rows = scratch("row shares", (*d_part.shape[:2], part.shape[2], part.shape[3]), part.dtype)
        _hand_out(shares, rows, 1, size, stride)
        _hand_out(rows, d_part, 2, size, stride)

    each_piece(device, task, dx)


def _counts(x, y, size, stride) -> np.ndarray:
    """Return how many values each window has: (rows, columns, 1)."""
    rows, columns = (
        np.minimum(size, x.shape[axis] - stride * np.arange(y.shape[axis])).astype(y.dtype) for axis in (2, 3)
    )
    return (rows[:, None] * columns)[:, :, None]


def _add_up(x, y, axis, size, stride) -> None:
    """Sum the windows along one axis."""
    values, *others = taps(x, axis, y.shape[axis], size, stride)
    np.copyto(y, values)
    for other in others:
        first(y, axis, other.shape[axis])[...] += other


def _hand_out(dy, dx, axis, size, stride) -> None:
    """Add what each window gives along one axis."""
    dx[...] = 0
    for place in taps(dx, axis, dy.shape[axis], size, stride):
        place += first(dy, axis, place.shape[axis])
