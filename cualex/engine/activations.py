"""Activation functions as a table: what engines compute, what an image of them shows.

Each has its function and its derivative. The derivative is taken from the output, y, which a network keeps anyway:
tanh' = 1 - y^2, and so on. In this form no large or small input overflows.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Activation:
    """Describe an activation: its name, its formula and that of its derivative, and how NumPy computes both.

    `forward(x, y, work)` writes y of x, `slope(y, work)` writes the derivative to `work`; no array but these is made.
    """

    name: str
    formula: str
    derivative_formula: str
    forward: Callable[[np.ndarray, np.ndarray, np.ndarray], object]
    slope: Callable[[np.ndarray, np.ndarray], object]

    def function(self, x) -> np.ndarray:
        """Return the function's values."""
        x = np.asarray(x)
        y = np.empty_like(x)
        self.forward(x, y, np.empty_like(x))
        return y

    def derivative(self, x) -> np.ndarray:
        """Return the derivative's values at x."""
        y = self.function(x)
        slope = np.empty_like(y)
        self.slope(y, slope)
        return slope


def _relu(x, y, work) -> None:
    np.maximum(x, 0, out=y)


def _relu_slope(y, work) -> None:
    np.greater(y, 0, out=work, casting="unsafe")


def _tanh(x, y, work) -> None:
    np.tanh(x, out=y)


def _tanh_slope(y, work) -> None:
    np.subtract(1, np.multiply(y, y, out=work), out=work)


def _sigmoid(x, y, work) -> None:
    """Write e^min(x, 0) / (1 + e^-|x|): neither exponential overflows, and small results keep their digits."""
    np.negative(np.abs(x, out=work), out=work)
    np.exp(work, out=work)
    work += 1
    np.exp(np.minimum(x, 0, out=y), out=y)
    y /= work


def _sigmoid_slope(y, work) -> None:
    np.multiply(y, np.subtract(1, y, out=work), out=work)


def _softplus(x, y, work) -> None:
    """Write max(x, 0) + log(1 + e^-|x|)."""
    np.negative(np.abs(x, out=work), out=work)
    np.log1p(np.exp(work, out=work), out=work)
    np.maximum(x, 0, out=y)
    y += work


def _softplus_slope(y, work) -> None:
    np.negative(np.expm1(np.negative(y, out=work), out=work), out=work)


def _linear(x, y, work) -> None:
    np.copyto(y, x)


def _linear_slope(y, work) -> None:
    work.fill(1)


_ALL = (
    Activation("relu", "max(x, 0)", "1 where y > 0, else 0", _relu, _relu_slope),
    Activation("tanh", "(e^x - e^-x) / (e^x + e^-x)", "1 - y^2", _tanh, _tanh_slope),
    Activation("sigmoid", "1 / (1 + e^-x)", "y (1 - y)", _sigmoid, _sigmoid_slope),
    Activation("softplus", "log(1 + e^x)", "1 - e^-y", _softplus, _softplus_slope),
    Activation("linear", "x", "1", _linear, _linear_slope),
)
ACTIVATIONS = {activation.name: activation for activation in _ALL}


def find(name: str) -> Activation:
    """Return the activation of that name; raise ValueError where there is none."""
    if name not in ACTIVATIONS:
        raise ValueError(f"no activation is called {name!r}; there are {', '.join(ACTIVATIONS)}")
    return ACTIVATIONS[name]
