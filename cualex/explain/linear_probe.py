"""Linear probes: how well a linear classifier on a layer's features tells the classes of a data set apart."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

from cualex.errors import DataError, UsageError

PENALTY = 0.01  # of the squared weights; features have a deviation of 1
STEPS, PRODUCTS = 50, 250  # of Newton's method, and of conjugate gradients in each step, at most
SMALLEST = 1e-5  # of the gradient's largest value, where the fit ends
NORMAL = 1.959964  # deviations on either side of a 95 % interval


@dataclass(frozen=True)
class Probe:
    """A linear classifier on features, and how it did on images that it was not fitted to.

    features: how many.  images, held_out: how many were fitted to, and judged.  right: of the held-out ones.  fitted:
    the accuracy on the images that it was fitted to.  steps: of Newton's method.  gradient: the largest value that was
    left of the loss's gradient; `converged` says whether the fit came to its end.
    """

    features: int
    images: int
    held_out: int
    right: int
    fitted: float
    steps: int
    gradient: float

    @property
    def accuracy(self) -> float:
        """The share of the held-out images that are right."""
        return self.right / self.held_out

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % interval of the accuracy."""
        return wilson(self.right, self.held_out)

    @property
    def converged(self) -> bool:
        """Whether the gradient has become small enough, not the number of steps too large."""
        return self.gradient <= SMALLEST


def wilson(right: int, count: int) -> tuple[float, float]:
    """Return the 95 % interval of a share of `right` in `count`, by the score of Wilson (1927).

    (p + z^2 / 2n +- z sqrt(p (1 - p) / n + z^2 / 4n^2)) / (1 + z^2 / n)    p = right / n, z = 1.96
    """
    p, z2 = right / count, NORMAL**2
    middle = (p + z2 / (2 * count)) / (1 + z2 / count)
    half = NORMAL * math.sqrt(p * (1 - p) / count + z2 / (4 * count**2)) / (1 + z2 / count)
    return max(0.0, middle - half), min(1.0, middle + half)


def probe(
    features: np.ndarray,
    labels: np.ndarray,
    held_out: np.ndarray,
    held_out_labels: np.ndarray,
    classes: int,
    penalty: float = PENALTY,
) -> Probe:
    """Fit a linear classifier to features (images, ...) and judge it on held-out ones.

    Multinomial logistic regression: over standardised features x with a 1 behind them,

        loss = mean of -log softmax(W x)[label] + penalty / 2 * SUM of W^2, the biases left out

    minimised by Newton's method, each step by conjugate gradients and halved until the loss falls; it ends where no
    value of the gradient is above 1e-5, or after 50 steps. Features are standardised by mean and deviation of the
    fitted images; constant ones are left out. Deterministic on one type of machine. Alain and Bengio (2016) call it a
    probe.

    labels: int (images,), from 0 to classes - 1. An image to judge whose features have NaN or Inf counts as wrong.
    Raise DataError where there are no images to fit to or to judge, and where features to fit to are not finite.
    """
    if not len(features) or not len(held_out):
        raise DataError(
            f"a probe needs images to fit to and held-out images: got {len(features):,} and {len(held_out):,}"
        )
    if penalty <= 0:
        raise UsageError(f"penalty must be above 0, got {penalty}")
    rows = features.reshape(len(features), -1)
    if wrong := int((~np.isfinite(rows)).any(axis=1).sum()):
        raise DataError(
            f"features of {wrong:,} of {len(rows):,} images have NaN or Inf: no probe can be fitted to them"
        )
    mean, deviation = rows.mean(axis=0, dtype=np.float64), rows.std(axis=0, dtype=np.float64)
    kept = deviation > 1e-6 * np.maximum(np.abs(mean), 1e-30)

    def standardised(values: np.ndarray) -> np.ndarray:
        x = (values.reshape(len(values), -1)[:, kept] - mean[kept]) / deviation[kept]
        return np.concatenate([x, np.ones((len(x), 1))], axis=1)

    x = standardised(rows)
    weights, steps, left = fit(x, labels, classes, penalty)
    scores = standardised(held_out) @ weights
    finite = np.isfinite(scores).all(axis=1)
    right = int((finite & (np.argmax(scores, axis=1) == held_out_labels)).sum())
    fitted = float((np.argmax(x @ weights, axis=1) == labels).mean())
    return Probe(rows.shape[1], len(rows), len(held_out), right, fitted, steps, left)


def fit(x: np.ndarray, labels: np.ndarray, classes: int, penalty: float) -> tuple[np.ndarray, int, float]:
    """Return weights (features, classes) that minimise the loss of `probe`, the steps, and the largest gradient left.

    x: float64 (images, features), of which the last is the bias's 1.
    """
    count = len(x)
    target = np.zeros((count, classes))
    target[np.arange(count), labels] = 1
    decay = np.full((x.shape[1], 1), penalty)
    decay[-1] = 0

    def shares(weights: np.ndarray) -> tuple[float, np.ndarray]:
        scores = x @ weights
        scores -= scores.max(axis=1, keepdims=True)
        raised = np.exp(scores)
        total = raised.sum(axis=1, keepdims=True)
        losses = np.log(total[:, 0]) - (scores * target).sum(axis=1)
        return float(losses.mean() + (decay * weights**2).sum() / 2), raised / total

    weights = np.zeros((x.shape[1], classes))
    loss, share = shares(weights)
    for steps in range(STEPS + 1):
        slope = x.T @ (share - target) / count + decay * weights
        left = float(np.abs(slope).max())
        if left <= SMALLEST or steps == STEPS:
            break
        step = -_solve(partial(_curvature, x, share, decay), slope)
        length, expected = 1.0, float((slope * step).sum())
        while True:
            moved, moved_share = shares(weights + length * step)
            if moved <= loss + 1e-4 * length * expected or length < 1e-6:
                break
            length /= 2
        if moved >= loss:  # float64 sees no further down
            break
        weights, loss, share = weights + length * step, moved, moved_share
    return weights, steps, left


def _curvature(x: np.ndarray, share: np.ndarray, decay: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Return the product of the loss's second derivatives with v."""
    along = x @ v
    return x.T @ (share * (along - (share * along).sum(axis=1, keepdims=True))) / len(x) + decay * v


def _solve(product: Callable[[np.ndarray], np.ndarray], slope: np.ndarray) -> np.ndarray:
    """Return about the v for which product(v) is the slope: conjugate gradients, closer where the slope is small."""
    v, residual = np.zeros_like(slope), slope.copy()
    direction, size = residual.copy(), float((residual**2).sum())
    enough = size * min(0.25, math.sqrt(size))
    for _ in range(PRODUCTS):
        if size <= enough:
            break
        curved = product(direction)
        share = size / float((direction * curved).sum())
        v += share * direction
        residual -= share * curved
        before, size = size, float((residual**2).sum())
        direction = residual + size / before * direction
    return v
