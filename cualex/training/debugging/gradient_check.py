"""The gradient check: what the backward pass of each layer says, against differences of the loss.

    dL/dw  =  (8 (L(w + e) - L(w - e)) - (L(w + 2e) - L(w - 2e))) / 12e

for a few weights, biases and values that the layer reads, one by one, and for all of them together, moved along random
directions: no fault stays between the numbers that are looked at. What that is off is of the fourth order in e.
On the plain plan of the CPU engine in float64, with the choices of ReLUs and pools and the masks of dropout held.
Gradients are made from the top of the network down: the topmost layer that is wrong is the one to look at, since what
lies below it is made of what it hands down.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from cualex.data.prefetch import Prefetcher
from cualex.devices.control import Control
from cualex.plan import Plan
from cualex.plan.step import Step
from cualex.training.debugging.frozen_masks import Forward, bare
from cualex.weights import Weights
from cualex.weights.parameters import Parameters

IMAGES = 4  # in the batch
HANDFUL = 2  # numbers of a parameter, or of what a layer reads, that are moved alone
DIRECTIONS = 2  # along which all are moved together
TOLERANCE = 1e-5  # gradients come out as float32, good to 6e-8; a fault shows in the first digits
UNIT = 2.0**-53
CHANGE = 1e-6  # aimed at, as a share of the loss: a network that has learned is curved where its loss is small
LEAST, MOST = 1e-8, 1e-2  # changes of a number, as shares of how large the numbers around it are
LINEAR = 1e-4  # below this share one difference is enough
SMOOTH = 0.01  # by which two differences may differ; more, and the loss has a bend between them


@dataclass(frozen=True)
class Row:
    """Hold the largest relative difference of each gradient of a layer: of what it reads, its weights, its biases.

    Those of parameters go by the last part of their names. None for dx: there is none, as of the images. NaN: the
    gradient is so small that rounding hides it.
    """

    layer: str
    dx: float | None
    parameters: dict[str, float]

    @property
    def largest(self) -> float:
        """Return the largest difference."""
        return max((value for value in self.values if not math.isnan(value)), default=math.nan)

    @property
    def values(self) -> list[float]:
        """Return all differences."""
        return [*([] if self.dx is None else [self.dx]), *self.parameters.values()]

    @property
    def right(self) -> bool:
        """Say whether none is larger than rounding allows."""
        return not self.largest > TOLERANCE


def check(begun: Weights, stream, seed: int = 0) -> Iterator[Row]:
    """Check the gradients of a network on the first images of a stream, from the top down."""
    parameters = Parameters(begun.network, "cpu", precision="fp64")
    parameters.load(begun.tensors)
    plan = Plan(parameters, min(IMAGES, len(stream.pack)), fuse=False, sink="keep", control=Control(seed=seed))
    plan.put_mean(begun.mean)
    with Prefetcher(stream, plan.batch) as prefetcher:
        plan.put(*prefetcher.take())
    yield from _Check(plan, np.random.default_rng(seed)).rows()


class _Check:
    """Hold what the backward pass of a plan has said, and ask the forward pass."""

    def __init__(self, plan: Plan, rng: np.random.Generator):
        self.plan, self.rng, self.forward = plan, rng, Forward(plan)
        self.handed: dict[str, list[np.ndarray]] = {}  # dx of each layer
        plan.run(self._keep)
        self.gradients = plan.gradients()
        self.loss = self.forward.loss()

    def rows(self) -> Iterator[Row]:
        """Yield a row a layer that computes something."""
        for name in reversed(self.forward.inputs):
            handed = self.handed.get(name)
            found = [self._input(name, part, values) for part, values in enumerate(handed or ())]
            dx = max((each for each in found if not math.isnan(each)), default=math.nan) if found else None
            own = [full for full in self.gradients if full.rpartition(".")[0] == name]
            yield Row(name, dx, {full.rpartition(".")[2]: self._parameter(full) for full in own})

    def _keep(self, step: Step) -> None:
        """Run a step, and keep the gradient that it hands down before the next step writes there."""
        step.run()
        if step.writes.get("dx") is not None and step.layers[0] in self.forward.inputs:
            self.handed[step.layers[0]] = [operand.array().copy() for operand in bare(step.writes["dx"])]

    def _input(self, layer: str, part: int, handed: np.ndarray) -> float:
        """Return the largest difference of what a layer hands down for one of the arrays that it reads."""
        size = _size(self.forward.inputs[layer][part].array())
        return self._worst(handed, size, lambda change: self.forward.loss(layer, part, change))

    def _parameter(self, name: str) -> float:
        """Return the largest difference of a parameter's gradient, in the engine's own order."""
        array = self.plan.parameters.arrays[name, 0]
        gradient, before = np.empty(array.size), array.copy()
        gradient[_order(self.plan.parameters, name)] = self.gradients[name].reshape(-1)

        def loss(change: np.ndarray) -> float:
            array[...] = before + change
            try:
                return self.forward.loss()
            finally:
                array[...] = before

        return self._worst(gradient.reshape(array.shape), _size(array), loss)

    def _worst(self, gradient: np.ndarray, size: float, loss: Callable[[np.ndarray], float]) -> float:
        """Return the largest relative difference; NaN where all are too small to tell."""
        if not np.isfinite(gradient).all():
            return math.inf
        found = []
        for place in self._places(gradient):
            alone = np.zeros(gradient.size)
            alone[place] = 1
            found.append(self._difference(gradient, alone.reshape(gradient.shape), size, loss))
        for _ in range(DIRECTIONS):
            found.append(self._difference(gradient, self.rng.standard_normal(gradient.shape), size, loss))
        return max((each for each in found if not math.isnan(each)), default=math.nan)

    def _difference(self, gradient: np.ndarray, direction: np.ndarray, size: float, loss) -> float:
        """Return by how much the gradient is off along a direction, as a share, without what rounding can make of it.

        Along a random direction a gradient changes the loss by about its norm: the share is one of that.
        """
        alone = np.count_nonzero(direction) == 1
        given = float(np.vdot(gradient, direction))
        norm = abs(given) if alone else float(np.linalg.norm(gradient))
        aimed = CHANGE * min(self.loss, 1) / max(norm, 1e-300)
        step = min(max(aimed, LEAST * size), MOST * size)
        found, bent = self._slope(direction, step, loss)
        while step > LINEAR * size:
            further, _ = self._slope(direction, 2 * step, loss)
            if not bent and abs(further - found) <= SMOOTH * max(abs(found), abs(further)):
                found = (4 * found - further) / 3
                break
            step /= 10  # a softmax far from 1 and 0 has a bend where the likeliest class changes
            found, bent = self._slope(direction, step, loss)
        if not math.isfinite(found):
            return math.inf
        larger = max(norm, abs(found))
        rounding = 64 * UNIT * max(self.loss, 1) / step  # of a loss that is made of sums of thousands of terms
        if rounding > 0.01 * larger:
            return math.nan if larger else 0.0
        return max(abs(given - found) - rounding, 0) / larger

    def _slope(self, direction: np.ndarray, step: float, loss) -> tuple[float, bool]:
        """Return the slope of the loss between two changes, and whether it is another on either side."""
        above, below = loss(step * direction), loss(-step * direction)
        return (above - below) / (2 * step), abs(above + below - 2 * self.loss) > abs(above - below) / 2

    def _places(self, gradient: np.ndarray) -> list[int]:
        """Choose places: any, and half of them among the largest gradients of a few thousand."""
        few = self.rng.integers(0, gradient.size, 4096)
        largest = few[np.argsort(-np.abs(gradient.reshape(-1)[few]))][: HANDFUL // 2]
        return [int(place) for place in dict.fromkeys([*largest, *few[: HANDFUL - len(largest)]])]


def _size(array: np.ndarray) -> float:
    """Return how large the numbers of an array are; where all are zero, 0.01."""
    return float(np.sqrt(np.mean(np.square(array)))) or 0.01


def _order(parameters: Parameters, name: str) -> np.ndarray:
    """Return where the engine keeps each number of a canonical parameter.

    Found by putting every number's place there in its stead: in two halves, which float32 holds.
    """
    array = parameters.arrays[name, 0]
    halves = np.divmod(np.arange(array.size), 2**20)
    high, low = (parameters.gather({(name, 0): half.reshape(array.shape).astype(np.float64)}, name) for half in halves)
    return (high.astype(np.int64) * 2**20 + low.astype(np.int64)).reshape(-1)
