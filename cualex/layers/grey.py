"""Grey images for networks that see no colour."""

from dataclasses import dataclass
from typing import ClassVar

from cualex.layers.build import Build
from cualex.layers.layer import Kept, Layer, Then
from cualex.layers.maps import Maps, Shape


@dataclass(frozen=True)
class Grey(Layer):
    """Turn the image grey: y = 0.299 red + 0.587 green + 0.114 blue, the luminance of ITU-R BT.601.

    It stands first in a network: in training it has no gradient, as nothing below it learns. Pillow's mode L has the
    same weights.
    """

    kind: ClassVar[str] = "grey"

    def output_shape(self, shape: Shape) -> Shape:
        """Return one channel."""
        return (1, *shape[1:])

    def forward(self, build: Build, x: Maps, then: Then) -> tuple[Maps, Kept]:
        """Add the colours up."""
        y = build.maps(self.output_shape(x.shape), x.towers)
        build.step(build.engine.grey.forward, reads={"x": x}, writes={"y": y})
        return y, {}

    def backward(self, build: Build, x: Maps, y: Maps, kept: Kept, dy: Maps, then: Then) -> Maps:
        """Give each colour its share of the gradient, all towers' added up."""
        dx = build.gradient(x)
        build.step(build.engine.grey.backward, reads={"dy": dy}, writes={"dx": dx})
        return dx
