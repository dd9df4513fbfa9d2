"""Gradient sinks: weight gradients are kept, accumulated, or applied to the weights by the optimizer.

    Momentum    v  <-  momentum * v - rate * g - (rate * decay) * w
                w  <-  w + v                                    (section 5 of the paper; decay is multiplied by rate)

    Adam, Lars  formulas in kernels/update.cu

By default (SGD with momentum, without --accumulate) nothing here launches a kernel: the kernels of the weight
gradients update the weights in their epilogue (SINK is MOMENTUM; kernels/common/sink.cuh and momentum.cuh), so that
no gradient is written; where a sum is split over blocks (split-K), its parts are, and `weight_update` of
kernels/gemm_splits.cu adds them up and updates. `apply` launches kernels/update.cu after `Keep` or `Sum`: with
--accumulate, Adam, or LARS, which cannot be fused: its norms need the whole gradient. `Momentum` equals `Keep` followed
by `apply`, bit for bit. Kernels read the learning rates from `device.control`, the copy of the control in device memory
that `device.begin` uploads; after a loss that is not finite, nothing changes.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from cualex.devices.control import EPSILON, FIRST, SECOND, SMALLEST_NORM, Control
from cualex.devices.runtime import Array
from cualex.engine.cuda.launching import THREADS, grid, storage

PIECE = 1 << 15  # numbers whose squares a block of LARS adds up


@dataclass(frozen=True)
class Keep:
    """Store the gradient."""

    gradient: Array
    kind: ClassVar[int] = 0  # as kernels/common/sink.cuh names it
    decay: ClassVar[float] = 0.0
    bias: ClassVar[bool] = False
    factor: ClassVar[float] = 1.0

    @property
    def target(self) -> Array:
        """Return the array of the parameter's shape that is written."""
        return self.gradient

    @property
    def written(self) -> tuple[Array | None, ...]:
        """Return the arrays that a kernel writes: values, velocity, copy."""
        return self.gradient, None, None


@dataclass(frozen=True)
class Sum(Keep):
    """Accumulate the gradients of micro-batches; that of the first is stored."""

    control: Control
    kind: ClassVar[int] = 2


@dataclass(frozen=True)
class Momentum:
    """Update the weights by SGD with momentum, and the copy that the other kernels read, where there is one.

    All arrays have one shape; `control` is the host's, of which the device has a copy. `factor` is the learning-rate
    multiplier, `decay` that of the weight decay; with `bias`, the learning rate is that of biases.
    """

    weight: Array
    velocity: Array
    control: Control
    decay: float
    copy: Array | None = None
    factor: float = 1.0
    bias: bool = False
    kind: ClassVar[int] = 1

    @property
    def target(self) -> Array:
        """Return the array of the parameter's shape that is written."""
        return self.weight

    @property
    def written(self) -> tuple[Array | None, ...]:
        """Return the arrays that a kernel writes: values, velocity, copy."""
        return self.weight, self.velocity, self.copy


@dataclass(frozen=True)
class Adam:
    """Update the weights by Adam, with the moments `first`, of the gradient, and `second`, of its square."""

    weight: Array
    first: Array
    second: Array
    control: Control
    decay: float
    copy: Array | None = None
    factor: float = 1.0
    bias: bool = False


@dataclass(frozen=True)
class Lars:
    """Update the weights by LARS: SGD with momentum, at a rate that follows from the norms of weights and gradient."""

    weight: Array
    velocity: Array
    control: Control
    decay: float
    copy: Array | None = None
    factor: float = 1.0
    bias: bool = False


def apply(device, gradient, sink: Momentum | Adam | Lars) -> None:
    """Update a parameter by its stored gradient, which is not changed."""
    if isinstance(sink, Adam):
        reals = {"FRESH_FIRST": 1 - FIRST, "FRESH_SECOND": 1 - SECOND, "EPSILON": EPSILON}
        _launch(device, "adam", gradient, sink, (sink.first, sink.second), **reals)
    elif isinstance(sink, Lars):
        towers = len(gradient)
        rates = _local_rates(device, gradient, sink)
        _launch(device, "lars", gradient, sink, (sink.velocity, rates), towers)
    else:
        _launch(device, "momentum", gradient, sink, (sink.velocity,))


def _local_rates(device, gradient, sink: Lars) -> Array:
    """Launch the kernels that make the local rate of each tower; return those, float32 (towers,)."""
    towers, count = len(gradient), gradient.size // len(gradient)
    pieces = -(-count // PIECE)
    sums = device.scratch("lars sums", (2, towers, pieces), np.float64)
    rates = device.scratch("lars rates", (towers,))
    shared = 8 * THREADS
    device.launch(
        "lars_sums",
        (sink.weight, gradient, sums),
        grid=(pieces, 1, towers),
        block=THREADS,
        shared=shared,
        COUNT=count,
        PIECE=PIECE,
    )
    device.launch(
        "lars_rates",
        (sums, device.control, rates),
        grid=(towers,),
        block=THREADS,
        shared=shared,
        PIECES=pieces,
        DECAY=float(sink.decay),
        SMALLEST=SMALLEST_NORM,
    )
    return rates


def _launch(device, name: str, gradient, sink, state, towers=1, **reals) -> None:
    count = gradient.size // towers
    device.launch(
        name,
        (gradient, device.control, sink.weight, *state, sink.copy, np.float32(sink.factor)),
        grid=grid(count, 1, towers),
        block=THREADS,
        COUNT=count,
        DECAY=float(sink.decay),
        BIAS=int(sink.bias),
        PRECISION=storage(device, rounds=sink.copy is not None),
        **reals,
    )
