"""Trends of a training's epochs that are significant against their noise: improving, overfitting."""

import itertools
import math
import statistics
from collections.abc import Sequence
from typing import Any

import numpy as np

LEAST, MOST = 4, 10  # epochs of a trend: a third of all, between these
CLEAR = 0.01  # least relative change
RISEN = 0.05  # least relative rise of the validation loss for overfitting
NOISES = 3.0  # and in standard deviations of the noise

# Quantiles of Student's t by degrees of freedom: exceeded by chance in 2.5 %.
Epoch = dict[str, Any]  # a record of the log: epoch, loss, val_loss, top1, rate, ...

T = {2: 4.303, 3: 3.182, 4: 2.776, 5: 2.571, 6: 2.447, 7: 2.365, 8: 2.306}


def improving(epochs: Sequence[Epoch]) -> tuple[bool | None, int]:
    """Return whether validation loss or top-1 error still fall, and the number of epochs of that trend.

    A straight line is fitted by least squares through the last epochs, a third of all, at least 4 and at most 10, but
    none before the last drop of the rate if 4 are left after it. One of both must fall, by Student's t of the slope at
    2.5 % (5 % for the two), and by at least 1 % of its mean over these epochs. None for fewer than 4 epochs.
    """
    over = min(len(epochs), max(LEAST, min(MOST, math.ceil(len(epochs) / 3))))
    if over < LEAST:
        return None, over
    since = _since_fall(epochs)
    over = since if LEAST <= since < over else over
    last = epochs[-over:]
    losses, errors = [epoch["val_loss"] for epoch in last], [1 - epoch["top1"] for epoch in last]
    if not np.isfinite(losses + errors).all():
        return None, over
    return falls(losses) or falls(errors), over


def _since_fall(epochs: Sequence[Epoch]) -> int:
    """Return the number of epochs since the rate last dropped to less than a half."""
    pairs = itertools.pairwise(reversed(epochs))
    return 1 + len(list(itertools.takewhile(lambda pair: pair[0]["rate"] > pair[1]["rate"] / 2, pairs)))


def falls(values: Sequence[float]) -> bool:
    """Return whether a sequence of 4 to 10 values falls significantly."""
    count, y = len(values), np.asarray(values, np.float64)
    x = np.arange(count) - (count - 1) / 2
    slope = (x @ y) / (x @ x)
    if -slope * (count - 1) < CLEAR * y.mean() or slope == 0:
        return False
    rest = y - y.mean() - slope * x
    return bool(-slope > T[count - 2] * math.sqrt((rest @ rest) / (count - 2) / (x @ x)))


def overfitting(epochs: Sequence[Epoch]) -> tuple[bool | None, Epoch | None]:
    """Return whether the validation loss has risen from its minimum while the training loss fell, and that epoch.

    The validation loss is averaged over up to 3 epochs. From the lowest average to the last it must have risen by 5 %
    and by 3 standard deviations of such a difference, estimated from the second differences of the epochs (free of a
    linear trend); and the training loss of the last epoch must lie below that of the epoch with the lowest validation
    loss. None for fewer than 4 epochs.
    """
    losses = [epoch["val_loss"] for epoch in epochs]
    if len(epochs) < LEAST or not np.isfinite(losses).all():
        return None, None
    width = max(1, min(3, len(epochs) // 3))
    means = np.convolve(losses, np.full(width, 1 / width), "valid")
    lowest = int(means.argmin())
    found = min(epochs[lowest : lowest + width], key=lambda epoch: epoch["val_loss"])
    # A second difference of independent noise has 6 times its variance; its median size is 0.6745 standard deviations.
    noise = statistics.median(abs(np.diff(losses, 2))) / (0.6745 * math.sqrt(6))
    rise = means[-1] - means[lowest]
    risen = rise > max(RISEN * means[lowest], NOISES * noise * math.sqrt(2 / width))
    return bool(risen and epochs[-1]["loss"] < found["loss"]), found
