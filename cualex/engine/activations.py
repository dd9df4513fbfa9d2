"""Activation functions as a table: what engines compute, what a plot of them shows.

Each has its function and its derivative, and says what the derivative is computed from, the only array that is kept for
the backward pass: mostly the output, y, as in tanh' = 1 - y^2; for functions that are not monotone the input, x. No
large or small input overflows. A name with numbers sets the parameters: "leaky-relu:0.2", "linear:2,0.5" for 2 x + 0.5.

A function is added here, at the end of `_ALL`; in kernels/activations.cuh (a number, a branch in `activate` and one in
`slope`); in formats/onnx/graph.py, `_activation`, where ONNX's opset has no operator for it; to `ACTIVATIONS` of
devices/self_test/maps.py (function and derivative, for the first use on a GPU); and in tests/support/reference.py (the
formula in float64). cli/topics/networks.txt names all of them; tests with lists of them fail
(tests/engine/test_activation.py). Where it should also be drawn in a tour without a server, or be written for Caffe:
`FUNCTIONS` of page/tour.py and page/offline/engine.js; `_activation` of formats/caffe/graph.py.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache, partial

import numpy as np


@dataclass(frozen=True)
class Activation:
    """An activation: its name, its formula and that of its derivative, and how NumPy computes both.

    forward(x, y, work, parameter) writes y; slope(kept, work, parameter) writes the derivative to `work`.
    keeps: "y" or "x", which array `slope` reads.  parameter: a of the formula; None where it has none.  offset: its b.
    steepness: of the function at 0, by which lenet5 scales its initial weights.
    """

    name: str
    formula: str
    derivative_formula: str
    forward: Callable[[np.ndarray, np.ndarray, np.ndarray, float], object]
    slope: Callable[[np.ndarray, np.ndarray, float], object]
    keeps: str = "y"
    parameter: float | None = None
    offset: float = 0.0
    steepness: float = 1.0

    @property
    def kernel(self) -> str:
        """The name in kernels/activations.cuh: a x + b is a function of its own, of two roundings."""
        plain = "affine" if self.name == "linear" and self.parameter is not None else self.name
        return f"{plain.upper().replace('-', '_')}_FUNCTION"

    @property
    def a(self) -> float:
        """The parameter, or 0."""
        return self.parameter or 0.0

    def function(self, x) -> np.ndarray:
        """Return the function's values."""
        x = np.asarray(x)
        y = np.empty_like(x)
        self.forward(x, y, np.empty_like(x), self.a)
        return y

    def derivative(self, x) -> np.ndarray:
        """Return the derivative's values at x."""
        kept = self.function(x) if self.keeps == "y" else np.asarray(x)
        slope = np.empty_like(kept)
        self.slope(kept, slope, self.a)
        return slope


def _relu(x, y, work, a) -> None:
    np.maximum(x, 0, out=y)


def _relu_slope(y, work, a) -> None:
    np.greater(y, 0, out=work, casting="unsafe")


def _tanh(x, y, work, a) -> None:
    np.tanh(x, out=y)


def _tanh_slope(y, work, a) -> None:
    np.subtract(1, np.multiply(y, y, out=work), out=work)


def _sigmoid(x, y, work, a) -> None:
    """Write e^min(x, 0) / (1 + e^-|x|): neither exponential overflows, and small results keep their digits."""
    np.negative(np.abs(x, out=work), out=work)
    np.exp(work, out=work)
    work += 1
    np.exp(np.minimum(x, 0, out=y), out=y)
    y /= work


def _sigmoid_slope(y, work, a) -> None:
    np.multiply(y, np.subtract(1, y, out=work), out=work)


def _softplus(x, y, work, a) -> None:
    """Write max(x, 0) + log(1 + e^-|x|)."""
    np.negative(np.abs(x, out=work), out=work)
    np.log1p(np.exp(work, out=work), out=work)
    np.maximum(x, 0, out=y)
    y += work


def _softplus_slope(y, work, a) -> None:
    np.negative(np.expm1(np.negative(y, out=work), out=work), out=work)


def _linear(x, y, work, a) -> None:
    np.copyto(y, x)


def _linear_slope(y, work, a) -> None:
    work.fill(1)


def _affine(x, y, work, a, b) -> None:
    np.multiply(x, a, out=y)
    y += y.dtype.type(b)


def _affine_slope(y, work, a) -> None:
    work.fill(a)


def _leaky_relu(x, y, work, a) -> None:
    """Write the larger of x and a x, for a of 0 to 1."""
    np.maximum(x, np.multiply(x, a, out=work), out=y)


