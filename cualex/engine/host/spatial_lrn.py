"""Response normalisation within a channel, over a square of pixels.

    y[p, q] = x[p, q] / s[p, q]^beta,    s[p, q] = k + alpha * SUM over i, j of x[i, j]^2,
                                         p - n//2 <= i <= p + n//2,  q - n//2 <= j <= q + n//2

    dx[p, q] = dy[p, q] / s[p, q]^beta - 2 alpha beta x[p, q] * SUM over i, j of dy[i, j] x[i, j] / s[i, j]^(beta+1)

The window is cut off at the edges. Where k = 0 and it is all zero, y is 0, and so is dx; and where its squares
overflow, both are 0, but y of the value whose own square does is NaN. `saved` is what lrn.py saves.
Arrays are (towers, images, rows, columns, channels).
"""

from dataclasses import dataclass

import numpy as np

from cualex.devices.host import HostDevice
from cualex.engine.host.chunks import each_piece
from cualex.engine.host.lrn import normalise, spread, to_beta


def forward(
    device: HostDevice,
    x: np.ndarray,
    y: np.ndarray,
    saved: np.ndarray | None,
    *,
    n: int,
    k: float,
    alpha: float,
    beta: float,
) -> None:
    """Normalise; `saved` may be None."""
    window = _Square(n // 2, alpha)

    def task(own, scratch):
        normalise(x[own], y[own], None if saved is None else saved[own], window, k, beta, scratch)

    each_piece(device, task, x)


def backward(
    device: HostDevice,
    x: np.ndarray,
    saved: np.ndarray,
    dy: np.ndarray,
    dx: np.ndarray,
    *,
    n: int,
    k: float,
    alpha: float,
    beta: float,
    relu: bool = False,
) -> None:
    """Write the gradient of the input; with `relu`, that of the ReLU's input below it. `dx` may be `dy`."""
    window = _Square(n // 2, 2 * alpha * beta)

    def task(own, scratch):
        power = to_beta(saved[own], beta, scratch("power", x[own].shape, x.dtype))
        spread(x[own], saved[own], power, dy[own], dx[own], window, beta, relu, scratch)

    each_piece(device, task, x)


@dataclass(frozen=True)
class _Square:
    """Sum over the neighbours of each pixel, up to `reach` rows and columns away, times a number."""

    reach: int
    times: float

    def sums(self, values: np.ndarray, scratch) -> np.ndarray:
        """Return the sums: down the columns first, then along the rows."""
        down = scratch("column sums", values.shape, values.dtype)
        sums = scratch("sums", values.shape, values.dtype)
        self._along(values, down, 1)
        self._along(down, sums, 2)
        sums *= self.times
        return sums

    def keep_apart(self, values: np.ndarray, sums: np.ndarray, scratch) -> None:
        """Do nothing: here no zero meets what overflows."""

    def _along(self, values, sums, axis) -> None:
        """Add neighbours along one axis."""
        length, before = values.shape[axis], (slice(None),) * axis
        np.copyto(sums, values)
        for away in range(1, min(self.reach, length - 1) + 1):
            first, last = (*before, slice(0, length - away)), (*before, slice(away, None))
            sums[first] += values[last]
            sums[last] += values[first]
