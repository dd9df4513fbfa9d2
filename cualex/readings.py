"""Do images and weights go together? A network names labelled images as they are, and as if they were read otherwise.

    red and blue changed about     images that OpenCV has read or written, or weights that were trained on such
    bright and dark changed about  a negative; white digits on black for black ones on white
    half the mean picture          a mean picture that is twice too large
    twice the mean picture         ... or half as large as it should be
    no mean picture                weights that were trained without one
    the mean of these pictures     a mean picture of anything else

Where one of these fits much better than the images as they are, it says what is wrong with images or weights. Without
weights nothing can: a set whose colours are all changed about is a set like any other.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from cualex.model import Model
from cualex.weights import Weights

MOST = 256  # images that are named
SURE = 4  # errors of the mean by which another reading must be better
AS_THEY_ARE = "as they are"

# What becomes of the images (n, stored, stored, 3) uint8, and of the mean picture (stored, stored, 3).
READINGS: dict[str, Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]] = {
    AS_THEY_ARE: lambda images, mean: (images, mean),
    "red and blue changed about": lambda images, mean: (images[..., ::-1], mean),
    "bright and dark changed about": lambda images, mean: (255 - images, mean),
    "half the mean picture": lambda images, mean: (images, mean / 2),
    "twice the mean picture": lambda images, mean: (images, 2 * mean),
    "no mean picture": lambda images, mean: (images, 0 * mean),
    "the mean of these pictures": lambda images, mean: (images, images.mean(axis=0, dtype=np.float64)),
}


@dataclass(frozen=True)
class Reading:
    """Report one way to read images: how many of them are named right, their mean loss, and if it is better.

    better: more are right than of the images as they are, and the loss is smaller by more than chance makes it.
    """

    name: str
    right: int
    images: int
    loss: float
    better: bool = False


def readings(
    weights: Weights, images: np.ndarray, labels: np.ndarray, device: str = "cpu"
) -> Iterator[Reading]:
    """Yield each way to read images (n, stored, stored, 3) uint8, with labels of the weights' classes; see READINGS.

    The images as they are come first.
    """
    model, first = Model(weights, device), None
    for name, change in READINGS.items():
        changed, mean = change(images, weights.mean)
        mean = np.ascontiguousarray(mean, np.float32)
        reader = Model(replace(weights, mean=mean), parameters=model.parameters)
        probabilities = reader.probabilities(np.ascontiguousarray(changed))
        own = np.take_along_axis(probabilities, labels[:, None], 1)[:, 0].astype(np.float64)
        losses = -np.log(np.maximum(own, np.finfo(np.float32).tiny))
        right = int((probabilities.argmax(axis=1) == labels).sum())
        if first is None:
            first = losses, right
        gain = first[0] - losses
        sure = gain.mean() > SURE * gain.std() / math.sqrt(len(gain))
        yield Reading(name, right, len(labels), float(losses.mean()), bool(sure and right > first[1]))


def best(found: list[Reading]) -> Reading | None:
    """Return the way with the least loss of those that are better than the images as they are, or None."""
    return min(
        (reading for reading in found if reading.better), key=lambda reading: reading.loss, default=None
    )