def _leaky_relu_slope(y, work, a) -> None:
    np.copyto(work, y)  # what is not a number stays
    np.copyto(work, 1, where=y > 0)
    np.copyto(work, a, where=y <= 0)


def _elu(x, y, work, a) -> None:
    np.multiply(np.expm1(np.minimum(x, 0, out=work), out=work), a, out=work)
    np.copyto(y, work)
    np.copyto(y, x, where=x > 0)


def _elu_slope(y, work, a) -> None:
    np.add(y, a, out=work)
    np.copyto(work, 1, where=y > 0)


# NumPy has no erfc; that of the C library takes 0.1 us a value.
_erfc = np.frompyfunc(math.erfc, 1, 1)
FAR = 40.0  # from here on the normal distribution function is 0 or 1 in float64


def _normal(x) -> np.ndarray:
    """Return the distribution function of the standard normal distribution: erfc(-x / sqrt(2)) / 2, in float64."""
    return 0.5 * np.asarray(_erfc(np.asarray(x, np.float64) * -math.sqrt(0.5)), np.float64)


def _gelu(x, y, work, a) -> None:
    near = np.maximum(x, -FAR)  # -inf times 0 is not a number
    np.copyto(y, near * _normal(near), casting="same_kind")


def _gelu_slope(x, work, a) -> None:
    near = np.clip(np.asarray(x, np.float64), -FAR, FAR)
    np.copyto(work, _normal(near) + near * np.exp(-near * near / 2) / math.sqrt(2 * math.pi), casting="same_kind")


_ALL = (
    Activation("relu", "max(x, 0)", "1 where y > 0, else 0", _relu, _relu_slope),
    Activation("tanh", "(e^x - e^-x) / (e^x + e^-x)", "1 - y^2", _tanh, _tanh_slope),
    Activation("sigmoid", "1 / (1 + e^-x)", "y (1 - y)", _sigmoid, _sigmoid_slope, steepness=0.25),
    Activation("softplus", "log(1 + e^x)", "1 - e^-y", _softplus, _softplus_slope, steepness=0.5),
    Activation("linear", "x", "1", _linear, _linear_slope),
    Activation("leaky-relu", "max(x, a x)", "1 where y > 0, else a", _leaky_relu, _leaky_relu_slope, parameter=0.01),
    Activation("elu", "x where x > 0, else a (e^x - 1)", "1 where y > 0, else y + a", _elu, _elu_slope, parameter=1.0),
    Activation(
        "gelu",
        "x P(x), P: normal CDF",
        "P(x) + x e^(-x^2/2) / sqrt(2 pi)",
        _gelu,
        _gelu_slope,
        keeps="x",
        steepness=0.5,
    ),
)
ACTIVATIONS = {activation.name: activation for activation in _ALL}


@cache
def find(name: str) -> Activation:
    """Return the activation "NAME" or "NAME:PARAMETER"; raise ValueError where there is none."""
    plain, colon, text = name.partition(":")
    if plain not in ACTIVATIONS:
        raise ValueError(f"no activation is called {plain!r}; there are {', '.join(ACTIVATIONS)}")
    found = ACTIVATIONS[plain]
    if not colon:
        return found
    if plain == "linear":
        return _line(found, text)
    if found.parameter is None:
        raise ValueError(f"activation {plain} has no parameter, got {name!r}")
    try:
        value = float(text)
    except ValueError:
        raise ValueError(f"activation {name!r}: expected a number after the colon, as in {plain}:0.2") from None
    if not 0 < value <= 1:
        raise ValueError(f"activation {name!r}: expected a parameter above 0 and at most 1")
    return replace(found, parameter=value)


def _line(linear: Activation, text: str) -> Activation:
    """Return a x + b by its numbers: "a,b", or "a" alone, as cuda-convnet's linear[a,b]."""
    try:
        a, b = (float(each) for each in text.split(",") + ["0"] * (1 - text.count(",")))
    except ValueError:
        raise ValueError(
            f"activation 'linear:{text}': expected two numbers, as in linear:2,0.5 for 2 x + 0.5"
        ) from None
    if not (math.isfinite(a) and math.isfinite(b)):
        raise ValueError(f"activation 'linear:{text}': expected finite numbers")
    return replace(
        linear,
        formula="a x + b",
        derivative_formula="a",
        forward=partial(_affine, b=b),
        slope=_affine_slope,
        parameter=a,
        offset=b,
    )
