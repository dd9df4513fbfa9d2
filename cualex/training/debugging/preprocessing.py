"""Check whether labelled images fit a network's weights, or one of the two was preprocessed differently.

The network classifies the images as they are, and with common mistakes of the preprocessing:

    red and blue swapped       images or weights that went through OpenCV, whose order is blue, green, red
    inverted                   a negative: white digits on black for black ones on white
    half the mean image        a mean image twice too large
    twice the mean image       one half as large as it should be
    no mean image subtracted   weights that were trained without one
    these images' own mean     the mean image of another set

A change that fits significantly better than the images as they are is the mistake. Without weights it cannot be found:
a set with red and blue swapped throughout is a set like any other.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from cualex.model import Model
from cualex.weights import Weights

MOST = 256  # images that are classified
FEWEST = 16  # images, from which a difference can be significant
SURE = 4  # standard errors by which the mean loss must be smaller
UNCHANGED = "as they are"

# From images (n, stored, stored, 3) uint8 and mean image (stored, stored, 3) to the two that replace them.
CHANGES: dict[str, Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]] = {
    UNCHANGED: lambda images, mean: (images, mean),
    "red and blue swapped": lambda images, mean: (images[..., ::-1], mean),
    "inverted": lambda images, mean: (255 - images, mean),
    "half the mean image": lambda images, mean: (images, mean / 2),
    "twice the mean image": lambda images, mean: (images, 2 * mean),
    "no mean image subtracted": lambda images, mean: (images, 0 * mean),
    "these images' own mean": lambda images, mean: (images, images.mean(axis=0, dtype=np.float64)),
}


@dataclass(frozen=True)
class Fit:
    """Result of one change: correct images of all, and the mean cross-entropy.

    better: more are correct than unchanged, and the loss is smaller by SURE standard errors, with at least FEWEST
    images.
    """

    change: str
    right: int
    images: int
    loss: float
    better: bool = False


def fits(weights: Weights, images: np.ndarray, labels: np.ndarray, device: str = "cpu") -> Iterator[Fit]:
    """Yield the fits of all CHANGES, unchanged first.

    images: (n, stored, stored, 3) uint8.  labels: (n,), indices into the weights' classes.
    """
    model, unchanged = Model(weights, device), None
    for name, change in CHANGES.items():
        changed, mean = change(images, weights.mean)
        mean = np.ascontiguousarray(mean, np.float32)
        reader = Model(replace(weights, mean=mean), parameters=model.parameters)
        probabilities = reader.probabilities(np.ascontiguousarray(changed))
        labelled = np.take_along_axis(probabilities, labels[:, None], 1)[:, 0].astype(np.float64)
        losses = -np.log(np.maximum(labelled, np.finfo(np.float32).tiny))
        right = int((probabilities.argmax(axis=1) == labels).sum())
        if unchanged is None:
            unchanged = losses, right
        gain = unchanged[0] - losses
        sure = len(gain) >= FEWEST and gain.mean() > SURE * gain.std() / math.sqrt(len(gain))
        yield Fit(name, right, len(labels), float(losses.mean()), bool(sure and right > unchanged[1]))


def best(candidates: Sequence[Fit]) -> Fit | None:
    """Return the fit with the smallest loss among those better than unchanged, or None."""
    return min((fit for fit in candidates if fit.better), key=lambda fit: fit.loss, default=None)
