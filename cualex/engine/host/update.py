"""Where weight gradients go: kept, added up, or straight into the weights by an update rule.

    Momentum    v  <-  momentum * v - rate * g - decay * rate * w        (rounded in this order; section 5 of the paper)
                w  <-  w + v

    Adam        g  <-  g + decay * w
                m  <-  m + (g - m) * (1 - first)
                s  <-  s + (g * g - s) * (1 - second)
                w  <-  w - m * corrected / (sqrt(s) + epsilon)  (Keras; `Control.corrected` has the corrections)

    Lars        L  =   trust * |w| / (|g| + decay * |w|),       trust where |w| or |g| is at most 2^-100
                `Momentum`, rate times L                        (You, Gitman and Ginsburg 2017, algorithm 1)

g: the mean gradient of the batch. rate: that of weights or of biases (--bias-lr), times the layer's multiplier. decay:
times the layer's own multiplier, 0 for biases unless --set says otherwise. decay * rate is the product of float64 of
the weights' rate, rounded, then times both multipliers. All is float32, rounded after each operation. In `momentum`
below `factor` and `decay` are these multipliers, `control` has rate and decay. A weight gradient arrives block by
block, each block once, from any worker. `Keep` stores it, `Sum` adds it to those of the batch's other parts.
`Momentum` updates the block's weights at once, so that a dense layer's gradient, a product of two thin matrices, is
never written to memory as a whole; it is `Keep` followed by `apply`, to the bit. `Adam` and `Lars` always follow `Keep`
or `Sum`. The norms of `Lars` need the whole gradient, so it cannot be fused and keeps it. They are float64, of squares
added in a fixed order (`_lane_sum`), and of each tower's share of a parameter: a tower's layer is a layer of its own,
and no number crosses between towers.
"""

from dataclasses import dataclass, replace

import numpy as np

from cualex.devices.control import EPSILON, FIRST, SECOND, SMALLEST_NORM, Control
from cualex.devices.host import HostDevice
from cualex.devices.workers import Scratch

BLOCK = 1 << 15  # numbers that `apply` takes at a time: with all that goes with them they fit a core's own cache
LANES = 256  # sums of squares that grow beside each other


@dataclass(frozen=True)
class Keep:
    """Store the gradient."""

    gradient: np.ndarray

    def __call__(self, index, block: np.ndarray) -> None:
        """Take the block that stands at `index` of the parameter."""
        self.gradient[index] = block


@dataclass(frozen=True)
class Sum(Keep):
    """Add the gradients of a batch's parts, in a chain: ((1 + 2) + 3) + 4. tree.py adds them as a tree."""

    control: Control

    def __call__(self, index, block: np.ndarray) -> None:
        """Take the block that stands at `index` of the parameter."""
        if self.control.turn:
            self.gradient[index] += block
        else:
            self.gradient[index] = block


@dataclass(frozen=True)
class Momentum:
    """Update the weights; leave them alone when the loss was not finite.

    `copy` is for engines whose products read other weights than these; here there is none.
    """

    weight: np.ndarray
    velocity: np.ndarray
    control: Control
    decay: float
    copy: None = None
    factor: float = 1.0
    bias: bool = False

    def __call__(self, index, block: np.ndarray) -> None:
        """Take the block that stands at `index` of the parameter, and use it up."""
        if self.control.finite:
            arrays = self.weight[index], self.velocity[index], block
            momentum(*arrays, self.control, self.decay, self.factor, self.bias)

    def flat(self) -> "Momentum":
        """Return the same of one axis."""
        return replace(self, weight=self.weight.reshape(-1), velocity=self.velocity.reshape(-1))


@dataclass(frozen=True)
class Adam:
    """Update the weights by their gradient's averages `first` and `second`, of the gradient and of its square."""

    weight: np.ndarray
    first: np.ndarray
    second: np.ndarray
    control: Control
    decay: float
    copy: None = None
    factor: float = 1.0
    bias: bool = False

    def __call__(self, index, block: np.ndarray) -> None:
        """Take the block that stands at `index` of the parameter, and use it up."""
        if self.control.finite:
            arrays = self.weight[index], self.first[index], self.second[index], block
            adam(*arrays, self.control, self.decay, self.factor, self.bias)

    def flat(self) -> "Adam":
        """Return the same of one axis."""
        weight, first, second = (array.reshape(-1) for array in (self.weight, self.first, self.second))
        return replace(self, weight=weight, first=first, second=second)


@dataclass(frozen=True)
class Lars:
    """Update the weights by SGD with momentum, at a rate that follows from the norms of weights and gradient."""

    weight: np.ndarray
    velocity: np.ndarray
    control: Control
    decay: float
    copy: None = None
    factor: float = 1.0
    bias: bool = False


