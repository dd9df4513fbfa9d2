"""Layer statistics: the size of weights and updates, and dead ReLUs.

    mean |w|     of a parameter, and mean |dw| of the last update, as the program of 2012 printed.
                 An update is w <- w + v, so dw is the velocity, and nothing need be stored for it.
    zeros        the fraction of a ReLU's outputs that are zero.
    dead         the fraction of its filters, or units, that are zero on all images tested. With correct data of two
                 classes nine tenths of fc7's units may be; but nothing passes a layer whose units all are.
    input        mean and standard deviation of the network's input: images minus the mean image, 0 to 255.

Nothing that the training reads is written, so no bit of it changes. All is computed on the device and a few numbers are
copied. Weights and velocities are read once, where an update reads and writes them five times; p images cost a forward
pass, a third of their part of an update.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from cualex.data.colour_noise import vector
from cualex.errors import OutOfMemory
from cualex.model import Model
from cualex.plan import Plan
from cualex.weights.parameters import Parameters

OFF_CENTRE = 2 / 3  # of the standard deviation: 3.8 standard errors of 32 images, were they of one shade each
PARTS = 256  # partial sums of absolute values: enough blocks for a GPU
SLICES = 64  # partial counts of positive values a channel


@dataclass(frozen=True)
class Size:
    """Mean absolute value of a parameter, and of its change by the last update; None with Adam."""

    mean: float
    change: float | None


@dataclass(frozen=True)
class Activity:
    """Fraction of zeros after a ReLU, and fraction of its filters that are dead."""

    zeros: float
    dead: float


@dataclass(frozen=True)
class Input:
    """Mean and standard deviation of the network's input by channel, red, green, blue, in levels of 0 to 255."""

    mean: tuple[float, float, float]
    deviation: tuple[float, float, float]

    @property
    def off_centre(self) -> bool:
        """Whether the mean image cannot be these images': the input is far from zero."""
        mean, deviation = abs(np.mean(self.mean)), math.sqrt(np.mean(np.square(self.deviation)))
        return bool(mean > OFF_CENTRE * deviation)


@dataclass(frozen=True)
class Figures:
    """Layer statistics: sizes of all parameters and activity of all ReLUs by name, on `images` images.

    layers: those that have either, in the order of the network.  input: of the network, on these images.
    """

    layers: tuple[str, ...]
    sizes: dict[str, Size]
    activity: dict[str, Activity]
    images: int
    input: Input

    def document(self) -> dict[str, Any]:
        """Return plain values, of six digits, for the log."""
        return {
            "pictures": self.images,
            "input": _rounded(self.input),
            "parameters": {name: _rounded(size) for name, size in self.sizes.items()},
            "relus": {name: _rounded(activity) for name, activity in self.activity.items()},
        }


def _rounded(figures: Size | Activity | Input) -> dict[str, Any]:
    held = {name: value for name, value in asdict(figures).items() if value is not None}
    return {
        name: [_digits(each) for each in value] if isinstance(value, tuple) else _digits(value)
        for name, value in held.items()
    }


def _digits(value: float) -> float:
    return float(f"{value:.6g}")


def take(model: Model, images: np.ndarray, factors: Mapping[str, float] | None = None) -> Figures:
    """Compute all statistics; images (n, stored, stored, 3) uint8, of which the centre crop is used.

    factors: learning-rate multipliers of parameters, as in `Rule`.
    """
    parameters, relus = sizes(model.parameters, factors or {}), activity(model, images)
    named = {name.rpartition(".")[0] for name in parameters} | set(relus)
    layers = tuple(name for name in model.network.layers if name in named)
    return Figures(layers, parameters, relus, len(images), read(model, images))


def read(model: Model, images: np.ndarray) -> Input:
    """Return the statistics of the network's input for images (n, stored, stored, 3), at their centre."""
    centre = model.network.centre
    values = images[:, centre, centre].astype(np.float32) - model.mean[centre, centre]
    means, deviations = (
        values.mean(axis=(0, 1, 2), dtype=np.float64),
        values.std(axis=(0, 1, 2), dtype=np.float64),
    )
    return Input(vector(means.tolist()), vector(deviations.tolist()))


def sizes(parameters: Parameters, factors: Mapping[str, float]) -> dict[str, Size]:
    """Return the mean absolute values of parameters and of their velocities, 0 for frozen ones."""
    weights, velocities = _totals(parameters, parameters.arrays), _totals(parameters, parameters.velocities)
    adam = any(name.endswith(tuple(f".{weight}" for weight in weights)) for name in velocities)
    statistics: dict[str, Size] = {}
    for name, shape in parameters.network.parameters().items():
        count = math.prod(shape)
        change = velocities.get(name, 0.0) / count if factors.get(name, 1.0) else 0.0
        statistics[name] = Size(weights[name] / count, None if adam else change)
    return statistics


def finite(parameters: Parameters) -> bool:
    """Return whether all weights, velocities and states are finite."""
    both = (_totals(parameters, arrays) for arrays in (parameters.arrays, parameters.velocities))
    return all(math.isfinite(total) for totals in both for total in totals.values())


def _totals(parameters: Parameters, arrays: Mapping[tuple[str, int], Any]) -> dict[str, float]:
    """Sum the absolute values of arrays over devices, by name; an engine's padding is zero."""
    queued = []
    for (name, index), array in arrays.items():
        device = parameters.devices[index]
        sums = device.allocate((PARTS,), np.float64)
        parameters.engine.statistics.absolute_sums(device, array, sums)
        queued.append((name, device, sums))
    totals: dict[str, float] = {}
    for name, device, sums in queued:
        totals[name] = totals.get(name, 0.0) + float(device.download(sums).sum())
    return totals


def activity(model: Model, images: np.ndarray) -> dict[str, Activity]:
    """Return the activity of all ReLUs on some images, by name.

    Empty when the device has no room for such a plan beside the training's.
    """
    names = tuple(name for name, layer in model.network.layers.items() if layer.kind == "relu")
    try:
        plan = model.plan(len(images), names)
    except OutOfMemory:
        return {}
    plan.put(images, np.tile(model.centre(), (len(images), 1)), np.full(len(images), -1))
    plan.run()
    statistics: dict[str, Activity] = {}
    for name in names:
        counted = list(_positive(model, plan, name))
        positive = np.concatenate([positive.ravel() for positive, _ in counted])
        pixels = counted[0][1]
        statistics[name] = Activity(
            zeros=1 - positive.sum(dtype=np.float64) / (positive.size * pixels),
            dead=float((positive == 0).mean()),
        )
    return statistics


def _positive(model: Model, plan: Plan, name: str) -> Iterator[tuple[np.ndarray, int]]:
    """Yield, device by device, counts of positive values (towers, channels) of a layer, and the number of pixels."""
    for index, maps in plan.parts(name):
        device = model.parameters.devices[index]
        towers, *pixels, channels = maps.shape
        counts = device.allocate((SLICES, towers, channels), np.uint32)
        model.parameters.engine.statistics.count_positive(device, maps, counts)
        yield device.download(counts).sum(axis=0, dtype=np.int64), int(np.prod(pixels))
