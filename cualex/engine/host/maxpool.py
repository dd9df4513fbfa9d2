"""Max-pooling: the largest value of each window; windows may overlap.

    y[p, q] = max over r, s of x[p*stride + r, q*stride + s],    r, s < size

The gradient goes to the first maximum in the order of reading (rows, then columns), as in Caffe and PyTorch.
Both passes take the columns of a window first and then its rows, each step over long runs of channels. Rows and
columns of x that no window reaches get no gradient. Arrays are (towers, pictures, rows, columns, channels).
"""

import numpy as np

from cualex.engine.host.pieces import each_piece


def forward(device, x, y, saved=None, *, size, stride) -> None:
    """Take the maximum of each window; this engine saves nothing for the backward pass."""

    def task(own, scratch):
        pool(x[own], y[own], size, stride, scratch)

    each_piece(device, task, x)


def backward(device, x, saved, y, dy, dx, *, size, stride, relu=False) -> None:
    """Give each maximum the gradient of its window; with `relu`, only where x is positive."""

    def task(own, scratch):
        unpool(x[own], y[own], dy[own], dx[own], size, stride, scratch)
        if relu:
            dx[own] *= np.greater(x[own], 0, out=scratch("positive", x[own].shape, bool))

    each_piece(device, task, x)


def pool(x, y, size, stride, scratch) -> None:
    """Pool some pictures of one tower: (pictures, rows, columns, channels)."""
    _widest(_row_maxima(x, y.shape[2], size, stride, scratch), y, 1, size, stride)


def unpool(x, y, dy, dx, size, stride, scratch) -> None:
    """Take some pictures of one tower back through the pooling; `dy` stays as it is."""
    rows = _row_maxima(x, y.shape[2], size, stride, scratch)
    d_rows = scratch("row gradient", rows.shape, x.dtype)
    _give(rows, y, dy, d_rows, 1, size, stride, scratch)
    _give(x, rows, d_rows, dx, 2, size, stride, scratch)


def _row_maxima(x, width, size, stride, scratch) -> np.ndarray:
    """Return the maximum of each window's part in each row: (pictures, rows, width, channels)."""
    maxima = scratch("row maxima", (x.shape[0], x.shape[1], width, x.shape[3]), x.dtype)
    _widest(x, maxima, 2, size, stride)
    return maxima


def _taps(x, axis, count, size, stride) -> list[np.ndarray]:
    """Return, for each place in a window along one axis, what all the windows have there."""
    everything = (slice(None),) * axis
    return [x[(*everything, slice(r, r + (count - 1) * stride + 1, stride))] for r in range(size)]


def _widest(x, y, axis, size, stride) -> None:
    """Take the maximum of windows along one axis."""
    first, *others = _taps(x, axis, y.shape[axis], size, stride)
    if not others:
        np.copyto(y, first)
        return
    np.maximum(first, others[0], out=y)
    for other in others[1:]:
        np.maximum(y, other, out=y)


def _give(x, y, dy, dx, axis, size, stride, scratch) -> None:
    """Give the gradient of windows along one axis to the first of their maxima.

    The first `stride` places of the windows lie side by side and are written; the places after them belong to a
    neighbour as well and are added to. The last place gets what is left: some place has the maximum.
    """
    count = y.shape[axis]
    before = (slice(None),) * axis
    dx[(*before, slice(count * stride if size >= stride else 0, None))] = 0
    left = scratch("left", dy.shape, dy.dtype)
    np.copyto(left, dy)
    equal, given = scratch("equal", dy.shape, bool), scratch("given", dy.shape, dy.dtype)
    taps, d_taps = _taps(x, axis, count, size, stride), _taps(dx, axis, count, size, stride)
    for place, (tap, d_tap) in enumerate(zip(taps, d_taps, strict=True)):
        if place < size - 1:
            share = np.multiply(left, np.equal(tap, y, out=equal), out=given)
            left -= share
        else:
            share = left
        if place < stride:
            np.copyto(d_tap, share)
        else:
            d_tap += share
