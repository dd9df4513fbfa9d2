"""Local response normalisation across channels, alone and together with the max-pooling above it.

    y[c] = x[c] / s[c]^beta,    s[c] = k + alpha * SUM over j of x[j]^2,    c - n//2 <= j <= c + n//2

    dx[c] = dy[c] / s[c]^beta - 2 alpha beta x[c] * SUM over j of dy[j] x[j] / s[j]^(beta+1)

The window stays inside a tower's channels. Where k = 0 and it is all zero, y is 0, and so is dx; and where its squares
overflow, s is infinite and both are 0, but y of the channel whose own square does is NaN. Its sum is a product with a
band matrix. `saved` keeps for the backward pass what makes it cheap: the root s^(1/4) at the paper's beta of 3/4, of
which all else is a power, and s itself at any other beta.

Arrays are (towers, images, rows, columns, channels).
"""

from dataclasses import dataclass

import numpy as np

from cualex.devices.host import HostDevice
from cualex.engine.host import maxpool
from cualex.engine.host.chunks import each_piece

BLOCK = 32  # channels whose window sums one product makes


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
    window = _Window.over(x, n, alpha)

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
    window = _Window.over(x, n, 2 * alpha * beta)

    def task(own, scratch):
        power = to_beta(saved[own], beta, scratch("power", x[own].shape, x.dtype))
        spread(x[own], saved[own], power, dy[own], dx[own], window, beta, relu, scratch)

    each_piece(device, task, x)


def forward_pooled(
    device: HostDevice,
    x: np.ndarray,
    y: np.ndarray,
    saved: np.ndarray | None,
    *,
    n: int,
    k: float,
    alpha: float,
    beta: float,
    size: int,
    stride: int,
) -> None:
    """Normalise and take the maximum of windows; the normalised maps are never stored."""
    window = _Window.over(x, n, alpha)

    def task(own, scratch):
        normalised = scratch("normalised", x[own].shape, x.dtype)
        normalise(x[own], normalised, None if saved is None else saved[own], window, k, beta, scratch)
        maxpool.pool(normalised, y[own], size, stride, scratch)

    each_piece(device, task, x)


def backward_pooled(
    device: HostDevice,
    x: np.ndarray,
    saved: np.ndarray,
    y: np.ndarray,
    dy: np.ndarray,
    dx: np.ndarray,
    *,
    n: int,
    k: float,
    alpha: float,
    beta: float,
    size: int,
    stride: int,
    relu: bool = False,
) -> None:
    """Write the gradient of the input from that of the pooled maps, in one step.

    With `relu` what the pooling gives is zero where x is, and so is then all the rest.
    """
    window = _Window.over(x, n, 2 * alpha * beta)

    def task(own, scratch):
        normalised = scratch("normalised", x[own].shape, x.dtype)
        power = to_beta(saved[own], beta, scratch("power", x[own].shape, x.dtype))
        np.divide(x[own], power, out=normalised)
        maxpool.unpool(normalised, y[own], dy[own], dx[own], size, stride, scratch, relu)
        spread(x[own], saved[own], power, dx[own], dx[own], window, beta, False, scratch)

    each_piece(device, task, x)


@dataclass(frozen=True)
class _Window:
    """Sum over the neighbours of each channel, times a number: a product with a band matrix."""

    band: np.ndarray
    reach: int
    times: float

    @classmethod
    def over(cls, x: np.ndarray, n: int, times: float) -> "_Window":
        """Make the window of n channels for maps like x."""
        j, c = np.ogrid[: x.shape[-1], : x.shape[-1]]
        return cls(np.where(abs(j - c) <= n // 2, times, 0).astype(x.dtype), n // 2, times)

    def sums(self, values: np.ndarray, scratch) -> np.ndarray:
        """Return the sums, a block of channels at a time: most of the band is zero.

        Each row of pixels is a matrix of its own, for BLAS multiplies small ones without a copy.
        """
        sums = scratch("sums", values.shape, values.dtype)
        for first in range(0, values.shape[-1], BLOCK):
            own = slice(first, first + BLOCK)
            seen = slice(max(0, first - self.reach), first + BLOCK + self.reach)
            np.matmul(values[..., seen], self.band[seen, own], out=sums[..., own])
        return sums

    def keep_apart(self, values: np.ndarray, sums: np.ndarray, scratch) -> None:
        """Write the sums again where values are Inf or NaN, so that these reach the channels of their windows alone.

        In the product they meet the band's zeros, and 0 * inf is NaN. A sum that overflows before it is multiplied by
        `times` is infinite, as it is in a kernel. The bits of other channels stay as they are.
        """
        bad = ~np.isfinite(values)
        if bad.any():
            self.sums(np.where(bad, 0, values).astype(values.dtype), scratch)
        largest = np.finfo(sums.dtype).max * min(1.0, abs(self.times))
        np.copyto(sums, np.copysign(np.inf, sums), where=np.abs(sums) >= largest)
        added, channels = np.where(bad, values * self.times, 0).astype(sums.dtype), values.shape[-1]
        for away in range(-self.reach, self.reach + 1):
            last = channels - abs(away)
            if last > 0:
                sums[..., max(away, 0) :][..., :last] += added[..., max(-away, 0) :][..., :last]


def to_beta(saved, beta, power) -> np.ndarray:
    """Write s^beta, from what was saved, and return it."""
    if beta == 0.75:
        np.multiply(saved, saved, out=power)
        power *= saved
        return power
    return np.power(saved, beta, out=power)


def normalise(x, y, saved, window, k, beta, scratch) -> None:
    """Normalise some images of one tower, (images, rows, columns, channels); y is work space until the end."""
    s = window.sums(np.multiply(x, x, out=y), scratch)
    overflows = not np.isfinite(np.vdot(s, s))
    if overflows:
        window.keep_apart(y, s, scratch)
    s += k
    if k == 0:
        np.copyto(s, np.inf, where=s == 0)  # a window of zeros: x / infinity is 0, and so is the gradient
    kept = s if saved is None else saved
    if beta == 0.75:
        np.sqrt(s, out=s)
        np.sqrt(s, out=kept)
    elif kept is not s:
        np.copyto(kept, s)
    np.divide(x, to_beta(kept, beta, y), out=y)
    if overflows:
        np.copyto(y, np.nan, where=~np.isfinite(x * x))  # so that it reaches the loss


def spread(x, saved, power, dy, dx, window, beta, relu, scratch) -> None:
    """Take some images of one tower back through the normalisation; the window holds 2 alpha beta.

    `power` is s^beta, and is used up; `dx` may be `dy`. Few arrays are used, for those stay in the cache.
    """
    np.divide(dy, power, out=dx)
    s = np.multiply(power, saved, out=power) if beta == 0.75 else saved
    inner = np.divide(x, s, out=power)
    inner *= dx  # dy x / s^(beta + 1)
    others = window.sums(inner, scratch)
    if not np.isfinite(np.vdot(others, others)):
        window.keep_apart(inner, others, scratch)
    others *= x
    dx -= others
    if relu:
        dx *= np.greater(x, 0, out=scratch("positive", x.shape, bool))
