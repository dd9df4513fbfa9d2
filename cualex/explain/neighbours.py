"""Images that a network finds alike: distances between their features, and a plane to draw them on."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from cualex.errors import UsageError

METRICS = ("cosine", "l2")
BLOCK = 1024  # rows of features whose distances are computed at a time


@dataclass(frozen=True)
class Neighbour:
    """An image that is near another: its index among those given, itself, and the distance."""

    index: int
    image: Any
    distance: float

    def __repr__(self) -> str:
        return f"Neighbour(image {self.index}, distance {self.distance:.3g})"


def distances(query: np.ndarray, features: np.ndarray, metric: str = "cosine") -> np.ndarray:
    """Return the distances of a query (features,) to rows (n, features): float64 (n,).

        cosine    1 - q . f / (|q| |f|), of a row of zeros 1        l2    |q - f|

    Raise UsageError for another metric.
    """
    if metric not in METRICS:
        raise UsageError(f"metric {metric!r}: expected {' or '.join(METRICS)}")
    q = np.asarray(query, np.float64).reshape(-1)
    found = []
    for first in range(0, len(features), BLOCK):
        rows = np.asarray(features[first : first + BLOCK], np.float64).reshape(-1, q.size)
        if metric == "l2":
            found.append(np.sqrt(np.square(rows - q).sum(axis=1)))
            continue
        norms = np.sqrt(np.square(rows).sum(axis=1)) * np.sqrt(np.square(q).sum())
        products = (rows * q).sum(axis=1)  # not a matrix product: equal rows have equal distances, to the bit
        found.append(1 - np.divide(products, norms, out=np.zeros_like(norms), where=norms > 0))
    return np.concatenate(found) if found else np.zeros(0)


def nearest(
    query: np.ndarray, features: np.ndarray, images: Sequence[Any], count: int, metric: str = "cosine"
) -> list[Neighbour]:
    """Return the `count` nearest of images to a query, by features; among equals the earlier image is nearer.

    Krizhevsky et al. (2012), section 6.1, compare images by the Euclidean distance of the last hidden layer.
    """
    found = distances(query, features, metric)
    order = np.argsort(found, kind="stable")[:count]
    return [Neighbour(int(index), images[index], float(found[index])) for index in order]


@dataclass(frozen=True, eq=False)
class Embedding:
    """Images on a plane, or a line or a space: their principal components.

    points: float64 (images, dimensions).  explained: the share of the variance along each dimension (dimensions,).
    """

    points: np.ndarray
    explained: np.ndarray


def principal_components(features: np.ndarray, dimensions: int = 2) -> Embedding:
    """Return the principal components of features (n, features): the directions in which they differ most.

        features - mean = U S V^T    points = U S, the first columns    explained = S^2 / SUM S^2

    Each direction is turned so that its largest component is positive, so that the same features give the same plane.
    Where there are fewer than `dimensions`, the points are 0 along the others. Pearson (1901).
    """
    if dimensions < 1:
        raise UsageError(f"dimensions must be 1 or more, got {dimensions}")
    rows = np.asarray(features, np.float64).reshape(len(features), -1)
    left, sizes, directions = np.linalg.svd(rows - rows.mean(axis=0), full_matrices=False)
    signs = np.sign(directions[np.arange(len(directions)), np.abs(directions).argmax(axis=1)])
    points = np.zeros((len(rows), dimensions))
    kept = min(dimensions, len(sizes))
    points[:, :kept] = (left * sizes * np.where(signs == 0, 1, signs))[:, :kept]
    total, explained = np.square(sizes).sum(), np.zeros(dimensions)
    explained[:kept] = np.square(sizes[:kept]) / total if total > 0 else 0
    return Embedding(points, explained)
