"""Where weight gradients go: kept, or straight into the weights by the paper's update rule.

    v  <-  momentum * v - rate * g - (rate * decay) * w
    w  <-  w + v                                            (section 5 of the paper; decay is multiplied by rate)

The kernels that give gradients have a choice SINK: KEEP stores them, MOMENTUM updates in the same kernel. `Momentum`
is `Keep` followed by `momentum`, to the bit. Rates are read from the control in device memory; when the last loss was
not finite, nothing moves.
"""

from dataclasses import dataclass

from cualex.cuda import grid_of
from cualex.runtime import Array

THREADS = 256


@dataclass(frozen=True)
class Keep:
    """Store the gradient."""

    gradient: Array


@dataclass(frozen=True)
class Momentum:
    """Update the weights, and the copy in bfloat16 that the other kernels read, where there is one."""

    weight: Array
    velocity: Array
    control: Array
    decay: bool
    copy: Array | None = None


def momentum(device, weight, velocity, gradient, control, decay, copy=None) -> None:
    """Apply the rule to a parameter in place; all are float32 of one shape, `copy` its rounding to bfloat16 or None.

    The gradient stays as it is.
    """
    device.launch(
        "momentum",
        (gradient, control, weight, velocity, copy),
        grid=grid_of(weight.size, THREADS),
        block=THREADS,
        COUNT=weight.size,
        DECAY=int(decay),
    )
