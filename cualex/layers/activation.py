"""Activations other than ReLU: those of engine/activations.py."""

from dataclasses import dataclass
from typing import ClassVar

from cualex.engine import activations
from cualex.layers.build import Build
from cualex.layers.calls import MapLayer
from cualex.layers.layer import Kept, Layer, Then
from cualex.layers.maps import Maps
from cualex.layers.relu import ReLU


@dataclass(frozen=True)
class Activation(MapLayer):
    """Apply a function of engine/activations.py to every value: y = f(x), dx = dy f'(x).

    function: its name, or "leaky-relu:0.2" with the parameter. ReLU is a layer of its own, since engines compute it in
    the same step as its neighbours. Section 3.1 of the paper compares it with tanh.
    """

    function: str
    kind: ClassVar[str] = "activation"

    def __post_init__(self) -> None:
        if activations.find(self.function).name == "relu":
            raise ValueError("activation: relu is a layer of its own, ReLU()")

    def forward(self, build: Build, x: Maps, then: Then) -> tuple[Maps, Kept]:
        """Apply the function."""
        y = build.maps(x.shape, x.towers)
        build.step(build.engine.activation.forward, reads={"x": x}, writes={"y": y}, function=self.function)
        return y, {}

    def backward(self, build: Build, x: Maps, y: Maps, kept: Kept, dy: Maps, then: Then) -> Maps:
        """Multiply the gradient by the derivative, in place."""
        read = x if activations.find(self.function).keeps == "x" else y
        step = build.engine.activation.backward
        build.step(step, reads={"kept": read, "dy": dy}, writes={"dx": dy}, function=self.function)
        return dy


def activation(function: str) -> Layer:
    """Return the layer of an activation's name."""
    return ReLU() if function == "relu" else Activation(function)
