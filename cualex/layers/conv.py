"""Convolution, with stride, padding and groups."""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from cualex.engine.contract import Engine
from cualex.layers.build import Build
from cualex.layers.calls import WeightedLayer
from cualex.layers.layer import Kept, Parameter, Reading, Then, windows
from cualex.layers.maps import Maps, Shape


@dataclass(frozen=True)
class Conv(WeightedLayer):
    """Slide filters over the maps.

        y[f, p, q] = bias[f] + SUM over c, r, s of x[c, p*stride + r - pad, q*stride + s - pad] * weight[f, c, r, s]

    `filters` is one tower's. With `groups`, each group of filters reads its own share of the channels. Initial
    weights have the standard deviation `std`, or are Glorot's for None; initial biases are `bias`. Section 3.5 of
    the paper. As in Caffe and PyTorch the filters are not turned about.

    Pixels that are left over at the end are not seen. With `round_up` they are: the last filters reach beyond the end,
    onto zeros, as in cuda-convnet; 224 pixels then give 55 positions of 11 by 4, as 227 do.

        >>> y = Conv(4, size=3, pad=1)(np.ones((1, 2, 5, 5), np.float32), np.ones((4, 2, 3, 3)), np.zeros(4))
        >>> y.shape, np.asarray(y)[0, 0, 0].tolist(), y.backward(np.ones(y.shape, np.float32))[0, 0, 2, 2].item()
        ((1, 4, 5, 5), [8.0, 12.0, 12.0, 12.0, 8.0], 36.0)
    """

    filters: int
    size: int
    stride: int = 1
    pad: int = 0
    groups: int = 1
    std: float | None = 0.01
    bias: float = 0.0
    round_up: bool = False
    kind: ClassVar[str] = "conv"

    def __post_init__(self) -> None:
        if self.filters % self.groups:
            raise ValueError(f"conv: {self.filters} filters do not divide into {self.groups} groups")
        if not 0 <= self.pad < self.size:
            raise ValueError(f"conv: padding must be less than the filter's size {self.size}, got {self.pad}")

    def output_shape(self, shape: Shape) -> Shape:
        """Return (filters, rows, columns)."""
        channels, rows, columns = shape
        if channels % self.groups:
            raise ValueError(f"conv: {channels} channels do not divide into {self.groups} groups")
        numbers = self.size, self.stride, self.pad, "a filter", self.round_up
        return self.filters, windows(rows, *numbers), windows(columns, *numbers)

    def border(self, shape: Shape) -> int:
        """Return the zeros that the filters see: the padding, and as much more as the last reach beyond the end."""
        seen = ((count - 1) * self.stride + self.size for count in self.output_shape(shape)[1:])
        return max(self.pad, *(end - self.pad - length for end, length in zip(seen, shape[1:], strict=True)))

    def parameters(self, shape: Shape) -> dict[str, Parameter]:
        """Return `weight` (filters, channels / groups, rows, columns) and `bias` (filters,)."""
        weight = (self.filters, shape[0] // self.groups, self.size, self.size)
        return {
            "weight": Parameter.weight(weight, self.std),
            "bias": Parameter((self.filters,), value=self.bias, decay=False),
        }

    def multiply_adds(self, shape: Shape) -> int:
        """Count output values times filter values; what falls on the padding counts too."""
        filters, rows, columns = self.output_shape(shape)
        return filters * rows * columns * shape[0] // self.groups * self.size**2

    def neurons(self, shape: Shape) -> int:
        """Count the output values."""
        filters, rows, columns = self.output_shape(shape)
        return filters * rows * columns

    def picture(self, engine: Engine[Any], shape: Shape) -> Shape:
        """Return the shape of the image as the engine's convolution reads it."""
        return engine.conv.picture(shape, size=self.size, stride=self.stride, pad=self.pad)

    def pack_picture(self, engine: Engine[Any], images: np.ndarray) -> np.ndarray:
        """Turn images (n, channels, rows, columns) into the order in which the engine's convolution reads them."""
        return engine.conv.pack_picture(images, size=self.size, stride=self.stride, pad=self.pad)

    def unpack_picture(self, engine: Engine[Any], packed: np.ndarray, shape: Shape) -> np.ndarray:
        """Turn what the engine's convolution reads back into images (n, *shape)."""
        return engine.conv.unpack_picture(packed, shape, size=self.size, stride=self.stride, pad=self.pad)

    def pack(self, engine: Engine[Any], name: str, canonical: np.ndarray, towers: int, reading: Reading) -> np.ndarray:
        """Order the filters as the engine wants them."""
        if name == "bias":
            return super().pack(engine, name, canonical, towers, reading)
        if self.groups > 1 and reading.sources > 1:
            raise ValueError("conv: groups right after an exchange are not supported; leave out one of them")
        return engine.conv.pack(
            canonical, stride=self.stride, towers=towers, sources=reading.sources, groups=self.groups
        )

    def unpack(self, engine: Engine[Any], name: str, packed: np.ndarray, reading: Reading) -> np.ndarray:
        """Order the filters canonically."""
        if name == "bias":
            return super().unpack(engine, name, packed, reading)
        return engine.conv.unpack(packed, size=self.size, stride=self.stride, sources=reading.sources)

    def forward(self, build: Build, x: Maps, then: Then) -> tuple[Maps, Kept]:
        """Convolve, add the bias, and take the ReLU in the same step where the engine can."""
        y = build.maps(self.output_shape(x.shape), x.towers)
        build.step(
            build.engine.conv.forward,
            reads={"x": x.unbind(before=self.pad), "weight": build.weight, "bias": build.bias},
            writes={"y": y},
            products=1,
            relu=bool(then),
            **self._numbers(x),
        )
        return y, {}

    def backward(self, build: Build, x: Maps, y: Maps, kept: Kept, dy: Maps, then: Then) -> Maps | None:
        """Sink the gradients of weights and biases unless frozen, and add up what the windows give for `dx`."""
        dx = build.gradient(x) if build.wants_gradient(x) else None
        if dx:
            relu_of = {"relu_of": x.unbind()} if dx.relu_taken else {}
            build.step(
                build.engine.conv.input_gradient,
                reads={"dy": dy, "weight": build.weight, **relu_of},
                writes={"dx": dx.unbind()},
                products=1,
                **self._numbers(x),
            )
        if build.trained:
            build.step(
                build.engine.conv.weight_gradient,
                reads={"x": x.unbind(before=self.pad), "dy": dy},
                sinks={"sink": "weight", "bias_sink": "bias"},
                products=1,
                **self._numbers(x),
            )
        return dx

    def _numbers(self, x: Maps) -> dict[str, Any]:
        """Return what all three functions need to know."""
        return {"size": self.size, "stride": self.stride, "pad": self.pad, "groups": self.groups, "shared": x.shared}
