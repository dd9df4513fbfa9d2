"""Dense (fully connected) layers."""

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from cualex.engine.contract import Engine
from cualex.layers.build import Build
from cualex.layers.calls import WeightedLayer
from cualex.layers.layer import Kept, Parameter, Reading, Then
from cualex.layers.maps import Maps, Shape


@dataclass(frozen=True)
class Dense(WeightedLayer):
    """Connect every output with every input.

        y[o] = bias[o] + SUM over i of x[i] * weight[o, i]

    `outputs` is one tower's. Canonical inputs run over channels, rows, columns, as PyTorch and Caffe flatten maps.
    Initial weights have the standard deviation `std`, or are Glorot's for None; initial biases are `bias`.

        >>> y = Dense(3)(np.ones((2, 4, 1, 1), np.float32), np.full((3, 4), 0.5), np.zeros(3))
        >>> y.shape, np.asarray(y).ravel().tolist(), y.backward(np.ones(y.shape, np.float32)).ravel()[:2].tolist()
        ((2, 3, 1, 1), [2.0, 2.0, 2.0, 2.0, 2.0, 2.0], [1.5, 1.5])
    """

    outputs: int
    std: float | None = 0.01
    bias: float = 0.0
    kind: ClassVar[str] = "dense"

    def output_shape(self, shape: Shape) -> Shape:
        """Return (outputs, 1, 1)."""
        return (self.outputs, 1, 1)

    def parameters(self, shape: Shape) -> dict[str, Parameter]:
        """Return `weight` (outputs, inputs) and `bias` (outputs,)."""
        return {
            "weight": Parameter.weight((self.outputs, math.prod(shape)), self.std),
            "bias": Parameter((self.outputs,), value=self.bias, decay=False),
        }

    def multiply_adds(self, shape: Shape) -> int:
        """Count the weights."""
        return self.outputs * math.prod(shape)

    def neurons(self, shape: Shape) -> int:
        """Count the outputs."""
        return self.outputs

    def pack(self, engine: Engine[Any], name: str, canonical: np.ndarray, towers: int, reading: Reading) -> np.ndarray:
        """Order the weights as the engine wants them."""
        if name == "bias":
            return super().pack(engine, name, canonical, towers, reading)
        return engine.dense.pack(canonical, towers=towers, maps=self._maps(reading), sources=reading.sources)

    def unpack(self, engine: Engine[Any], name: str, packed: np.ndarray, reading: Reading) -> np.ndarray:
        """Order the weights canonically."""
        if name == "bias":
            return super().unpack(engine, name, packed, reading)
        return engine.dense.unpack(packed, maps=self._maps(reading), sources=reading.sources)

    def _maps(self, reading: Reading) -> Shape:
        channels, rows, columns = reading.shape
        return (channels // reading.sources, rows, columns)

    def forward(self, build: Build, x: Maps, then: Then) -> tuple[Maps, Kept]:
        """Multiply, add the bias, and take the ReLU in the same step where the engine can."""
        y = build.maps(self.output_shape(x.shape), x.towers)
        build.step(
            build.engine.dense.forward,
            reads={"x": x.unbind(flat=True), "weight": build.weight, "bias": build.bias},
            writes={"y": y.flatten()},
            products=1,
            shared=x.shared,
            relu=bool(then),
        )
        return y, {}

    def backward(self, build: Build, x: Maps, y: Maps, kept: Kept, dy: Maps, then: Then) -> Maps | None:
        """Write the input's gradient and sink those of weights and biases, in one pass over the weights.

        A frozen layer sinks none.
        """
        dx = build.gradient(x, relu=False) if build.wants_gradient(x) else None
        build.step(
            build.engine.dense.backward,
            reads={"x": x.unbind(flat=True), "weight": build.weight, "dy": dy.flatten()},
            writes={"dx": dx and dx.unbind(flat=True)},
            sinks={"sink": "weight", "bias_sink": "bias"} if build.trained else {},
            products=(dx is not None) + build.trained,
            shared=x.shared,
        )
        return dx
