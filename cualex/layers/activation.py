"""Activations other than ReLU: tanh, logistic sigmoid, softplus, linear."""

from dataclasses import dataclass
from typing import ClassVar

from cualex.engine import activations
from cualex.layers.layer import Layer
from cualex.layers.relu import ReLU


@dataclass(frozen=True)
class Activation(Layer):
    """Apply a function of the table to every value: y = f(x), dx = dy f'(x), the derivative taken from y.

    ReLU is a layer of its own, for engines take it in the same step as its neighbours. Section 3.1 of the paper
    compares it with tanh.
    """

    function: str
    kind: ClassVar[str] = "activation"

    def __post_init__(self):
        if activations.find(self.function).name == "relu":
            raise ValueError("activation: relu is a layer of its own, ReLU()")

    def forward(self, build, x, then):
        """Apply the function."""
        y = build.maps(x.shape, x.towers)
        for place in build.places(y):
            build.step(
                place,
                "activation.forward",
                reads={"x": x.at(place)},
                writes={"y": y.at(place)},
                function=self.function,
            )
        return y, {}

    def backward(self, build, x, y, kept, dy, then):
        """Multiply the gradient by the derivative, in place."""
        for place in build.places(y):
            own = dy.at(place)
            build.step(
                place,
                "activation.backward",
                reads={"y": y.at(place), "dy": own},
                writes={"dx": own},
                function=self.function,
            )
        return dy


def activation(function: str) -> Layer:
    """Return the layer of an activation's name."""
    return ReLU() if function == "relu" else Activation(function)