def apply(device: HostDevice, gradient: np.ndarray, sink: Momentum | Adam | Lars) -> None:
    """Move a parameter by its gradient, which was kept and stays as it is."""
    if isinstance(sink, Lars):
        if sink.control.finite:
            _apply_lars(device, gradient, sink)
        return
    flat, whole = gradient.reshape(-1), sink.flat()

    def task(part, scratch):
        own = slice(part * BLOCK, min((part + 1) * BLOCK, flat.size))
        block = scratch("update", flat[own].shape, flat.dtype)
        np.copyto(block, flat[own])
        whole(own, block)

    device.run(task, -(-flat.size // BLOCK))


def _apply_lars(device: HostDevice, gradient: np.ndarray, sink: Lars) -> None:
    """Move each tower's share of a parameter by its own local rate."""
    towers, kind = len(gradient), gradient.dtype.type
    weight, velocity, flat = (each.reshape(towers, -1) for each in (sink.weight, sink.velocity, gradient))
    factors = kind(sink.factor) * local_rates(device, weight, flat, sink.control, sink.decay)

    def task(tower, part, scratch):
        own = tower, slice(part * BLOCK, (part + 1) * BLOCK)
        block = scratch("update", flat[own].shape, flat.dtype)
        np.copyto(block, flat[own])
        momentum(weight[own], velocity[own], block, sink.control, sink.decay, factors[tower], sink.bias)

    device.grid(task, towers, -(-flat.shape[1] // BLOCK))


def local_rates(
    device: HostDevice, weight: np.ndarray, gradient: np.ndarray, control: Control, decay: float
) -> np.ndarray:
    """Return L of LARS for each tower (towers,), of the weights' type; weight and gradient are (towers, numbers)."""
    towers, kind = len(weight), weight.dtype.type
    sums = np.empty((2, towers, -(-weight.shape[1] // BLOCK)))

    def task(tower, part, scratch):
        own = tower, slice(part * BLOCK, (part + 1) * BLOCK)
        for each, values in zip(sums, (weight[own], gradient[own]), strict=True):
            rows = _rows(scratch, values)
            each[tower, part] = _lane_sum(np.multiply(rows, rows, out=rows))

    device.grid(task, towers, sums.shape[2])
    norms = np.sqrt([[_lane_sum(_rows(Scratch(), own)) for own in each] for each in sums])
    trust, shrink = np.float64(kind(control.trust)), np.float64(kind(control.decay) * kind(decay))
    moves = (norms > SMALLEST_NORM).all(axis=0)
    local = np.divide(trust * norms[0], norms[1] + shrink * norms[0], out=np.full(towers, trust), where=moves)
    return local.astype(kind)


def _rows(scratch: Scratch, values: np.ndarray) -> np.ndarray:
    """Return numbers as float64 (rows, LANES), the last row filled up with zeros."""
    rows = scratch("lanes", (-(-len(values) // LANES), LANES), np.float64)
    rows.reshape(-1)[: len(values)] = values
    rows.reshape(-1)[len(values) :] = 0
    return rows


def _lane_sum(rows: np.ndarray) -> float:
    """Add up (rows, LANES): each lane row after row, then the lanes by halves, as a block of threads does it."""
    lanes = rows.sum(axis=0)
    while len(lanes) > 1:
        lanes = lanes[: len(lanes) // 2] + lanes[len(lanes) // 2 :]
    return lanes[0]


def momentum(
    weight, velocity, gradient, control: Control, decay: float, factor: float = 1.0, bias: bool = False
) -> None:
    """Apply the rule to one block in place; `gradient` is used up as work space."""
    rate, shrink = _scaled(weight, factor, control.rate_of(bias), control.rate * control.decay)
    velocity *= control.momentum
    gradient *= rate
    velocity -= gradient
    if decay and control.decay:
        np.multiply(weight, shrink * weight.dtype.type(decay), out=gradient)
        velocity -= gradient
    weight += velocity


def adam(
    weight, first, second, gradient, control: Control, decay: float, factor: float = 1.0, bias: bool = False
) -> None:
    """Apply the rule to one block in place; `gradient` is used up as work space."""
    (rate,) = _scaled(weight, factor, control.corrected(bias))
    if decay and control.decay:
        gradient += weight * (weight.dtype.type(control.decay) * weight.dtype.type(decay))
    square = gradient * gradient
    gradient -= first
    gradient *= weight.dtype.type(1 - FIRST)
    first += gradient
    square -= second
    square *= weight.dtype.type(1 - SECOND)
    second += square
    np.sqrt(second, out=square)
    square += weight.dtype.type(EPSILON)
    np.multiply(first, rate, out=gradient)
    gradient /= square
    weight -= gradient


def _scaled(weight, factor: float, *rates: float) -> list[np.generic]:
    """Return rates times a parameter's factor, both rounded to its type before, as a kernel does it."""
    kind = weight.dtype.type
    return [kind(rate) * kind(factor) for rate in rates]
