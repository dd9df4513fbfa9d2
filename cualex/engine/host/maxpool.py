"""Max-pooling: the largest value of each window; windows may overlap.

    y[p, q] = max over r, s of x[p*stride + r, q*stride + s],    r, s < size

The gradient goes to the first maximum in the order of reading (rows, then columns), as in Caffe and PyTorch.
Windows that reach beyond the end of x have fewer values: how many windows there are, y says.
The forward pass takes the rows of a window first, in runs of whole rows, and then its columns, of which fewer are
left. The backward pass takes the columns first, so that the first maximum is found. Rows and columns of x that no
window reaches get no gradient. Arrays are (towers, images, rows, columns, channels).
"""

import numpy as np

from cualex.devices.host import HostDevice
from cualex.engine.host.chunks import each_piece
from cualex.engine.host.strided_views import first, taps


def forward(
    device: HostDevice, x: np.ndarray, y: np.ndarray, saved: np.ndarray | None = None, *, size: int, stride: int
) -> None:
    """Take the maximum of each window; this engine saves nothing for the backward pass."""

    def task(own, scratch):
        pool(x[own], y[own], size, stride, scratch)

    each_piece(device, task, x)


def backward(
    device: HostDevice,
    x: np.ndarray,
    saved: np.ndarray,
    y: np.ndarray,
    dy: np.ndarray,
    dx: np.ndarray,
    *,
    size: int,
    stride: int,
    relu: bool = False,
) -> None:
    """Give each maximum the gradient of its window; with `relu`, only where x is positive."""

    def task(own, scratch):
        unpool(x[own], y[own], dy[own], dx[own], size, stride, scratch, relu)

    each_piece(device, task, x)


def pool(x, y, size, stride, scratch) -> None:
    """Pool some images of one tower: (images, rows, columns, channels)."""
    n, rows, _, channels = y.shape
    maxima = scratch("column maxima", (n, rows, x.shape[2], channels), x.dtype)
    _widest(x, maxima, 1, size, stride)
    _widest(maxima, y, 2, size, stride)


def unpool(x, y, dy, dx, size, stride, scratch, relu=False) -> None:
    """Take some images of one tower back through the pooling; `dy` stays as it is.

    A gradient goes to a maximum, and that is positive where y is: so the ReLU below is taken at the size of y.
    """
    rows = scratch("row maxima", (x.shape[0], x.shape[1], y.shape[2], x.shape[3]), x.dtype)
    _widest(x, rows, 2, size, stride)
    left = scratch("left", dy.shape, dy.dtype)
    if relu:
        np.multiply(dy, np.greater(y, 0, out=scratch("positive", y.shape, bool)), out=left)
    else:
        np.copyto(left, dy)
    d_rows = scratch("row gradient", rows.shape, x.dtype)
    _give(rows, y, left, d_rows, 1, size, stride, scratch)
    _give(x, rows, d_rows, dx, 2, size, stride, scratch)


def _widest(x, y, axis, size, stride) -> None:
    """Take the maximum of windows along one axis."""
    values, *others = taps(x, axis, y.shape[axis], size, stride)
    if others and others[0].shape == y.shape:
        np.maximum(values, others.pop(0), out=y)
    else:
        np.copyto(y, values)
    for other in others:
        part = first(y, axis, other.shape[axis])
        np.maximum(part, other, out=part)


def _give(x, y, left, dx, axis, size, stride, scratch) -> None:
    """Give the gradient of windows along one axis, which is used up, to the first of their maxima.

    The first `stride` positions of the windows lie side by side and are written; the positions after them belong to a
    neighbour as well and are added to. A window's last position gets what is left: some position has the maximum.
    """
    count = y.shape[axis]
    dx[(*(slice(None),) * axis, slice(count * stride if size >= stride else 0, None))] = 0
    equal, given = scratch("equal", left.shape, bool), scratch("given", left.shape, left.dtype)
    places, d_places = taps(x, axis, count, size, stride), taps(dx, axis, count, size, stride)
    for place, (values, d_values) in enumerate(zip(places, d_places, strict=True)):
        here = values.shape[axis]
        later = places[place + 1 :]
        more = later[0].shape[axis] if later else 0  # windows with a place after this one
        share = first(left, axis, here)
        if more:
            rest, share = share, first(given, axis, here)
            np.multiply(rest, np.equal(values, first(y, axis, here), out=first(equal, axis, here)), out=share)
            if more < here:
                ends = (*(slice(None),) * axis, slice(more, here))
                share[ends] = rest[ends]
            rest -= share
        if place < stride:
            np.copyto(d_values, share)
        else:
            d_values += share
