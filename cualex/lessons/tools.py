"""What lessons share: small sets of images, a small network in training, and figures that are shown where they run."""

import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from cualex.data.images import load
from cualex.data.sources import demo
from cualex.devices.control import Control
from cualex.layers import Layer
from cualex.model import Model
from cualex.networks import Network
from cualex.plan import Plan
from cualex.plots import figure as plots
from cualex.weights import Weights, initial
from cualex.weights.parameters import Parameters

SHARE = "CUALEX_LESSON_WORK"  # environment: the share of the work that lessons do; tests do less


@dataclass
class Output:
    """Where the figures of a lesson are written, and those that were: by `cualex lesson`, not in a notebook."""

    directory: Path
    name: str
    written: list[Path] = field(default_factory=list)


_output: Output | None = None


def work(count: int, least: int = 1) -> int:
    """Return how many updates or images a lesson takes: `count`, or the share of it that $CUALEX_LESSON_WORK says."""
    return max(round(count * float(os.environ.get(SHARE, "1"))), least)


@contextmanager
def figure(title: str = "", width: float = 8.0, height: float = 3.0, subtitle: str = "") -> Iterator[Any]:
    """Yield a matplotlib Figure to draw into, sizes in inches; at the end it is shown.

    A notebook shows it below the cell, `cualex lesson` writes it as PNG, as does the script by itself.
    """
    global _output
    if _output is not None:
        path = _output.directory / f"{_output.name}-{len(_output.written) + 1}.png"
        with plots.figure(path, (width, height), title, subtitle) as drawn:
            yield drawn
        _output.written.append(path)
        return
    try:
        from IPython.display import Image, display  # type: ignore[import-not-found]
    except ImportError:  # the script was run by Python itself
        _output = Output(Path(), "figure")
        with figure(title, width, height, subtitle) as drawn:
            yield drawn
        return
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "figure.png"
        with plots.figure(path, (width, height), title, subtitle) as drawn:
            yield drawn
        display(Image(path.read_bytes(), width=round(96 * width)))


@contextmanager
def written_to(directory: Path, name: str) -> Iterator[list[Path]]:
    """Write the figures that are drawn inside into a directory; yield the list of their paths, which grows."""
    global _output
    before, _output = _output, Output(directory, name)
    try:
        yield _output.written
    finally:
        _output = before


@cache
def demo_images(count: int, side: int = 32, split: str = "train") -> tuple[np.ndarray, np.ndarray]:
    """Return drawn images of the ten classes of `demo`, in turn: uint8 (count, side, side, 3), labels int32 (count,).

    Warm and cool rings, discs and so on (data/sources/demo.py): a class is a figure and an arrangement of colours.
    """
    classes = len(demo.CLASSES)
    files = [demo.encoded(0, split, number % classes, number // classes) for number in range(count)]
    images = np.stack([load(file, side) for file in files])
    return images, (np.arange(count) % classes).astype(np.int32)


class Unlabelled:
    """Images in memory as a split of which nobody knows the labels: all are 0. images: uint8 (n, side, side, 3)."""

    classes, skipped, mean, covariance, components = ("",), (), None, None, None

    def __init__(self, images: np.ndarray) -> None:
        """Keep the images."""
        self.images, self.size = images, images.shape[1]
        self.labels = np.zeros(len(images), np.int32)
        self.names = tuple(map(str, range(len(images))))

    def __len__(self) -> int:
        """Count the images."""
        return len(self.images)

    def read(self, indices: np.ndarray, out: np.ndarray) -> None:
        """Copy the images `indices` (k,) into `out`, uint8 (k, side, side, 3)."""
        out[:] = self.images[indices]


class Learner:
    """A network in training on images in memory.

    layers: by name, from the image to softmax.  images: uint8 (n, side, side, 3), of which the network sees crops.
    labels: int (n,).  scale: of the grey levels, after the mean image was taken off; 1/64 gives a deviation of about 1.
    augmented: train on random crops, half of them mirrored, and not on the centre.
    """

    def __init__(
        self,
        layers: Mapping[str, Layer],
        images: np.ndarray,
        labels: np.ndarray,
        *,
        crop: int | None = None,
        classes: int | None = None,
        rate: float = 0.01,
        momentum: float = 0.9,
        decay: float = 0.0,
        batch: int = 32,
        scale: float = 1 / 64,
        towers: int = 1,
        augmented: bool = False,
        seed: int = 0,
    ) -> None:
        """Draw initial weights from the seed, and make the plan of an update."""
        side = images.shape[1]
        self.images, self.labels = images, labels.astype(np.int32)
        count = classes or int(labels.max()) + 1
        self.network = Network("lesson", dict(layers), towers, count, crop or side, side, scale)
        self.parameters = Parameters(self.network)
        self.parameters.load(initial.draw(self.network, seed))
        self.control = Control(rate, momentum, decay, seed=seed)
        self.mean = images.mean(axis=0, dtype=np.float64).astype(np.float32)
        self.plan = Plan(self.parameters, batch, control=self.control)
        self.plan.put_mean(self.mean)
        names = [str(number) for number in range(count)]
        weights = Weights(self.network, self.parameters.unload(), names, self.mean)
        self.model = Model(weights, parameters=self.parameters)
        self._augmented = augmented
        self._random = np.random.default_rng(seed)
        self._order = np.zeros(0, int)

    def update(self) -> float:
        """Update the weights on the next batch of images in random order; return its loss."""
        batch = self.plan.batch
        if len(self._order) < batch:
            self._order = self._random.permutation(len(self.images))
        chosen, self._order = self._order[:batch], self._order[batch:]
        views = np.full((batch, 3), self.model.centre(), np.int32)
        if self._augmented:
            last = self.network.stored - self.network.crop
            views = self._random.integers(0, (last, last, 1), (batch, 3), np.int32, endpoint=True)
        self.plan.put(self.images[chosen], views, self.labels[chosen])
        loss = self.plan.run().result.loss
        self.control.step += 1
        return loss

    def train(self, updates: int) -> list[float]:
        """Make some updates; return their losses. Stop where a loss is NaN or Inf."""
        losses: list[float] = []
        while len(losses) < updates and np.isfinite(losses[-1:]).all():
            losses.append(self.update())
        return losses

    def accuracy(self, images: np.ndarray, labels: np.ndarray) -> float:
        """Return the share of images whose likeliest class is their label."""
        return float((self.model.probabilities(images).argmax(axis=1) == labels).mean())

    def maps(self, layer: str, images: np.ndarray) -> np.ndarray:
        """Return a layer's output for images: (n, channels, rows, columns), or (n, units)."""
        return self.model.features(images, layer)

    def weights(self) -> dict[str, np.ndarray]:
        """Return a copy of the weights and biases, by name ("conv1.weight")."""
        return self.parameters.unload()

    def gradients(self, count: int = 32) -> dict[str, np.ndarray]:
        """Return the gradients of the loss of the first images, by parameter; the weights stay as they are."""
        plan = Plan(self.parameters, count, sink="keep", control=Control(seed=0))
        plan.put_mean(self.mean)
        plan.put(self.images[:count], np.full((count, 3), self.model.centre(), np.int32), self.labels[:count])
        plan.run()
        return plan.gradients()
