"""What both engines offer, function by function, for layers with weights, and where their gradients go.

Maps, `device` and "in place" are as in map_ops.py. A *list of maps* has (images, rows, columns, channels) for each
tower; with `shared`, for each source that every tower reads, side by side along the channels. Weights are as the
engine's `pack` orders them, biases (towers, outputs), both of the device's `master` type. With `relu` a forward
function sets what is negative to zero. A `Sink` takes the gradient of a parameter (`UpdateOps`).
"""

from typing import Any, Protocol

import numpy as np

from cualex.devices.control import Control
from cualex.devices.runtime import Array
from cualex.engine.map_ops import D, Maps

Sink = Any  # made by `UpdateOps` of the same engine
Shape = tuple[int, int, int]


class ConvOps(Protocol[D]):
    """Convolution: `x` is a list of maps, y (towers, images, rows, columns, filters)."""

    def pack(
        self, canonical: np.ndarray, *, stride: int = ..., towers: int = ..., sources: int = ..., groups: int = ...
    ) -> np.ndarray:
        """Turn (towers * filters, sources * channels / groups, rows, columns) into the engine's order."""

    def unpack(self, packed: np.ndarray, *, size: int, stride: int = ..., sources: int = ...) -> np.ndarray:
        """Turn the engine's order back into the canonical one."""

    def picture(self, shape: Shape, *, size: int, stride: int, pad: int) -> Shape:
        """Return (channels, rows, columns) in which the first layer reads an image of `shape`."""

    def pack_picture(self, images: np.ndarray, *, size: int, stride: int, pad: int) -> np.ndarray:
        """Turn images (n, channels, rows, columns) into (n, rows, columns, channels) of the shape from `picture`."""

    def unpack_picture(self, packed: np.ndarray, shape: Shape, *, size: int, stride: int, pad: int) -> np.ndarray:
        """Turn what `pack_picture` gives, or its gradient, back into images (n, *shape)."""

    def forward(
        self,
        device: D,
        x: list[Maps],
        weight: Array,
        bias: Array,
        y: Maps,
        *,
        size: int,
        stride: int = ...,
        pad: int = ...,
        groups: int = ...,
        shared: bool = ...,
        relu: bool = ...,
    ) -> None:
        """Write y = x * weight + bias; filters are size x size pixels, `pad` pixels of zeros lie around x."""

    def input_gradient(
        self,
        device: D,
        dy: Maps,
        weight: Array,
        dx: list[Maps],
        *,
        size: int,
        stride: int = ...,
        pad: int = ...,
        groups: int = ...,
        shared: bool = ...,
        relu_of: list[Maps] | None = ...,
    ) -> None:
        """Write dx, a list as x is, of the x that made y; with `relu_of`, the x itself, through its ReLU as well."""

    def weight_gradient(
        self,
        device: D,
        x: list[Maps],
        dy: Maps,
        sink: Sink,
        bias_sink: Sink,
        *,
        size: int,
        stride: int = ...,
        pad: int = ...,
        groups: int = ...,
        shared: bool = ...,
    ) -> None:
        """Give the sinks the gradients of weights and biases."""


class DenseOps(Protocol[D]):
    """Dense layers: `x` is a list of (images, inputs), y (towers, images, outputs)."""

    def pack(self, canonical: np.ndarray, *, towers: int = ..., maps: Shape, sources: int = ...) -> np.ndarray:
        """Turn (towers * outputs, inputs) into the engine's order; `maps` is the shape of one source."""

    def unpack(self, packed: np.ndarray, *, maps: Shape, sources: int = ...) -> np.ndarray:
        """Turn the engine's order back into the canonical one."""

    def forward(
        self,
        device: D,
        x: list[Array],
        weight: Array,
        bias: Array,
        y: Array,
        *,
        shared: bool = ...,
        relu: bool = ...,
    ) -> None:
        """Write y = x weight + bias."""

    def backward(
        self,
        device: D,
        x: list[Array],
        weight: Array,
        dy: Array,
        dx: list[Array] | None,
        sink: Sink | None = ...,
        bias_sink: Sink | None = ...,
        *,
        shared: bool = ...,
    ) -> None:
        """Write dx, unless None, then give the sinks the gradients; without sinks the layer is frozen."""


