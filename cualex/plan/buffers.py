"""The arrays of a plan: what they are for, when they live, and where in memory they lie.

A plan first says which buffers its steps read and write. From that follows how long each must live, and buffers
that never live at the same time may lie in the same memory. Only then is memory allocated, once.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from cualex.errors import OutOfMemory
from cualex.layers import Shape

ALIGNMENT = 64  # bytes; a cache line


@dataclass(eq=False)
class Buffer:
    """Describe an array on one place: (towers, pictures, rows, columns, channels) for maps.

    `border` pixels of zeros lie around maps that a padded convolution reads; they are written once. A buffer
    that is `lasting` keeps its memory for itself: it has a border, or is filled or read from outside the plan.
    """

    name: str
    place: int
    shape: tuple[int, ...]
    dtype: np.dtype
    border: int = 0
    lasting: bool = False
    first: int | None = None
    last: int | None = None
    array: np.ndarray | None = None

    @property
    def bytes(self) -> int:
        """Say how much memory the array needs."""
        return math.prod(self.shape) * np.dtype(self.dtype).itemsize

    def used(self, step: int) -> None:
        """Note that the step of that number reads or writes this buffer."""
        self.first = step if self.first is None else min(self.first, step)
        self.last = step if self.last is None else max(self.last, step)


@dataclass(frozen=True)
class Operand:
    """Name a part of a buffer: all of it or one tower, with or without the border, flat or as maps.

    With `before`, so many pixels of the border stay above and to the left, and all of it below and to the right.
    """

    buffer: Buffer
    tower: int | None = None
    before: int | None = None
    flat: bool = False

    def resolve(self, place: int) -> np.ndarray:
        """Return the array; refuse a place that is not the buffer's."""
        if place != self.buffer.place:
            raise RuntimeError(
                f"a step on place {place} may not touch {self.buffer.name} on place {self.buffer.place}: "
                "what crosses between places goes through a link"
            )
        return self.array()

    def array(self) -> np.ndarray:
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
        """Say how much memory a step moves that reads or writes this once; a border only where it is asked for."""
        return self.array().nbytes


@dataclass(frozen=True)
class Maps:
    """Hold what flows from one layer to the next on every place.

    `parts` has each place's towers side by side. Where all towers read the same (the picture, or the maps of all
    towers after an exchange), `sources` lists, for each place, what they read. `towers` have these maps, or read
    them. `positive` says that a ReLU made them; a gradient with `relu_taken` has that ReLU's derivative in it.
    """

    shape: Shape
    towers: int
    parts: tuple[Buffer | None, ...] = ()
    sources: tuple[tuple[Operand, ...], ...] = ()
    positive: bool = False
    relu_taken: bool = False

    @property
    def shared(self) -> bool:
        """Say whether all towers read the same."""
        return bool(self.sources)

    def at(self, place: int, *, flat: bool = False) -> Operand:
        """Return all towers of one place."""
        return Operand(self.parts[place], flat=flat)

    def reads(self, place: int, *, before: int | None = None, flat: bool = False) -> list[Operand]:
        """Return what is read on one place: every source where it is shared, else a part for each tower."""
        if self.shared:
            return [Operand(source.buffer, source.tower, before, flat) for source in self.sources[place]]
        part = self.parts[place]
        return [Operand(part, tower, before, flat) for tower in range(part.shape[0])]


def measure(buffers: Iterable[Buffer], place: int) -> int:
    """Return how many bytes `allocate` takes on one place."""
    own = [buffer for buffer in buffers if buffer.place == place]
    return sum(buffer.bytes for buffer in own if buffer.lasting) + _extent(arrange(_passing(own)))


def check_room(buffers: Iterable[Buffer], devices, pictures: int, batch: int, training: bool) -> None:
    """Raise OutOfMemory where the buffers of so many pictures do not fit, with the batch that would, or its parts."""
    for place, device in enumerate(devices):
        free, wanted = device.free(), measure(buffers, place)
        if free is None or wanted <= free:
            continue
        way = "not even one image fits"
        if fits := int(pictures * free / wanted):
            parts = next(n for n in range(1, batch + 1) if batch % n == 0 and batch // n <= fits)
            same = f"--accumulate {parts}, or " if training else ""
            way = f"about {fits} would fit: {same}--batch-size {fits}"
        raise OutOfMemory(
            f"batch size {pictures} needs {wanted / 1e9:.2f} GB on {device.name}, which has {free / 1e9:.2f} GB free; "
            f"{way}"
        )


def allocate(buffers: Iterable[Buffer], devices) -> int:
    """Give every buffer its memory, and return how many bytes that takes.

    Lasting buffers get their own. The others share one block a place: the largest first, each at the lowest
    offset where it meets no buffer that lives at the same time.
    """
    total = 0
    for place, device in enumerate(devices):
        own = [buffer for buffer in buffers if buffer.place == place]
        for buffer in own:
            if buffer.lasting:
                buffer.array = device.allocate(buffer.shape, buffer.dtype, zero=True)
        total += sum(buffer.bytes for buffer in own if buffer.lasting)
        offsets = arrange(_passing(own))
        block = device.allocate((_extent(offsets),), np.uint8)
        for buffer, offset in offsets.items():
            memory = block[offset : offset + buffer.bytes]
            buffer.array = memory.view(buffer.dtype).reshape(buffer.shape)
        total += _extent(offsets)
    return total


def _passing(buffers: list[Buffer]) -> list[Buffer]:
    """Return the buffers that share memory."""
    return [buffer for buffer in buffers if not buffer.lasting]


def _extent(offsets: dict[Buffer, int]) -> int:
    """Return how long the block must be that they share."""
    return max((offset + buffer.bytes for buffer, offset in offsets.items()), default=0)


def arrange(buffers: list[Buffer]) -> dict[Buffer, int]:
    """Find an offset for each buffer, so that none overlaps another that lives at the same time."""
    offsets: dict[Buffer, int] = {}
    for buffer in sorted(buffers, key=lambda b: (-b.bytes, b.first)):
        offset = 0
        for other, start in sorted(offsets.items(), key=lambda item: item[1]):
            apart = other.last < buffer.first or buffer.last < other.first
            if apart or start >= offset + buffer.bytes:
                continue
            offset = max(offset, -(-(start + other.bytes) // ALIGNMENT) * ALIGNMENT)
        offsets[buffer] = offset
    return offsets
