"""Rectified linear units: section 3.1 of the paper."""

from dataclasses import dataclass
from typing import ClassVar

from cualex.layers.layer import Layer


@dataclass(frozen=True)
class ReLU(Layer):
    """Set what is negative to zero: y = max(x, 0), and dx = dy where y > 0."""

    kind: ClassVar[str] = "relu"

    def forward(self, build, x, then):
        """Take the maximum with zero."""
        y = build.maps(x.shape, x.towers)
        for place in build.places(y):
            build.step(place, "relu.forward", reads={"x": x.at(place)}, writes={"y": y.at(place)})
        return y, {}

    def backward(self, build, x, y, kept, dy, then):
        """Pass the gradient on where the output is positive, in place; nothing where a step above has done so."""
        if not dy.relu_taken:
            for place in build.places(y):
                own = dy.at(place)
                build.step(place, "relu.backward", reads={"y": y.at(place), "dy": own}, writes={"dx": own})
        return dy
