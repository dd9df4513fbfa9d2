"""What the watch on training reads of each layer: how large weights and their changes are, and how many units are zero.

    mean |w|     of a parameter, and mean |dw| of the change that the last update made, as the program of 2012 printed.
                 An update is w <- w + v, so the change is the velocity, and nothing need be kept for it.
    zeros        the share of a ReLU's outputs that are zero.
    dead         the share of its filters, or units, that are zero on every image looked at. On right data of two
                 classes nine tenths of fc7's units may be; but nothing passes a layer whose units all are.
    input        mean and deviation of what the network reads: images less the mean image, in levels of 0 to 255.

Nothing is written that the training reads, so that no bit of it changes. Both are made on the device; what comes from
there are a few numbers. Weights and velocities are read once, of what an update reads and writes five times; a look at
p images is a forward pass over them, a third of their share of an update.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass

import numpy as np

from cualex.errors import OutOfMemory
from cualex.model import Model
from cualex.weights.parameters import Parameters

OFF_CENTRE = 2 / 3  # of the deviation: 3.8 errors of the mean of 32 images, were each of one shade
PARTS = 256  # sums of absolute values: enough blocks for a GPU
SLICES = 64  # counts of positive values a channel


@dataclass(frozen=True)
class Size:
    """Hold the mean absolute value of a parameter, and that of its change by the last update; None under Adam."""

    mean: float
    change: float | None


@dataclass(frozen=True)
class Activity:
    """Hold the share of zeros behind a ReLU, and the share of its filters that are dead."""

    zeros: float
    dead: float


@dataclass(frozen=True)
class Input:
    """Hold what the network reads of red, green and blue: the mean of each, and the deviation, in levels."""

    mean: tuple[float, float, float]
    deviation: tuple[float, float, float]

    @property
    def off_centre(self) -> bool:
        """Say whether the mean image cannot be that of these images: what is left of them is far from zero."""
        mean, deviation = abs(np.mean(self.mean)), math.sqrt(np.mean(np.square(self.deviation)))
        return bool(mean > OFF_CENTRE * deviation)


@dataclass(frozen=True)
class Figures:
    """Hold the sizes of all parameters and the activity of all ReLUs by their names, on so many images.

    layers: those that have either, in the order of the network.  input: what the network reads of the images.
    """

    layers: tuple[str, ...]
    sizes: dict[str, Size]
    activity: dict[str, Activity]
    images: int
    input: Input

    def document(self) -> dict:
        """Return plain values, of six digits, for the log."""
        return {
            "pictures": self.images,
            "input": _rounded(self.input),
            "parameters": {name: _rounded(size) for name, size in self.sizes.items()},
            "relus": {name: _rounded(activity) for name, activity in self.activity.items()},
        }


def _rounded(figures: Size | Activity | Input) -> dict:
    held = {name: value for name, value in asdict(figures).items() if value is not None}
    return {
        name: [_digits(each) for each in value] if isinstance(value, tuple) else _digits(value)
        for name, value in held.items()
    }


def _digits(value: float) -> float:
    return float(f"{value:.6g}")


def take(model: Model, images: np.ndarray, factors: Mapping[str, float] | None = None) -> Figures:
    """Read all figures; `images` (n, stored, stored, 3) uint8 are those that the ReLUs are shown, at their centre.

    `factors` of the rate are those of `Rule`.
    """
    own, seen = sizes(model.parameters, factors or {}), activity(model, images)
    named = {name.rpartition(".")[0] for name in own} | set(seen)
    layers = tuple(name for name in model.network.layers if name in named)
    return Figures(layers, own, seen, len(images), read(model, images))


def read(model: Model, images: np.ndarray) -> Input:
    """Return what the network reads of images (n, stored, stored, 3) at their centre."""
    row, column, _ = model.centre()
    seen = slice(row, row + model.network.crop), slice(column, column + model.network.crop)
    values = images[:, *seen].astype(np.float32) - model.mean[seen]
    means, deviations = (
        values.mean(axis=(0, 1, 2), dtype=np.float64),
        values.std(axis=(0, 1, 2), dtype=np.float64),
    )
    return Input(tuple(means.tolist()), tuple(deviations.tolist()))


def sizes(parameters: Parameters, factors: Mapping[str, float]) -> dict[str, Size]:
    """Return the mean absolute value of each parameter and of its velocity, 0 for what is frozen."""
    weights, velocities = _totals(parameters, parameters.arrays), _totals(parameters, parameters.velocities)
    adam = any(name.endswith(tuple(f".{own}" for own in weights)) for name in velocities)
    found = {}
    for name, shape in parameters.network.parameters().items():
        count = math.prod(shape)
        change = velocities.get(name, 0.0) / count if factors.get(name, 1.0) else 0.0
        found[name] = Size(weights[name] / count, None if adam else change)
    return found


def finite(parameters: Parameters) -> bool:
    """Say whether all weights, velocities and what else is kept are numbers."""
    both = (_totals(parameters, arrays) for arrays in (parameters.arrays, parameters.velocities))
    return all(math.isfinite(total) for totals in both for total in totals.values())


def _totals(parameters: Parameters, arrays: dict) -> dict[str, float]:
    """Sum the absolute values of arrays that lie on several places; the padding of an engine is zero."""
    queued = []
    for (name, place), array in arrays.items():
        device = parameters.devices[place]
        sums = device.allocate((PARTS,), np.float64)
        parameters.engine.statistics.absolute_sums(device, array, sums)
        queued.append((name, device, sums))
    totals: dict[str, float] = {}
    for name, device, sums in queued:
        totals[name] = totals.get(name, 0.0) + float(device.download(sums).sum())
    return totals


def activity(model: Model, images: np.ndarray) -> dict[str, Activity]:
    """Run the network over some images, and count what its ReLUs let through.

    Nothing comes back where the device has no room beside the training for a plan that keeps their outputs.
    """
    names = tuple(name for name, layer in model.network.layers.items() if layer.kind == "relu")
    try:
        plan = model.plan(len(images), names)
    except OutOfMemory:
        return {}
    plan.put(images, np.tile(model.centre(), (len(images), 1)), np.full(len(images), -1))
    plan.run()
    found = {}
    for name in names:
        counted = [(positive, pixels) for positive, pixels in _positive(model, plan, name)]
        positive = np.concatenate([positive.ravel() for positive, _ in counted])
        pixels = counted[0][1]
        found[name] = Activity(
            zeros=1 - positive.sum(dtype=np.float64) / (positive.size * pixels),
            dead=float((positive == 0).mean()),
        )
    return found


def _positive(model: Model, plan, name: str) -> Iterator[tuple[np.ndarray, int]]:
    """Yield, for each place, how often each channel (towers, channels) of a layer is positive, of how many pixels."""
    for place, maps in plan.parts(name):
        device = model.parameters.devices[place]
        towers, *pixels, channels = maps.shape
        counts = device.allocate((SLICES, towers, channels), np.uint32)
        model.parameters.engine.statistics.count_positive(device, maps, counts)
        yield device.download(counts).sum(axis=0, dtype=np.int64), int(np.prod(pixels))
