"""Dense (fully connected) layers."""

import math
from dataclasses import dataclass
from typing import ClassVar

from cualex.layers.layer import Layer, Parameter


@dataclass(frozen=True)
class Dense(Layer):
    """Connect every output with every input.

        y[o] = bias[o] + SUM over i of x[i] * weight[o, i]

    `outputs` is one tower's. Canonical inputs run over channels, rows, columns, as PyTorch and Caffe flatten maps.
    Initial weights have the standard deviation `std`, or are Glorot's for None; initial biases are `bias`.
    """

    outputs: int
    std: float | None = 0.01
    bias: float = 0.0
    kind: ClassVar[str] = "dense"

    def output_shape(self, shape):
        """Return (outputs, 1, 1)."""
        return (self.outputs, 1, 1)

    def parameters(self, shape):
        """Return `weight` (outputs, inputs) and `bias` (outputs,)."""
        return {
            "weight": Parameter.weight((self.outputs, math.prod(shape)), self.std),
            "bias": Parameter((self.outputs,), value=self.bias, decay=False),
        }

    def multiply_adds(self, shape):
        """Count the weights."""
        return self.outputs * math.prod(shape)

    def neurons(self, shape):
        """Count the outputs."""
        return self.outputs

    def pack(self, engine, name, canonical, towers, reading):
        """Order the weights as the engine wants them."""
        if name == "bias":
            return super().pack(engine, name, canonical, towers, reading)
        return engine.dense.pack(canonical, towers=towers, maps=self._maps(reading), sources=reading.sources)

    def unpack(self, engine, name, packed, reading):
        """Order the weights canonically."""
        if name == "bias":
            return super().unpack(engine, name, packed, reading)
        return engine.dense.unpack(packed, maps=self._maps(reading), sources=reading.sources)

    def _maps(self, reading):
        channels, rows, columns = reading.shape
        return (channels // reading.sources, rows, columns)

    def forward(self, build, x, then):
        """Multiply, add the bias, and take the ReLU in the same step where the engine can."""
        y = build.maps(self.output_shape(x.shape), x.towers)
        for place in build.places(y):
            build.step(
                place,
                "dense.forward",
                reads={"x": x.reads(place, flat=True), **build.parameters_of(place)},
                writes={"y": y.at(place, flat=True)},
                products=1,
                shared=x.shared,
                relu=bool(then),
            )
        return y, {}

    def backward(self, build, x, y, kept, dy, then):
        """Write the input's gradient and sink those of weights and biases, in one pass over the weights.

        A frozen layer sinks none.
        """
        dx = build.gradient(x, relu=False)
        for place in build.places(y):
            build.step(
                place,
                "dense.backward",
                reads={
                    "x": x.reads(place, flat=True),
                    "weight": build.parameters_of(place)["weight"],
                    "dy": dy.at(place, flat=True),
                },
                writes={"dx": dx.reads(place, flat=True) if dx else None},
                sinks={"sink": "weight", "bias_sink": "bias"} if build.trained else {},
                products=bool(dx) + build.trained,
                shared=x.shared,
            )
        return dx
