"""Rectified linear units: section 3.1 of the paper."""

from dataclasses import dataclass
from typing import ClassVar

from cualex.layers.build import Build
from cualex.layers.calls import MapLayer
from cualex.layers.layer import Kept, Then
from cualex.layers.maps import Maps


@dataclass(frozen=True)
class ReLU(MapLayer):
    """Set what is negative to zero: y = max(x, 0), and dx = dy where y > 0."""

    kind: ClassVar[str] = "relu"

    def forward(self, build: Build, x: Maps, then: Then) -> tuple[Maps, Kept]:
        """Take the maximum with zero."""
        y = build.maps(x.shape, x.towers)
        build.step(build.engine.relu.forward, reads={"x": x}, writes={"y": y})
        return y, {}

    def backward(self, build: Build, x: Maps, y: Maps, kept: Kept, dy: Maps, then: Then) -> Maps:
        """Pass the gradient on where the output is positive, in place; nothing where a step above has done so."""
        if not dy.relu_taken:
            build.step(build.engine.relu.backward, reads={"y": y, "dy": dy}, writes={"dx": dy})
        return dy