class BatchNormOps(Protocol[D]):
    """Batch normalisation of maps; weight, bias, mean and variance are (towers, channels)."""

    def forward(
        self, device: D, x: Maps, weight: Array, bias: Array, y: Maps, mean: Array, variance: Array, *, epsilon: float
    ) -> None:
        """Write the batch's mean and biased variance, and y = weight (x - mean) / sqrt(variance + epsilon) + bias."""

    def infer(
        self, device: D, x: Maps, weight: Array, bias: Array, mean: Array, variance: Array, y: Maps, *, epsilon: float
    ) -> None:
        """Write y for a mean and a variance that are given."""

    def backward(
        self,
        device: D,
        x: Maps,
        weight: Array,
        mean: Array,
        variance: Array,
        dy: Maps,
        dx: Maps | None,
        sink: Sink,
        bias_sink: Sink,
        *,
        epsilon: float,
        relu: bool = ...,
    ) -> None:
        """Write dx, unless None, in place; give the sinks the gradients of weight and bias."""

    def backward_frozen(
        self,
        device: D,
        x: Maps,
        weight: Array,
        variance: Array,
        dy: Maps,
        dx: Maps,
        *,
        epsilon: float,
        relu: bool = ...,
    ) -> None:
        """Write dx, in place, where mean and variance are given, not the batch's."""

    def average(
        self,
        device: D,
        batch_mean: Array,
        batch_variance: Array,
        mean: Array,
        variance: Array,
        *,
        momentum: float,
        control: Control,
    ) -> None:
        """Move the running averages: mean = momentum * mean + (1 - momentum) * batch_mean; not after a loss of NaN."""


class TreeOps(Protocol):
    """Gradients of parts added as a balanced tree, which an engine may have."""

    def levels(self, count: int) -> int:
        """Return how many arrays of the parameter's shape the sum of `count` parts takes."""

    def TreeSum(self, levels: tuple[Array, ...], count: int, control: Control) -> Sink:
        """Add up the gradients of `count` parts; the last of `levels` gets the sum."""


class UpdateOps(Protocol[D]):
    """Gradient sinks: `Keep` and `Sum` store a gradient, `Momentum`, `Adam` and `Lars` update the weights with it.

    All arrays have the parameter's shape. decay: multiplier of the L2 weight decay. copy: the weights in the type of
    the maps, where products read those. factor: learning-rate multiplier. bias: take the learning rate of biases.
    """

    def Keep(self, gradient: Array) -> Sink:
        """Store the gradient."""

    def Sum(self, gradient: Array, control: Control) -> Sink:
        """Add up the gradients of a batch's parts in a chain; that of the first is stored."""

    def Momentum(
        self,
        weight: Array,
        velocity: Array,
        control: Control,
        decay: float,
        copy: Any = ...,
        factor: float = ...,
        bias: bool = ...,
    ) -> Sink:
        """Update by SGD with momentum: section 5 of the paper. Nothing moves after a loss that is not finite."""

    def Adam(
        self,
        weight: Array,
        first: Array,
        second: Array,
        control: Control,
        decay: float,
        copy: Any = ...,
        factor: float = ...,
        bias: bool = ...,
    ) -> Sink:
        """Update by Adam, with the averages of the gradient and of its square."""

    def Lars(
        self,
        weight: Array,
        velocity: Array,
        control: Control,
        decay: float,
        copy: Any = ...,
        factor: float = ...,
        bias: bool = ...,
    ) -> Sink:
        """Update by LARS: as `Momentum`, each tower's share at a rate by the norms of its weights and gradient."""

    def apply(self, device: D, gradient: Array, sink: Sink) -> None:
        """Update a parameter by a gradient that `Keep` or `Sum` has stored; sink: `Momentum`, `Adam` or `Lars`."""
