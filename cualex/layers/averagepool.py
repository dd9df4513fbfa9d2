"""Average pooling, as LeNet-5 and the networks before AlexNet had it."""

from dataclasses import dataclass
from typing import ClassVar

from cualex.layers.build import Build
from cualex.layers.layer import Kept, Then
from cualex.layers.maps import Maps
from cualex.layers.pool import Pool


@dataclass(frozen=True)
class AveragePool(Pool):
    """Take the mean of each window; each of its values gets an equal share of the gradient.

    A window that is cut off at the end of the maps is divided by the values that it has, as in Caffe, cuda-convnet and
    PyTorch. LeNet-5's own pooling also had a weight and a bias for every map; this one, as everywhere today, has not.
    """

    size: int = 2
    stride: int = 2
    kind: ClassVar[str] = "averagepool"

    def forward(self, build: Build, x: Maps, then: Then) -> tuple[Maps, Kept]:
        """Pool."""
        y = build.maps(self.output_shape(x.shape), x.towers)
        build.step(build.engine.averagepool.forward, reads={"x": x}, writes={"y": y}, **self.window())
        return y, {}

    def backward(self, build: Build, x: Maps, y: Maps, kept: Kept, dy: Maps, then: Then) -> Maps:
        """Give every value its share of the gradients of its windows."""
        dx = build.gradient(x)
        build.step(build.engine.averagepool.backward, reads={"dy": dy}, writes={"dx": dx}, **self.window())
        return dx
