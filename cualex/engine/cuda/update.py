"""Where weight gradients go: kept, added up, or straight into the weights by an update rule.

    Momentum    v  <-  momentum * v - rate * g - (rate * decay) * w
                w  <-  w + v                                    (section 5 of the paper; decay is multiplied by rate)

    Adam        kernels/update.cu has the rule

The kernels that give gradients have a choice SINK: KEEP stores them, SUM adds them to those of the batch's parts
before, MOMENTUM updates in the same kernel. `Momentum` is `Keep` followed by `apply`, to the bit; `Adam` always follows
`Keep` or `Sum`. Kernels read the rates from `device.control`, the copy of the control in device memory that
`device.begin` makes; when the last loss was not finite, nothing moves.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from cualex.devices.control import EPSILON, FIRST, SECOND, Control
from cualex.devices.runtime import Array
from cualex.engine.cuda.launching import THREADS, grid, storage


@dataclass(frozen=True)
class Keep:
    """Store the gradient."""

    gradient: Array
    kind: ClassVar[int] = 0  # as kernels/common/sink.cuh names it
    decay: ClassVar[bool] = False
    bias: ClassVar[bool] = False
    factor: ClassVar[float] = 1.0

    @property
    def target(self) -> Array:
        """Return what has the parameter's shape and is written."""
        return self.gradient

    @property
    def written(self) -> tuple[Array | None, ...]:
        """Return what a kernel writes: values, velocity, copy."""
        return self.gradient, None, None


@dataclass(frozen=True)
class Sum(Keep):
    """Add the gradients of a batch's parts; that of the first is stored."""

    control: Control
    kind: ClassVar[int] = 2


@dataclass(frozen=True)
class Momentum:
    """Update the weights, and the copy in bfloat16 that the other kernels read, where there is one.

    All arrays have one shape; `control` is the host's, whose numbers the device has its own copy of. The rate, that of
    biases with `bias`, is multiplied by `factor`.
    """

    weight: Array
    velocity: Array
    control: Control
    decay: bool
    copy: Array | None = None
    factor: float = 1.0
    bias: bool = False
    kind: ClassVar[int] = 1

    @property
    def target(self) -> Array:
        """Return what has the parameter's shape and is written."""
        return self.weight

    @property
    def written(self) -> tuple[Array | None, ...]:
        """Return what a kernel writes: values, velocity, copy."""
        return self.weight, self.velocity, self.copy


@dataclass(frozen=True)
class Adam:
    """Update the weights by their gradient's averages `first` and `second`, of the gradient and of its square."""

    weight: Array
    first: Array
    second: Array
    control: Control
    decay: bool
    copy: Array | None = None
    factor: float = 1.0
    bias: bool = False


def apply(device, gradient, sink: Momentum | Adam) -> None:
    """Move a parameter by its gradient, which was kept and stays as it is."""
    if isinstance(sink, Adam):
        reals = {"FRESH_FIRST": 1 - FIRST, "FRESH_SECOND": 1 - SECOND, "EPSILON": EPSILON}
        _launch(device, "adam", gradient, sink, (sink.first, sink.second), **reals)
    else:
        _launch(device, "momentum", gradient, sink, (sink.velocity,))


def _launch(device, name: str, gradient, sink, averages, **reals: float) -> None:
    device.launch(
        name,
        (gradient, device.control, sink.weight, *averages, sink.copy, np.float32(sink.factor)),
        grid=grid(gradient.size),
        block=THREADS,
        COUNT=gradient.size,
        DECAY=int(sink.decay),
        BIAS=int(sink.bias),
        PRECISION=storage(device),
        **reals,
    )
