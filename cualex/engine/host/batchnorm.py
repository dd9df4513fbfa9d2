"""Batch normalisation: each channel by its mean and variance over images and pixels.

    y = weight * (x - mean) * r + bias,    r = 1 / sqrt(variance + epsilon)

    dbias = SUM dy,    dweight = SUM dy (x - mean) r
    dx = weight * r * (dy - dbias / values - (x - mean) * r * dweight / values)

The last two terms are what the batch's own mean and variance add, as each is made of every x. Sums are float64, of
each piece of images and then of the pieces in their order. Squares are summed about the channel's first value, so
that a mean far from zero costs the variance nothing. Maps are (towers, images, rows, columns, channels), all else
(towers, channels).
"""

import numpy as np

from cualex.devices.control import Control
from cualex.devices.host import HostDevice
from cualex.engine.host.chunks import each_piece, pieces
from cualex.engine.weight_ops import Sink


def forward(
    device: HostDevice,
    x: np.ndarray,
    weight: np.ndarray,
    bias: np.ndarray,
    y: np.ndarray,
    mean: np.ndarray,
    variance: np.ndarray,
    *,
    epsilon: float,
) -> None:
    """Write the batch's mean and biased variance, and normalise by them."""
    pivot = x[:, 0, 0, 0].astype(np.float64)

    def from_pivot(own, scratch):
        difference = np.subtract(x[own], pivot[own[0]], out=scratch("difference", x[own].shape, np.float64))
        yield difference
        yield np.multiply(difference, difference, out=difference)

    first, second = _sums(device, x, from_pivot) / _values(x)
    np.copyto(mean, pivot + first, casting="same_kind")
    np.copyto(variance, np.maximum(second - first * first, 0), casting="same_kind")
    infer(device, x, weight, bias, mean, variance, y, epsilon=epsilon)


def infer(
    device: HostDevice,
    x: np.ndarray,
    weight: np.ndarray,
    bias: np.ndarray,
    mean: np.ndarray,
    variance: np.ndarray,
    y: np.ndarray,
    *,
    epsilon: float,
) -> None:
    """Normalise by a mean and a variance that are given."""
    scale = (weight * _reciprocal(variance, epsilon)).astype(x.dtype)

    def task(own, scratch):
        tower = own[0]
        z = np.subtract(x[own], mean[tower], out=scratch("normalised", x[own].shape, x.dtype))
        z *= scale[tower]
        np.add(z, bias[tower], out=y[own])

    each_piece(device, task, x)


def backward(
    device: HostDevice,
    x: np.ndarray,
    weight: np.ndarray,
    mean: np.ndarray,
    variance: np.ndarray,
    dy: np.ndarray,
    dx: np.ndarray | None,
    sink: Sink,
    bias_sink: Sink,
    *,
    epsilon: float,
    relu: bool = False,
) -> None:
    """Write the gradient of the input, and give the sinks those of weight and bias, which they may update.

    With `relu`, the gradient is that of the input of the ReLU that made x. `dx` may be `dy`, or None.
    """
    reciprocal = _reciprocal(variance, epsilon)

    def with_differences(own, scratch):
        yield dy[own]
        difference = np.subtract(x[own], mean[own[0]], out=scratch("difference", x[own].shape, x.dtype))
        yield np.multiply(difference, dy[own], out=difference)

    dbias, products = _sums(device, x, with_differences)
    dweight = products * reciprocal
    scale = (weight * reciprocal).astype(x.dtype)
    shift = (dbias / _values(x)).astype(x.dtype)
    slope = (dweight * reciprocal / _values(x)).astype(x.dtype)

    if dx is not None:

        def task(own, scratch):
            tower = own[0]
            z = np.subtract(x[own], mean[tower], out=scratch("normalised", x[own].shape, x.dtype))
            z *= slope[tower]
            z += shift[tower]
            np.subtract(dy[own], z, out=z)
            z *= scale[tower]
            if relu:
                z *= np.greater(x[own], 0, out=scratch("positive", z.shape, bool))
            np.copyto(dx[own], z)

        each_piece(device, task, x)
    for tower in range(len(x)):
        sink(tower, dweight[tower].astype(x.dtype))
        bias_sink(tower, dbias[tower].astype(x.dtype))


def backward_frozen(
    device: HostDevice,
    x: np.ndarray,
    weight: np.ndarray,
    variance: np.ndarray,
    dy: np.ndarray,
    dx: np.ndarray,
    *,
    epsilon: float,
    relu: bool = False,
) -> None:
    """Write the gradient of the input where mean and variance are given, and none of its own; `dx` may be `dy`."""
    scale = (weight * _reciprocal(variance, epsilon)).astype(x.dtype)

    def task(own, scratch):
        z = np.multiply(dy[own], scale[own[0]], out=scratch("normalised", x[own].shape, x.dtype))
        if relu:
            z *= np.greater(x[own], 0, out=scratch("positive", z.shape, bool))
        np.copyto(dx[own], z)

    each_piece(device, task, x)


def average(
    device: HostDevice,
    batch_mean: np.ndarray,
    batch_variance: np.ndarray,
    mean: np.ndarray,
    variance: np.ndarray,
    *,
    momentum: float,
    control: Control,
) -> None:
    """Move the running averages towards the batch's, unless its loss was not finite or a number overflowed."""
    if not control.finite:
        return
    good = np.isfinite(batch_mean) & np.isfinite(batch_variance)
    for running, own in ((mean, batch_mean), (variance, batch_variance)):
        np.add(
            running * running.dtype.type(momentum),
            own * running.dtype.type(1 - momentum),
            out=running,
            where=good,
        )


def _sums(device, x, terms) -> np.ndarray:
    """Sum the two arrays that `terms(own, scratch)` yields of each piece, over images and pixels.

    Return float64 (2, towers, channels).
    """
    cut, channels = pieces(x), x.shape[-1]
    parts = np.zeros((len(cut), 2, channels))

    def task(i, scratch):
        for part, term in zip(parts[i], terms(cut[i], scratch), strict=True):
            np.sum(term, axis=(0, 1, 2), dtype=np.float64, out=part)

    device.run(task, len(cut))
    total = np.zeros((2, len(x), channels))
    for (tower, _), part in zip(cut, parts, strict=True):
        total[:, tower] += part
    return total


def _values(x) -> int:
    """Count the values of a channel."""
    return x[0, ..., 0].size


def _reciprocal(variance, epsilon) -> np.ndarray:
    """Return 1 / sqrt(variance + epsilon) in float64."""
    return 1 / np.sqrt(variance.astype(np.float64) + epsilon)
