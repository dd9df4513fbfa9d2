"""The problem that both sides of a comparison compute: the same weights on the same batch.

Both processes make it from one seed, so nothing large is sent between them.
"""

import math
from dataclasses import dataclass, replace

import numpy as np

from cualex.networks import Network
from cualex.weights import initial

RATE, MOMENTUM, DECAY = 1e-5, 0.9, 0.0005  # the paper's, except for a rate at which these weights stay finite


@dataclass(frozen=True)
class Problem:
    """A network, its canonical weights, and a batch: images (n, stored, stored, 3) with views and labels."""

    network: Network
    tensors: dict[str, np.ndarray]
    images: np.ndarray
    views: np.ndarray
    labels: np.ndarray
    mean: np.ndarray

    def first(self, count: int) -> "Problem":
        """Return the problem with the first `count` images."""
        return self.part(slice(count))

    def part(self, which: slice) -> "Problem":
        """Return the problem with some of the images."""
        return replace(self, images=self.images[which], views=self.views[which], labels=self.labels[which])

    def crops(self) -> np.ndarray:
        """Return the preprocessed crops, minus the mean and scaled: float32 (n, 3, crop, crop)."""
        side, centre = self.network.crop, self.network.centre
        middle = self.mean[centre, centre]
        scale = np.array(self.network.scale, np.float32)
        crops = np.empty((len(self.images), 3, side, side), np.float32)
        for crop, image, (row, column, mirror) in zip(crops, self.images, self.views, strict=True):
            window = slice(row, row + side), slice(column, column + side)
            mean = self.mean[window]
            if self.network.mean_at == "centre":
                mean = middle[:, ::-1] if mirror else middle  # only the image is mirrored
            seen = (image[window] - mean) * scale
            crop[...] = (seen[:, ::-1] if mirror else seen).transpose(2, 0, 1)
        return crops


def make(network: Network, batch: int, seed: int = 0) -> Problem:
    """Draw weights and a batch.

    The weights preserve the variance of the maps from layer to layer (He and others, 2015), unlike the paper's, with
    which all classes start with nearly the same score: the loss must distinguish a wrong network from the right one.
    Batch normalisation preserves it anyway, and has its initial weights and averages.
    """
    rng = np.random.default_rng(seed)
    stored, spare = network.stored, network.stored - network.crop
    tensors: dict[str, np.ndarray] = {}
    for name, shape in network.parameters().items():
        deviation = 0.1 if len(shape) == 1 else math.sqrt(2 / math.prod(shape[1:]))
        if shape[0] == network.classes:
            deviation *= 0.1  # so that no score dominates
        tensors[name] = rng.standard_normal(shape, np.float32) * np.float32(deviation)
    norms = [stage.name for stage in network.stages() if stage.state]
    begun = initial.draw(network, seed) if norms else {}
    normalising = {name: tensor for name, tensor in begun.items() if name.partition(".")[0] in norms}
    return Problem(
        network=network,
        tensors=tensors | normalising,
        images=rng.integers(0, 256, (batch, stored, stored, 3), np.uint8),
        views=np.column_stack([rng.integers(0, spare + 1, (batch, 2)), rng.integers(0, 2, batch)]).astype(np.int32),
        labels=rng.integers(0, network.classes, batch).astype(np.int32),
        mean=rng.uniform(96, 160, (stored, stored, 3)).astype(np.float32),
    )
