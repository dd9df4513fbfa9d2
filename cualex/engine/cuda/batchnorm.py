"""Batch normalisation: each channel by its mean and variance over images and pixels.

    y = weight * (x - mean) * r + bias,    r = 1 / sqrt(variance + epsilon)

    dbias = SUM dy,    dweight = SUM dy (x - mean) r
    dx = weight * r * (dy - dbias / values - (x - mean) * r * dweight / values)

The last two terms are the gradients through the batch's mean and variance. Sums are computed in two stages: over some
of the pixels by each block, then over the blocks in their order. Maps are (towers, images, rows, columns, channels),
all else float32 (towers, channels).
"""

from math import prod

import numpy as np

from cualex.engine.cuda import gemm
from cualex.engine.cuda.launching import THREADS, grid, storage, vector

LANES = 32  # threads of a block along the channels
SHORTEST = 64  # pixels that a block is worth
BLOCKS = 264  # of one tower: twice the multiprocessors of a large GPU


def forward(device, x, weight, bias, y, mean, variance, *, epsilon) -> None:
    """Write the batch's mean and biased variance, and normalise with them."""
    slabs = _sums(device, x)
    device.launch(
        "batchnorm_statistics",
        (slabs, x, mean, variance),
        grid=grid(mean.size),
        block=THREADS,
        PIXELS=_pixels(x),
        CHANNELS=mean.size,
        LENGTH=x.shape[-1],
        SPLITS=len(slabs),
        PRECISION=storage(device),
    )
    infer(device, x, weight, bias, mean, variance, y, epsilon=epsilon)


def infer(device, x, weight, bias, mean, variance, y, *, epsilon) -> None:
    """Normalise with given mean and variance."""
    _over_values(device, "batchnorm_forward", (x, weight, bias, mean, variance, y), x, epsilon)


def backward(device, x, weight, mean, variance, dy, dx, sink, bias_sink, *, epsilon, relu=False) -> None:
    """Write the gradient of the input, and pass those of weight and bias to the sinks, which may update.

    With `relu`, the gradient is that of the input of the ReLU whose output is x. `dx` may be `dy`, or None.
    """
    slabs = _sums(device, x, dy, mean)
    dweight, dbias = (device.scratch(f"batchnorm {name}", (1, *mean.shape)) for name in ("weight", "bias"))
    device.launch(
        "batchnorm_slopes",
        (slabs, variance, dweight, dbias),
        grid=grid(mean.size),
        block=THREADS,
        CHANNELS=mean.size,
        SPLITS=len(slabs),
        EPSILON=epsilon,
    )
    if dx is not None:
        arguments = (x, weight, mean, variance, dweight, dbias, dy, dx)
        _over_values(device, "batchnorm_backward", arguments, x, epsilon, RELU=int(relu))
    gemm.sink_slabs(device, sink, dweight)
    gemm.sink_slabs(device, bias_sink, dbias)


def backward_frozen(device, x, weight, variance, dy, dx, *, epsilon, relu=False) -> None:
    """Write the gradient of the input where mean and variance are constants; `dx` may be `dy`."""
    arguments = (x, weight, None, variance, None, None, dy, dx)
    _over_values(device, "batchnorm_backward", arguments, x, epsilon, RELU=int(relu))


def average(device, batch_mean, batch_variance, mean, variance, *, momentum, control) -> None:
    """Update the running averages, unless the loss is not finite or a number overflowed."""
    device.launch(
        "batchnorm_average",
        (device.control, batch_mean, batch_variance, mean, variance),
        grid=grid(mean.size),
        block=THREADS,
        CHANNELS=mean.size,
        MOMENTUM=momentum,
        REST=1 - momentum,
    )


def _sums(device, x, dy=None, mean=None):
    """Launch the first stage; return its sums, float64 (splits, 2, towers, channels).

    The number of splits depends on one tower's shape alone.
    """
    towers, channels, pixels = x.shape[0], x.shape[-1], _pixels(x)
    each = vector(device, channels, most=4)
    across = -(-channels // (LANES * each))
    splits = max(1, min(pixels // SHORTEST, -(-BLOCKS // across)))
    slabs = device.scratch("batchnorm sums", (splits, 2, towers, channels), np.float64)
    device.launch(
        "batchnorm_sums",
        (x, dy, mean, slabs),
        grid=(across, splits, towers),
        block=THREADS,
        shared=2 * each * THREADS * 8,
        PIXELS=pixels,
        CHANNELS=channels,
        SPLITS=splits,
        EACH=each,
        BACKWARD=int(dy is not None),
        PRECISION=storage(device),
    )
    return slabs


def _over_values(device, name, arguments, x, epsilon, **constants) -> None:
    """Launch a kernel with some channels of a pixel per thread."""
    values = vector(device, x.shape[-1])
    device.launch(
        name,
        arguments,
        grid=grid(prod(x.shape[1:]) // values, len(x)),
        block=THREADS,
        PIXELS=_pixels(x),
        CHANNELS=x.shape[-1],
        EPSILON=epsilon,
        VECTOR=values,
        PRECISION=storage(device),
        **constants,
    )


def _pixels(x) -> int:
    """Count the values of a channel."""
    return prod(x.shape[1:-1])
