"""Scores of an image's views: the centre crop, or the paper's ten crops, whose probabilities are averaged.

    p = mean over views v of softmax(scores(v))            Section 4.1: corners and centre, and their mirror images

From the scores, since the engine's probabilities have the engine's precision, and small ones underflow to 0.
"""

from collections.abc import Callable, Iterator
from typing import Protocol

import numpy as np

from cualex.data import batches
from cualex.networks import Network
from cualex.plan import Plan, buffers


class Planned(Protocol):
    """What a Model offers to compute views."""

    network: Network

    def plan(self, batch: int, outputs: tuple[str, ...] = ()) -> Plan:
        """Return the inference plan for a batch size."""


def scores(
    model: Planned, images: np.ndarray, labels: np.ndarray, crops: int, between: Callable[[], None] = lambda: None
) -> Iterator[np.ndarray]:
    """Yield the scores for each view of the images whose label is not negative: (counted, classes).

    images: uint8 (n, stored, stored, 3).  crops: 1 or 10.  between: called before every run of the network.
    """
    layer = _scored(model)
    plan = model.plan(len(labels), (layer,))
    for view in batches.fixed_views(model.network.stored, model.network.crop, crops):
        between()
        plan.put(images, np.tile(view, (len(labels), 1)), labels)
        plan.run()
        yield plan.output(layer)[labels >= 0, :, 0, 0]


def fitting(model: Planned, batch: int) -> int:
    """Return the batch size, halved until the device has room for the plan of `scores`."""
    return buffers.fitting(lambda images: model.plan(images, (_scored(model),)), batch).batch


def _scored(model: Planned) -> str:
    """Return the name of the layer before softmax."""
    *_, layer, _ = model.network.layers
    return layer


def softmax(found: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return softmax(scores) (n, classes) in float64, and the log-probabilities (n,) of the labels."""
    shifted = found - found.max(axis=1, keepdims=True).astype(np.float64)
    labelled = np.take_along_axis(shifted, labels[:, None], 1)[:, 0]
    np.exp(shifted, out=shifted)
    total = shifted.sum(axis=1, keepdims=True)
    return np.divide(shifted, total, out=shifted), labelled - np.log(total[:, 0])


def probabilities(model: Planned, images: np.ndarray, batch: int, crops: int) -> np.ndarray:
    """Return the mean probabilities of the views, float64 (n, classes); the last batch is padded."""
    parts = []
    for first in range(0, len(images), batch):
        part = images[first : first + batch]
        labels = np.where(np.arange(batch) < len(part), 0, -1).astype(np.int32)
        total = np.zeros(())
        for found in scores(model, padded(part, batch), labels, crops):
            total = total + softmax(found, labels[labels >= 0])[0]
        parts.append(total / crops)
    return np.concatenate(parts)


def padded(images: np.ndarray, batch: int) -> np.ndarray:
    """Return a batch that begins with the images and ends with zeros."""
    missing = [(0, batch - len(images)), *[(0, 0)] * 3]
    return images if len(images) == batch else np.pad(images, missing)
