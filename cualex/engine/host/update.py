"""Where weight gradients go: kept, or straight into the weights by the paper's update rule.

    v  <-  momentum * v - decay * rate * w - rate * g
    w  <-  w + v                                            (section 5 of the paper; decay is multiplied by rate)

A weight gradient arrives block by block, each block once, from any worker. `Keep` stores it. `Momentum` updates
the block's weights at once, so that a dense layer's gradient, a product of two thin matrices, is never written
to memory as a whole; it is `Keep` followed by `momentum`, to the bit.
"""

from dataclasses import dataclass

import numpy as np

from cualex.devices import Control


@dataclass(frozen=True)
class Keep:
    """Store the gradient."""

    gradient: np.ndarray

    def __call__(self, index, block: np.ndarray) -> None:
        """Take the block that stands at `index` of the parameter."""
        self.gradient[index] = block


@dataclass(frozen=True)
class Momentum:
    """Update the weights; leave them alone when the loss was not finite.

    `copy` is for engines whose products read other weights than these; here there is none.
    """

    weight: np.ndarray
    velocity: np.ndarray
    control: Control
    decay: bool
    copy: None = None

    def __call__(self, index, block: np.ndarray) -> None:
        """Take the block that stands at `index` of the parameter, and use it up."""
        if self.control.finite:
            momentum(self.weight[index], self.velocity[index], block, self.control, self.decay)


def momentum(weight, velocity, gradient, control: Control, decay: bool) -> None:
    """Apply the rule to one block in place; `gradient` is used up as work space."""
    velocity *= control.momentum
    gradient *= control.rate
    velocity -= gradient
    if decay and control.decay:
        np.multiply(weight, control.rate * control.decay, out=gradient)
        velocity -= gradient
    weight += velocity
