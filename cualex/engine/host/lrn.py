"""Local response normalisation across channels, alone and together with the max-pooling above it.

    y[c] = x[c] / s[c]^beta,    s[c] = k + alpha * SUM over j of x[j]^2,    c - n//2 <= j <= c + n//2

    dx[c] = dy[c] / s[c]^beta - 2 alpha beta x[c] * SUM over j of dy[j] x[j] / s[j]^(beta+1)

The window stays inside a tower's channels. Its sum is a product with a band matrix. For the backward pass
`saved` keeps s^(1/4), whose cube is s^(3/4) at the paper's beta of 3/4, and s itself at any other beta.

Arrays are (towers, pictures, rows, columns, channels).
"""

import numpy as np

from cualex.engine.host import maxpool

PIXELS = 2048  # pixels normalised at a time, so that the work arrays stay in the cache


def forward(device, x, y, saved, *, n, k, alpha, beta) -> None:
    """Normalise; `saved` may be None."""
    band = alpha * _band(x.shape[-1], n, x.dtype)

    def task(tower, picture, scratch):
        _normalise(
            x[tower, picture], y[tower, picture], _part(saved, tower, picture), band, k, beta, scratch
        )

    device.grid(task, *x.shape[:2])


def backward(device, x, saved, dy, dx, *, n, k, alpha, beta, relu=False) -> None:
    """Write the gradient of the input; with `relu`, that of the ReLU's input below it. `dx` may be `dy`."""
    band = (2 * alpha * beta) * _band(x.shape[-1], n, x.dtype).T

    def task(tower, picture, scratch):
        own = tower, picture
        _spread(x[own], saved[own], dy[own], dx[own], band, beta, relu, scratch)

    device.grid(task, *x.shape[:2])


def forward_pooled(device, x, y, saved, *, n, k, alpha, beta, size, stride) -> None:
    """Normalise and take the maximum of windows; the normalised maps are never stored."""
    band = alpha * _band(x.shape[-1], n, x.dtype)

    def task(tower, picture, scratch):
        normalised = scratch("normalised", x.shape[2:], x.dtype)
        _normalise(x[tower, picture], normalised, _part(saved, tower, picture), band, k, beta, scratch)
        maxpool.pool(normalised[None], y[tower, picture][None], size, stride, scratch)

    device.grid(task, *x.shape[:2])


def backward_pooled(device, x, saved, y, dy, dx, *, n, k, alpha, beta, size, stride, relu=False) -> None:
    """Write the gradient of the input from that of the pooled maps, in one step."""
    band = (2 * alpha * beta) * _band(x.shape[-1], n, x.dtype).T

    def task(tower, picture, scratch):
        own = tower, picture
        normalised = scratch("normalised", x.shape[2:], x.dtype)
        dn = scratch("normalised gradient", x.shape[2:], x.dtype)
        np.divide(x[own], _power(saved[own], beta, scratch), out=normalised)
        maxpool.unpool(normalised[None], y[own][None], dy[own][None], dn[None], size, stride, scratch)
        _spread(x[own], saved[own], dn, dx[own], band, beta, relu, scratch)

    device.grid(task, *x.shape[:2])


def _band(channels, n, dtype) -> np.ndarray:
    """Return ones where channel j (row) lies in the window of channel c (column)."""
    j, c = np.ogrid[:channels, :channels]
    return (abs(j - c) <= n // 2).astype(dtype)


def _part(saved, tower, picture):
    return None if saved is None else saved[tower, picture]


def _power(saved, beta, scratch) -> np.ndarray:
    """Return s^beta from what was saved."""
    power = scratch("power", saved.shape, saved.dtype)
    if beta == 0.75:
        np.multiply(saved, saved, out=power)
        power *= saved
        return power
    return np.power(saved, beta, out=power)


def _bands(x) -> list[slice]:
    """Cut a picture into bands of rows of about `PIXELS` pixels."""
    rows = max(1, PIXELS // x.shape[1])
    return [slice(first, first + rows) for first in range(0, len(x), rows)]


def _windowed(values, band, scratch) -> np.ndarray:
    """Return the sums over the window of each channel."""
    sums = scratch("sums", values.shape, values.dtype)
    channels = values.shape[-1]
    np.matmul(values.reshape(-1, channels), band, out=sums.reshape(-1, channels))
    return sums


def _normalise(x, y, saved, band, k, beta, scratch) -> None:
    """Normalise one picture of one tower: (rows, columns, channels)."""
    for own in _bands(x):
        squares = np.multiply(x[own], x[own], out=scratch("squares", x[own].shape, x.dtype))
        s = _windowed(squares, band, scratch)
        s += k
        if beta == 0.75:
            np.sqrt(s, out=s)
            np.sqrt(s, out=s)
        if saved is not None:
            np.copyto(saved[own], s)
        np.divide(x[own], _power(s, beta, scratch), out=y[own])


def _spread(x, saved, dy, dx, band, beta, relu, scratch) -> None:
    """Take one picture of one tower back through the normalisation; `band` holds 2 alpha beta."""
    for own in _bands(x):
        xs, qs = x[own], saved[own]
        power = _power(qs, beta, scratch)
        direct = np.divide(dy[own], power, out=scratch("direct", xs.shape, x.dtype))
        s = np.multiply(power, qs, out=power) if beta == 0.75 else qs
        ratio = np.divide(xs, s, out=scratch("squares", xs.shape, x.dtype))
        ratio *= direct
        others = _windowed(ratio, band, scratch)
        others *= xs
        direct -= others
        if relu:
            direct *= np.greater(xs, 0, out=scratch("positive", xs.shape, bool))
        np.copyto(dx[own], direct)
