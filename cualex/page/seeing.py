"""What the page asks of a network: its layers' maps for an image, probabilities, filters, and heat maps.

Nothing here knows of HTTP. One thread at a time may ask: plans are not shared between threads.
"""

from collections import OrderedDict
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import zip_longest

import numpy as np

from cualex.errors import UsageError
from cualex.explain import occlusion
from cualex.explain.occlusion import Square
from cualex.model import Model
from cualex.networks import Network
from cualex.page import changes, crossing, description
from cualex.plan import Plan
from cualex.weights import Weights, initial

GRID = 14  # positions of the cover along each side of a heat map
METHODS = ("occlusion", "grad-cam", "saliency")  # of heat maps
COVER = 0.24  # side of that cover, as a fraction of the crop
KEPT = 4  # networks with parts off, and answers, that are kept, the last used


@dataclass
class Seen:
    """What a network made of an image.

    layers: (maps, rows, columns) by name, towers one after the other.  passed: see crossing.py.  broken: the first
    layer of which some value is NaN or Inf, "" where all are numbers.
    """

    layers: dict[str, np.ndarray]
    probabilities: np.ndarray
    passed: dict[str, list[list[float]]]
    broken: str = ""


class Seer:
    """One network with its weights, and the same with parts off."""

    def __init__(self, weights: Weights, device: str = "cpu", precision: str | None = None) -> None:
        """Copy the weights to the device."""
        self.weights, self.device, self.precision = weights, device, precision
        self.model = Model(weights, device, precision)
        self.description = description.describe(weights.network, list(weights.classes))
        self.description["untrained"] = initial.said(self.model.untrained, weights.network)
        self._seen: OrderedDict[tuple[bytes, frozenset[str], Square | None], Seen] = OrderedDict()
        self._variants: OrderedDict[frozenset[str], tuple[Model, dict[str, np.ndarray]]] = OrderedDict()

    @cached_property
    def files(self) -> dict[str, list[str]]:
        """Return the files that compute each layer: the layer's own, and those of the steps of its plan."""
        found: dict[str, list[str]] = {}
        layers = self.weights.network.layers
        for step in self.model.plan(1, self._every).steps:
            for name in step.layers:
                if name in layers and step.call is not None:
                    modules = (type(layers[name]).__module__, step.call.__module__)
                    found[name] = list(dict.fromkeys(module.replace(".", "/") + ".py" for module in modules))
        return found

    def see(
        self, image: np.ndarray, names: Collection[str], off: Collection[str] = (), cover: Square | None = None
    ) -> Seen:
        """Return layers' outputs for an image (stored, stored, 3), probabilities, and what passed between blocks.

        The page asks for an image's layers a few at a time, so the last answers are kept whole.
        """
        key = image.tobytes(), frozenset(off), cover
        if key not in self._seen:
            self._seen[key] = self._see(image, off, cover)
            while len(self._seen) > KEPT:
                self._seen.popitem(last=False)
        self._seen.move_to_end(key)
        seen = self._seen[key]
        return replace(seen, layers={name: seen.layers[name] for name in names})

    def _see(self, image: np.ndarray, off: Collection[str], cover: Square | None) -> Seen:
        """Return all layers that are described, and what `see` returns beside them."""
        layers = self.maps(image, off, cover)
        network, (_, tensors) = self.weights.network, self._without(off)
        silent = changes.silent(network, off)
        passed = crossing.passed(self.description["blocks"], layers, tensors, network, silent)
        probabilities = layers[self.model.output][:, 0, 0]
        broken = next((name for name, layer in layers.items() if not np.isfinite(layer).all()), "")
        return Seen(layers, probabilities, passed, broken)

    def maps(self, image: np.ndarray, off: Collection[str] = (), cover: Square | None = None) -> dict[str, np.ndarray]:
        """Return the outputs (maps, rows, columns) of all layers that are described, and the image as it is read."""
        model, _ = self._without(off)
        image = self._covered(image, cover)
        outputs = tuple(name for name in self._every if name in model.network.layers)
        plan = self._run(model, image[None], outputs)
        layers = {description.IMAGE: self._entered(image)}
        for name in self._every:  # a layer that is left out passes on what it reads
            previous = list(layers.values())[-1]
            layers[name] = plan.output(name)[0] if name in outputs else previous
        return layers

    def name(self, image: np.ndarray, off: Collection[str] = (), cover: Square | None = None) -> np.ndarray:
        """Return the probabilities (classes,) of an image."""
        return self._without(off)[0].probabilities(self._covered(image, cover)[None])[0]

    @cached_property
    def methods(self) -> list[str]:
        """Return the heat maps that there are of this network: Grad-CAM needs a convolution with several positions."""
        last = self.description["last_maps"]
        maps = last and self.description["layers"][last]["rows"] > 1
        return [method for method in METHODS if method != "grad-cam" or maps]

    def heat(
        self, image: np.ndarray, target: int, off: Collection[str] = (), method: str = METHODS[0]
    ) -> Iterator[list[float]]:
        """Yield rows of a heat map of a class: GRID rows of GRID values, by gradients a value for each pixel.

        occlusion: how much the probability falls when a square there is covered; the centres of the squares are spread
        evenly over the crop.  grad-cam, saliency: from 0 to 1, see `Explanation.heat`.
        """
        model, crop = self._without(off)[0], self.weights.network.crop
        if method != METHODS[0]:
            explained = model.explain(image, target, method)
            self._check_number(method, target, explained.score)
            yield from explained.heat.round(3).tolist()
            return
        side = max(1, round(COVER * crop))
        first = self.weights.network.centre.start
        tops = [first + round((crop - 1) * (index + 0.5) / GRID - side / 2) for index in range(GRID)]

        def probabilities(images: np.ndarray) -> np.ndarray:
            return self._run(model, images, (model.output,)).output(model.output)[:, target, 0, 0]

        squares = [(top, left, side) for top in tops for left in tops]
        probability, rows = occlusion.falls(probabilities, image, self._mean, squares, GRID)
        self._check_number(method, target, probability)
        yield from rows

    def _check_number(self, method: str, target: int, value: float) -> None:
        """Raise UsageError where there is no heat map, since what it explains is NaN or Inf."""
        if not np.isfinite(value):
            what = "probability" if method == METHODS[0] else "score"
            raise UsageError(
                f"{method}: the {what} of {self.weights.classes[target]} is {value}, which nothing explains"
            )

    def filter(self, block: str, index: int) -> tuple[np.ndarray, float]:
        """Return a filter (weights as the towers are ordered) and its bias; raise UsageError where there is none."""
        stage = next((stage for stage in self.weights.network.stages() if stage.name == block), None)
        if stage is None or not stage.parameters:
            raise UsageError(f"{self.weights.network.name} has no layer {block!r} with filters")
        weight = self.weights.tensors[f"{block}.weight"]
        if not 0 <= index < len(weight):
            raise UsageError(f"{block} has filters 0 to {len(weight) - 1}, got {index}")
        turned = np.ascontiguousarray(weight[index : index + 1])
        if stage.reading.own_first:
            turned = stage.turned("weight", weight)[index : index + 1]
        return turned.ravel(), float(self.weights.tensors[f"{block}.bias"][index])

    @property
    def _every(self) -> tuple[str, ...]:
        """Name the layers that are described, without the image."""
        return tuple(name for name in self.description["layers"] if name != description.IMAGE)

    def _run(self, model: Model, images: np.ndarray, outputs: tuple[str, ...]) -> Plan:
        """Run the plan of so many images, with no padding, and return it."""
        plan = model.plan(len(images), outputs)
        plan.put(images, np.full((len(images), 3), model.centre(), np.int32), np.full(len(images), -1, np.int32))
        plan.run()
        return plan

    def _without(self, off: Collection[str]) -> tuple[Model, dict[str, np.ndarray]]:
        """Return the model with parts off, and its tensors."""
        key = frozenset(off)
        if not key:
            return self.model, self.weights.tensors
        if unknown := sorted(key - self.description["parts"].keys()):
            raise UsageError(f"{self.weights.network.name} has no part {unknown[0]!r} that can be switched off")
        if key not in self._variants:
            network, changed = changes.without(self.weights.network, self.weights.tensors, key)
            variant = replace(self.weights, network=network)
            model = Model(variant, parameters=self.model.parameters.variant(network, changed))
            self._variants[key] = model, {**self.weights.tensors, **changed}
            while len(self._variants) > KEPT:
                self._variants.popitem(last=False)
        self._variants.move_to_end(key)
        return self._variants[key]

    def _covered(self, image: np.ndarray, cover: Square | None) -> np.ndarray:
        """Return the image with a square of the crop replaced by the mean image, of which nothing is left to see."""
        if cover is None:
            return image
        covered, centre = image.copy(), self.weights.network.centre
        occlusion.cover(covered[centre, centre], self._mean[centre, centre], cover)
        return covered

    @cached_property
    def _mean(self) -> np.ndarray:
        return np.clip(np.round(self.model.mean), 0, 255).astype(np.uint8)

    def _entered(self, image: np.ndarray) -> np.ndarray:
        """Return what the first layer reads: the centre crop minus the mean, times the scale, (3, crop, crop)."""
        network, centre = self.weights.network, self.weights.network.centre
        values = (image[centre, centre] - self.model.mean[centre, centre]) * np.asarray(network.scale, np.float32)
        return np.ascontiguousarray(values.transpose(2, 0, 1), np.float32)


def check_alike(compared: Sequence[Weights]) -> None:
    """Raise UsageError unless all networks have the same layers and shapes, and read images of one size."""
    first, *others = (each.network for each in compared)
    for other in others:
        pairs = zip_longest(_shapes(other), _shapes(first), fillvalue="no more layers")
        if different := next((f"{own}, expected {one}" for own, one in pairs if own != one), ""):
            raise UsageError(
                f"--against: {other.name} has other layers than {first.name}, or other shapes ({different}); give "
                "weights of the same network, with as many classes"
            )
        if other.stored != first.stored:
            raise UsageError(f"--against: images of {other.stored} pixels, expected {first.stored}")


def _shapes(network: Network) -> list[str]:
    """Return each layer's name and output, a text such as conv1 2 x 48 x 55 x 55 of two towers."""
    return [f"{stage.name} {' x '.join(map(str, (stage.towers, *stage.output)))}" for stage in network.stages()]
