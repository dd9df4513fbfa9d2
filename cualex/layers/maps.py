"""What flows between layers: maps, the buffers that hold them, and the parts of those that a step touches.

Maps     a layer's output, or a gradient, on all devices of a plan
Buffer   one array on one device; the plan decides when it lives and where it lies
Operand  all of a buffer, or one tower of it: what a step reads or writes
"""

import math
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from cualex.devices.runtime import Array

Shape = tuple[int, int, int]


class Argument(Protocol):
    """An argument of a step before its device is known: maps, a view of them, a parameter, or one operand."""

    def on(self, place: int) -> Any:
        """Return the argument of the step on one device: an operand, a list of operands, an array or a number."""


Arguments = Mapping[str, Argument | None]  # by the names that an engine's function gives them


@dataclass(eq=False)
class Buffer:
    """An array on one device: (towers, images, rows, columns, channels) for maps.

    `border` pixels of zeros lie around maps that a padded convolution reads; they are written once. A buffer
    that is `lasting` shares its memory with no other: it has a border, or is filled or read from outside the plan.
    An input has an axis of `slots` before its own, 0 for none; those that are `packed` lie one behind the other, and
    are filled by one copy. A buffer lives from the step of number `first` to that of number `last`, and has an `array`
    once the plan is allocated.
    """

    name: str
    place: int
    shape: tuple[int, ...]
    dtype: np.dtype
    border: int = 0
    lasting: bool = False
    slots: int = 0
    packed: bool = False
    first: int = sys.maxsize
    last: int = -1
    array: Array = None

    @property
    def bytes(self) -> int:
        """Return the size of the array."""
        return math.prod(self.shape) * np.dtype(self.dtype).itemsize

    @property
    def maps(self) -> Shape:
        """Return (channels, rows, columns) of maps, without their border."""
        *_, rows, columns, channels = self.shape
        return channels, rows - 2 * self.border, columns - 2 * self.border

    def used(self, step: int) -> None:
        """Note that the step of that number reads or writes this buffer."""
        self.first, self.last = min(self.first, step), max(self.last, step)


@dataclass(frozen=True)
class Operand:
    """A part of a buffer: all of it or one tower, with or without the border, flat or as maps.

    With `before`, so many pixels of the border stay above and to the left, and all of it below and to the right.
    """

    buffer: Buffer
    tower: int | None = None
    before: int | None = None
    flat: bool = False

    def on(self, place: int) -> "Operand":
        """Return itself: an operand is on one device already, and `resolve` refuses any other."""
        return self

    def resolve(self, place: int) -> Array:
        """Return the array; raise RuntimeError for a device that is not the buffer's."""
        if place != self.buffer.place:
            raise RuntimeError(
                f"a step on place {place} may not touch {self.buffer.name} on place {self.buffer.place}: "
                "what crosses between places goes through a link"
            )
        return self.array()

    def array(self) -> Array:
        """Return the array."""
        array, edge = self.buffer.array, self.buffer.border
        if edge:
            inner = slice(edge, -edge) if self.before is None else slice(edge - self.before, None)
            array = array[:, :, inner, inner]
        if self.flat:
            array = array.reshape(*array.shape[:2], -1)
        return array if self.tower is None else array[self.tower]

    @property
    def bytes(self) -> int:
        """Return how many bytes a step moves that touches this once; a border only where it is asked for."""
        return self.array().nbytes


@dataclass(frozen=True)
class PerDevice:
    """A parameter or a number of the device that a step runs on, found when the step is made."""

    find: Callable[[int], Any]

    def on(self, place: int) -> Any:
        """Return that of one device."""
        return self.find(place)


@dataclass(frozen=True)
class Maps:
    """A layer's output or its gradient, on all devices.

    `parts` has each device's towers side by side. Where all towers read the same (the image, or the maps of all
    towers after an exchange), `sources` lists, for each device, what they read. `towers` have these maps, or read
    them. `positive`: a ReLU made them; a gradient with `relu_taken` has that ReLU's derivative in it.
    """

    shape: Shape
    towers: int
    parts: tuple[Buffer | None, ...] = ()
    sources: tuple[tuple[Operand, ...], ...] = ()
    positive: bool = False
    relu_taken: bool = False

    @property
    def shared(self) -> bool:
        """Return whether all towers read the same."""
        return bool(self.sources)

    def part(self, place: int) -> Buffer:
        """Return the buffer of one device's towers; raise LookupError where it has none."""
        found = self.parts[place]
        if found is None:
            raise LookupError(f"place {place} has no tower of these maps")
        return found

    def on(self, place: int) -> Operand:
        """Return all towers of one device; of shared maps their only source."""
        if self.shared:
            (source,) = self.sources[place]
            return source
        return Operand(self.part(place))

    def each(self, place: int, *, before: int | None = None, flat: bool = False) -> list[Operand]:
        """Return the maps of one device apart: every source where they are shared, else those of each tower."""
        if self.shared:
            return [Operand(source.buffer, source.tower, before, flat) for source in self.sources[place]]
        part = self.part(place)
        return [Operand(part, tower, before, flat) for tower in range(part.shape[0])]

    def unbind(self, *, before: int | None = None, flat: bool = False) -> PerDevice:
        """Return them as a list an engine takes: a source or a tower each, with `before` pixels of padding, or flat."""
        return PerDevice(lambda place: self.each(place, before=before, flat=flat))

    def flatten(self) -> PerDevice:
        """Return them as (towers, images, features)."""
        return PerDevice(lambda place: Operand(self.part(place), flat=True))
