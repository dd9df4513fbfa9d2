"""Where weight gradients go: kept, or straight into the weights by the paper's update rule.

    v  <-  momentum * v - rate * g - (rate * decay) * w
    w  <-  w + v                                            (section 5 of the paper; decay is multiplied by rate)

The kernels that give gradients have a choice SINK: KEEP stores them, MOMENTUM updates in the same kernel. `Momentum`
is `Keep` followed by `momentum`, to the bit. Kernels read the rates from `device.control`, the copy of the control in
device memory that `device.begin` makes; when the last loss was not finite, nothing moves.
"""

from dataclasses import dataclass

from cualex.devices import Control
from cualex.engine.cuda.maps import THREADS, grid, storage
from cualex.runtime import Array


@dataclass(frozen=True)
class Keep:
    """Store the gradient."""

    gradient: Array


@dataclass(frozen=True)
class Momentum:
    """Update the weights, and the copy in bfloat16 that the other kernels read, where there is one.

    All arrays have one shape; `control` is the host's, whose numbers the device has its own copy of.
    """

    weight: Array
    velocity: Array
    control: Control
    decay: bool
    copy: Array | None = None


def momentum(device, gradient, sink: Momentum) -> None:
    """Apply the rule to a parameter whose gradient was kept."""
    device.launch(
        "momentum",
        (gradient, device.control, sink.weight, sink.velocity, sink.copy),
        grid=grid(gradient.size),
        block=THREADS,
        COUNT=gradient.size,
        DECAY=int(sink.decay),
        PRECISION=storage(device),
    )
