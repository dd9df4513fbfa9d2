"""Where the buffers of a plan lie in memory.

A plan first says which buffers its steps read and write. From that follows how long each must live, and buffers
that never live at the same time may lie in the same memory. Only then is memory allocated, once.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

import numpy as np

from cualex.devices.runtime import Array
from cualex.engine.contract import Device
from cualex.errors import OutOfMemory
from cualex.layers.maps import Buffer
from cualex.system.amounts import size

Made = TypeVar("Made")
ALIGNMENT = 64  # bytes; a cache line


def measure(buffers: Iterable[Buffer], place: int) -> int:
    """Return how many bytes `allocate` takes on one device."""
    own = [buffer for buffer in buffers if buffer.place == place]
    return sum(buffer.bytes for buffer in own if buffer.lasting) + _extent(arrange(_passing(own)))


def check_room(buffers: Iterable[Buffer], devices: Sequence[Device], pictures: int, batch: int, training: bool) -> None:
    """Raise OutOfMemory where the buffers of so many images do not fit, with the batch that would, or its parts."""
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
            f"batch size {pictures} needs {size(wanted, 3)} on {device.name}, which has {size(free, 3)} free; {way}"
        )


def fitting(make: Callable[[int], Made], batch: int) -> Made:
    """Return `make(batch)`, with the batch halved until its plan fits; raise OutOfMemory where one image does not.

    For batches that the user has not chosen, and so cannot make smaller.
    """
    while batch > 1:
        try:
            return make(batch)
        except OutOfMemory:
            batch //= 2
    return make(1)


def allocate(buffers: Iterable[Buffer], devices: Sequence[Device]) -> int:
    """Give every buffer its memory, and return how many bytes that takes.

    Lasting buffers get their own. The others share one block a device: the largest first, each at the lowest
    offset where it meets no buffer that lives at the same time. A buffer that has an array keeps it.
    """
    total = 0
    for place, device in enumerate(devices):
        own = [buffer for buffer in buffers if buffer.place == place]
        for buffer in own:
            if buffer.lasting and not buffer.packed and buffer.array is None:
                buffer.array = device.allocate(buffer.shape, buffer.dtype, zero=True)
        total += sum(buffer.bytes for buffer in own if buffer.lasting)
        offsets = arrange(_passing(own))
        block = device.allocate((_extent(offsets),), np.uint8)
        for buffer, offset in offsets.items():
            memory = block[offset : offset + buffer.bytes]
            buffer.array = memory.view(buffer.dtype).reshape(buffer.shape)
        total += _extent(offsets)
    return total


def pack(buffers: Iterable[Buffer], place: int, device: Device) -> Array | None:
    """Give the packed buffers of a device their memory, one block, and return that; None where it has none."""
    offsets: dict[Buffer, int] = {}
    end = 0
    for buffer in buffers:
        if buffer.packed and buffer.place == place:
            offsets[buffer] = -(-end // ALIGNMENT) * ALIGNMENT
            end = offsets[buffer] + buffer.bytes
    if not offsets:
        return None
    block = device.allocate((end,), np.uint8, zero=True)
    for buffer, offset in offsets.items():
        buffer.array = block[offset : offset + buffer.bytes].view(buffer.dtype).reshape(buffer.shape)
    return block


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
