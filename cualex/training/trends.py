"""Whether the figures of a training still move: trends of its epochs that are clearer than their noise."""

import itertools
import math
import statistics
from collections.abc import Sequence

import numpy as np

LEAST, MOST = 4, 10  # epochs that a trend is taken over: a third of all, between these
CLEAR = 0.01  # a trend moves a figure by at least this share of it
RISEN = 0.05  # share of the lowest validation loss that overfitting has put on top of it
NOISES = 3.0  # deviations of the noise that it is above

# Of Student's t with so many degrees of freedom: exceeded by chance in 2.5 %.
T = {2: 4.303, 3: 3.182, 4: 2.776, 5: 2.571, 6: 2.447, 7: 2.365, 8: 2.306}


def improving(epochs: Sequence[dict]) -> tuple[bool | None, int]:
    """Say whether validation loss or top-1 error still fall, and over how many epochs that was looked at.

    A straight line is fitted by least squares through the last epochs, a third of all, at least 4 and at most 10, but
    none before the last fall of the rate where 4 are left after it. One of both must fall, by Student's t of the slope
    at 2.5 % (5 % for the two), and by at least 1 % of its mean over these epochs. None where there are fewer than 4.
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


def _since_fall(epochs: Sequence[dict]) -> int:
    """Count the last epochs whose rate lies within a half of each next one's: those since a schedule divided it."""
    pairs = itertools.pairwise(reversed(epochs))
    return 1 + len(list(itertools.takewhile(lambda pair: pair[0]["rate"] > pair[1]["rate"] / 2, pairs)))


def falls(values: Sequence[float]) -> bool:
    """Say whether 4 to 10 values in a row clearly fall."""
    count, y = len(values), np.asarray(values, np.float64)
    x = np.arange(count) - (count - 1) / 2
    slope = (x @ y) / (x @ x)
    if -slope * (count - 1) < CLEAR * y.mean() or slope == 0:
        return False
    rest = y - y.mean() - slope * x
    return bool(-slope > T[count - 2] * math.sqrt((rest @ rest) / (count - 2) / (x @ x)))


def overfitting(epochs: Sequence[dict]) -> tuple[bool | None, dict | None]:
    """Say whether the validation loss has risen from its lowest while the training loss fell, and from which epoch on.

    The validation loss is averaged over up to 3 epochs. From its lowest average to the last it must have risen by 5 %
    and by 3 deviations of such a difference, as the second differences of the epochs (free of a linear trend) give
    them; and the training loss of the last epoch must lie below that of the epoch with the lowest validation loss.
    None where there are fewer than 4 epochs.
    """
    losses = [epoch["val_loss"] for epoch in epochs]
    if len(epochs) < LEAST or not np.isfinite(losses).all():
        return None, None
    width = max(1, min(3, len(epochs) // 3))
    means = np.convolve(losses, np.full(width, 1 / width), "valid")
    lowest = int(means.argmin())
    found = min(epochs[lowest : lowest + width], key=lambda epoch: epoch["val_loss"])
    # A second difference of independent noise has 6 times its variance; 0.6745 deviations are its median size.
    noise = statistics.median(abs(np.diff(losses, 2))) / (0.6745 * math.sqrt(6))
    rise = means[-1] - means[lowest]
    risen = rise > max(RISEN * means[lowest], NOISES * noise * math.sqrt(2 / width))
    return bool(risen and epochs[-1]["loss"] < found["loss"]), found
