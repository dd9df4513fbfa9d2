"""The gradient check: the backward pass of every layer against finite differences of the loss.

    dL/dw  =  (8 (L(w + e) - L(w - e)) - (L(w + 2e) - L(w - 2e))) / 12e

for a few weights, biases and inputs of a layer, one by one, and for all of them along random directions, so that no
fault is missed between the numbers that are tested. The error is of fourth order in e. On the unfused plan of the CPU
engine in float64, with the masks of ReLU, pooling and dropout frozen.
Gradients flow from the top of the network down: the topmost wrong layer is the one to debug, since those below depend
on its gradient.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from cualex.data.batches import Stream
from cualex.data.prefetch import Prefetcher
from cualex.devices.control import Control
from cualex.plan import Plan
from cualex.plan.step import Step
from cualex.training.debugging.frozen_masks import Forward, bare
from cualex.weights import Weights
from cualex.weights.parameters import Parameters

IMAGES = 4  # in the batch
HANDFUL = 2  # numbers of a parameter, or of a layer's input, that are changed alone
DIRECTIONS = 2  # random directions in which all are changed together
TOLERANCE = 1e-5  # gradients are returned as float32, accurate to 6e-8; a fault shows in the first digits
UNIT = 2.0**-53
CHANGE = 1e-6  # of the loss, relative, at which to aim: a trained network is curved where its loss is small
LEAST, MOST = 1e-8, 1e-2  # changes of a number, relative to the root mean square of its array
LINEAR = 1e-4  # below this relative change one difference is enough
SMOOTH = 0.01  # relative difference of two slopes; more, and the loss has a kink between them


@dataclass(frozen=True)
class Row:
    """The largest relative differences of a layer's gradients: of its input, `dx`, and of its parameters.

    parameters: by the last part of the name ("weight").  dx: None if there is none, as for the images.
    NaN: the gradient is below rounding.
    """

    layer: str
    dx: float | None
    parameters: dict[str, float]

    @property
    def largest(self) -> float:
        """The largest difference."""
        return max((value for value in self.values if not math.isnan(value)), default=math.nan)

    @property
    def values(self) -> list[float]:
        """All differences."""
        return [*([] if self.dx is None else [self.dx]), *self.parameters.values()]

    @property
    def right(self) -> bool:
        """Whether no difference exceeds the tolerance."""
        return not self.largest > TOLERANCE


def check(begun: Weights, stream: Stream, seed: int = 0) -> Iterator[Row]:
    """Check the gradients of a network on the first images of a stream: yield a row a layer, from the top down."""
    parameters = Parameters(begun.network, "cpu", precision="fp64", tensors=begun.tensors)
    plan = Plan(parameters, min(IMAGES, len(stream.pack)), fuse=False, sink="keep", control=Control(seed=seed))
    plan.put_mean(begun.mean)
    with Prefetcher(stream, plan.batch) as prefetcher:
        plan.put(*prefetcher.take())
    yield from _Check(plan, np.random.default_rng(seed)).rows()


class _Check:
    """The gradients of one backward pass, and the forward pass to check them with."""

    def __init__(self, plan: Plan, rng: np.random.Generator):
        self.plan, self.rng, self.forward = plan, rng, Forward(plan)
        self.dx: dict[str, list[np.ndarray]] = {}  # dx of each layer
        plan.run(self._keep)
        self.gradients = plan.gradients()
        self.loss = self.forward.loss()

    def rows(self) -> Iterator[Row]:
        """Yield a row for every layer that computes something."""
        for name in reversed(self.forward.inputs):
            differences = [self._input(name, part, values) for part, values in enumerate(self.dx.get(name, ()))]
            dx = max((each for each in differences if not math.isnan(each)), default=math.nan) if differences else None
            parameters = [full for full in self.gradients if full.rpartition(".")[0] == name]
            yield Row(name, dx, {full.rpartition(".")[2]: self._parameter(full) for full in parameters})

    def _keep(self, step: Step) -> None:
        """Run a step, and copy its dx before another step overwrites it."""
        step.run()
        if step.writes.get("dx") is not None and step.layers[0] in self.forward.inputs:
            self.dx[step.layers[0]] = [operand.array().copy() for operand in bare(step.writes["dx"])]

    def _input(self, layer: str, part: int, dx: np.ndarray) -> float:
        """Return the largest difference of dx for one of the arrays that a layer reads."""
        size = _size(self.forward.inputs[layer][part].array())
        return self._worst(dx, size, lambda change: self.forward.loss(layer, part, change))

    def _parameter(self, name: str) -> float:
        """Return the largest difference of a parameter's gradient, in the engine's layout."""
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
        """Return the largest relative difference; NaN: all are below rounding."""
        if not np.isfinite(gradient).all():
            return math.inf
        differences = []
        for index in self._indices(gradient):
            alone = np.zeros(gradient.size)
            alone[index] = 1
            differences.append(self._difference(gradient, alone.reshape(gradient.shape), size, loss))
        for _ in range(DIRECTIONS):
            differences.append(self._difference(gradient, self.rng.standard_normal(gradient.shape), size, loss))
        return max((each for each in differences if not math.isnan(each)), default=math.nan)

    def _difference(
        self, gradient: np.ndarray, direction: np.ndarray, size: float, loss: Callable[[np.ndarray], float]
    ) -> float:
        """Return the relative error of the gradient along a direction, less the bound of rounding errors.

        Along a random direction it is relative to the norm of the gradient, by which the loss changes.
        """
        alone = np.count_nonzero(direction) == 1
        given = float(np.vdot(gradient, direction))
        norm = abs(given) if alone else float(np.linalg.norm(gradient))
        aimed = CHANGE * min(self.loss, 1) / max(norm, 1e-300)
        step = min(max(aimed, LEAST * size), MOST * size)
        slope, bent = self._slope(direction, step, loss)
        while step > LINEAR * size:
            further, _ = self._slope(direction, 2 * step, loss)
            if not bent and abs(further - slope) <= SMOOTH * max(abs(slope), abs(further)):
                slope = (4 * slope - further) / 3
                break
            step /= 10  # a softmax far from 1 and 0 has a kink where the likeliest class changes
            slope, bent = self._slope(direction, step, loss)
        if not math.isfinite(slope):
            return math.inf
        larger = max(norm, abs(slope))
        rounding = 64 * UNIT * max(self.loss, 1) / step  # of a loss from sums of thousands of terms
        if rounding > 0.01 * larger:
            return math.nan if larger else 0.0
        return max(abs(given - slope) - rounding, 0) / larger

    def _slope(self, direction: np.ndarray, step: float, loss: Callable[[np.ndarray], float]) -> tuple[float, bool]:
        """Return the central difference of the loss, and whether both sides differ."""
        above, below = loss(step * direction), loss(-step * direction)
        return (above - below) / (2 * step), abs(above + below - 2 * self.loss) > abs(above - below) / 2

    def _indices(self, gradient: np.ndarray) -> list[int]:
        """Choose elements: random ones, half of them among the largest gradients of a few thousand."""
        few = self.rng.integers(0, gradient.size, 4096)
        largest = few[np.argsort(-np.abs(gradient.reshape(-1)[few]))][: HANDFUL // 2]
        return [int(index) for index in dict.fromkeys([*largest, *few[: HANDFUL - len(largest)]])]


def _size(array: np.ndarray) -> float:
    """Return the root mean square of an array; if all are zero, 0.01."""
    return float(np.sqrt(np.mean(np.square(array)))) or 0.01


def _order(parameters: Parameters, name: str) -> np.ndarray:
    """Return the permutation from the engine's layout to a canonical parameter.

    By unpacking the indices in place of the numbers: in two halves, which float32 holds exactly.
    """
    array = parameters.arrays[name, 0]
    halves = np.divmod(np.arange(array.size), 2**20)
    high, low = (parameters.gather({(name, 0): half.reshape(array.shape).astype(np.float64)}, name) for half in halves)
    return (high.astype(np.int64) * 2**20 + low.astype(np.int64)).reshape(-1)
