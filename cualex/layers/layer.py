"""What every layer is: frozen numbers that know shapes, parameters and state, and put their steps into a plan.

A layer holds no arrays and names no device. Its `forward` and `backward` hand the plan functions of the engine, with
the maps that these read and write; the plan allocates the maps, and makes and runs a step on each device.
Shapes are (channels, rows, columns) of what one tower reads or writes, without the images.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from cualex.engine.contract import Engine
from cualex.layers.build import Build
from cualex.layers.maps import Maps, Shape

Kept = Mapping[str, Maps | None]  # what a forward pass keeps for the backward pass, by the engine's argument
Then = tuple["Layer", ...]  # the layers that the engine runs in the same step


@dataclass(frozen=True)
class Parameter:
    """One tower's part of a parameter or of a state: canonical shape, initial values, whether it decays.

    Initial values are drawn from a normal distribution around `value` with standard deviation `std`; where `limit`
    is given, evenly from value - limit to value + limit instead.
    """

    shape: tuple[int, ...]
    std: float = 0.0
    value: float = 0.0
    decay: bool = True
    limit: float = 0.0

    @classmethod
    def weight(cls, shape: tuple[int, ...], std: float | None) -> "Parameter":
        """Describe weights (outputs, inputs, rows, columns) of deviation `std`, or, for None, Glorot's."""
        return cls(shape, std=std) if std is not None else cls(shape, limit=glorot(shape))

    def draw(self, shape: tuple[int, ...], key: list[int]) -> np.ndarray:
        """Draw initial values of a shape, float32, from a generator with that key: two numbers of 64 bits."""
        generator = np.random.Generator(np.random.Philox(key=np.array(key, np.uint64)))
        if self.limit:
            values = generator.random(shape, np.float32)
            values *= np.float32(2 * self.limit)
            values += np.float32(self.value - self.limit)
        elif self.std:
            values = generator.standard_normal(shape, np.float32)
            values *= np.float32(self.std)
            values += np.float32(self.value)
        else:
            values = np.full(shape, self.value, np.float32)
        return values


def glorot(weight: tuple[int, ...]) -> float:
    """Return the limit sqrt(6 / (fan in + fan out)) of initial weights of a shape (outputs, inputs, rows, columns).

    Either fan counts the values that one unit reads, or is read by, with the pixels of the filter; the outputs are
    one tower's. Glorot and Bengio (2010), equation 16: signals and gradients then keep their size.
    """
    outputs, inputs, *window = weight
    return math.sqrt(6 / ((outputs + inputs) * math.prod(window)))


@dataclass(frozen=True)
class Reading:
    """What one tower reads: the shape, from how many sources, and whether all towers read the same.

    With `own_first` a tower's canonical weights begin with those for its own maps.
    """

    shape: Shape
    sources: int = 1
    shared: bool = False
    own_first: bool = False


class Layer:
    """A layer that changes nothing: the defaults of all the others."""

    kind: ClassVar[str]
    pad: int = 0

    def output_shape(self, shape: Shape) -> Shape:
        """Return the shape of the output for an input of `shape`."""
        return shape

    def parameters(self, shape: Shape) -> dict[str, Parameter]:
        """Return the parameters of one tower, by their last name ("weight")."""
        return {}

    def state(self, shape: Shape) -> dict[str, Parameter]:
        """Return what one tower keeps from step to step and no update moves, by its last name ("mean")."""
        return {}

    def least_batch(self, shape: Shape) -> int:
        """Return the fewest images that it can be trained on at once."""
        return 1

    def multiply_adds(self, shape: Shape) -> int:
        """Count the multiply-adds of one tower's products for one image; 0 where there is no product."""
        return 0

    def neurons(self, shape: Shape) -> int:
        """Count the units of one tower as the paper does: the outputs of convolution and dense layers."""
        return 0

    def border(self, shape: Shape) -> int:
        """Return how many pixels of zeros the layer wants around an input of `shape`, on each side."""
        return 0

    def picture(self, engine: Engine[Any], shape: Shape) -> Shape:
        """Return the shape in which this layer, as the first, wants the image from the engine."""
        return shape

    def pack_picture(self, engine: Engine[Any], images: np.ndarray) -> np.ndarray:
        """Turn images (n, channels, rows, columns) into what this layer, as the first, reads (`picture`)."""
        return images.transpose(0, 2, 3, 1)

    def unpack_picture(self, engine: Engine[Any], packed: np.ndarray, shape: Shape) -> np.ndarray:
        """Turn what this layer reads, or its gradient, back into images (n, *shape)."""
        return packed.transpose(0, 3, 1, 2)

    def pack(self, engine: Engine[Any], name: str, canonical: np.ndarray, towers: int, reading: Reading) -> np.ndarray:
        """Turn a canonical parameter of `towers` towers into the engine's order, with a leading tower axis."""
        return canonical.reshape(towers, -1).copy()

    def unpack(self, engine: Engine[Any], name: str, packed: np.ndarray, reading: Reading) -> np.ndarray:
        """Turn a parameter in the engine's order back into the canonical one."""
        return packed.reshape(-1).copy()

    def forward(self, build: Build, x: Maps, then: Then) -> tuple[Maps, Kept]:
        """Append the steps of the forward pass; return the output and what the backward pass needs.

        `then` are the layers that the engine runs in the same step.
        """
        raise TypeError(f"{type(self).__name__} has no forward pass of its own")

    def backward(self, build: Build, x: Maps, y: Maps, kept: Kept, dy: Maps, then: Then) -> Maps | None:
        """Append the steps of the backward pass; return the gradient of the input, or None: nothing below learns."""
        raise TypeError(f"{type(self).__name__} has no backward pass of its own")


def windows(length: int, size: int, stride: int, pad: int, what: str, round_up: bool = False) -> int:
    """Count the positions of a window along `length` pixels; what is left over at the end is not seen.

    With `round_up` it is: one more window reaches beyond the end, as long as it begins before it.
    """
    left = length + 2 * pad - size
    count = min(-(-left // stride), (length + pad - 1) // stride) + 1 if round_up else left // stride + 1
    if left < 0 or count < 1:
        raise ValueError(f"{what} of size {size} does not fit into {length} pixels with padding {pad}")
    return count
