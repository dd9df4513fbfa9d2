"""Response normalisation within a channel, over a square of pixels.

    y[p, q] = x[p, q] / s[p, q]^beta,    s[p, q] = k + alpha * SUM over i, j of x[i, j]^2,
                                         p - n//2 <= i <= p + n//2,  q - n//2 <= j <= q + n//2

    dx[p, q] = dy[p, q] / s[p, q]^beta - 2 alpha beta x[p, q] * SUM over i, j of dy[i, j] x[i, j] / s[i, j]^(beta+1)

The window is cut off at the edges. Where k = 0 and it is all zero, y is 0, and so is dx. Nothing is saved: the
backward pass computes s from x again. Arrays are (towers, images, rows, columns, channels).
"""

import numpy as np

from cualex.engine.cuda.launching import THREADS, grid, sizes, vector
from cualex.engine.cuda.lrn import kernel_constants


def forward(device, x, y, saved=None, *, n, k, alpha, beta) -> None:
    """Normalise."""
    _launch(device, "spatial_lrn_forward", (x, y), x, n, k, alpha, beta)


def backward(device, x, saved, dy, dx, *, n, k, alpha, beta, relu=False) -> None:
    """Write the gradient of the input; with `relu`, that of the ReLU's input below it. `dx` may be `dy`.

    First the summands of every pixel, then their sums over windows.
    """
    summands = device.scratch("LRN summands", x.shape, np.float32)
    _launch(device, "spatial_lrn_summands", (x, dy, summands), x, n, k, alpha, beta)
    _launch(device, "spatial_lrn_backward", (x, dy, summands, dx), x, n, k, alpha, beta, RELU=int(relu))


def _launch(device, name, arguments, x, n, k, alpha, beta, **more) -> None:
    values = vector(device, x.shape[-1])
    device.launch(
        name,
        arguments,
        grid=grid(x.size // values),
        block=THREADS,
        **sizes(x),
        **kernel_constants(device, values, n, k, alpha, beta),
        **more,
    )
