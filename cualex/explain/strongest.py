"""The images that excite a filter most, and where in them."""

import heapq
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from cualex.errors import UsageError


@dataclass(frozen=True, eq=False)
class Strongest:
    """An image that excites a filter, and the unit that it excites most.

    index: of the image among those given.  image: as it was given.  activation: the largest of the filter's map.
    row, column: of the unit that has it.  box: (top, left, bottom, right) of the pixels that the unit sees, in the
    crop.  crop: what the network saw, uint8 (crop, crop, 3).
    """

    index: int
    image: Any
    activation: float
    row: int
    column: int
    box: tuple[int, int, int, int]
    crop: np.ndarray

    @property
    def patch(self) -> np.ndarray:
        """The pixels that the unit sees: uint8 (rows, columns, 3)."""
        top, left, bottom, right = self.box
        return self.crop[top:bottom, left:right]

    def __repr__(self) -> str:
        return f"Strongest(image {self.index}, {self.activation:.3g} at row {self.row}, column {self.column})"


Found = tuple[int, float, int, int]  # index of an image, activation, row, column


def largest(maps: Iterable[np.ndarray], channels: Sequence[int], count: int) -> list[list[Found]]:
    """Return (index, activation, row, column) of the maps with the largest values, for each of some channels.

    maps: (channels, rows, columns) each. The strongest first; among equals the earlier image, and in it the first unit.
    NaN is never strong. Only `count` are kept while the maps go by. Raise UsageError for a channel that does not exist.
    """
    kept: list[list[tuple[float, int, int, int]]] = [[] for _ in channels]
    for index, each in enumerate(maps):
        for channel, heap in zip(channels, kept, strict=True):
            if not 0 <= channel < len(each):
                raise UsageError(f"filter {channel}: expected a number from 0 to {len(each) - 1}")
            own = np.where(np.isnan(each[channel]), -np.inf, each[channel])
            row, column = np.unravel_index(int(own.argmax()), own.shape)
            entry = float(own[row, column]), -index, -int(row), -int(column)
            (heapq.heappush if len(heap) < count else heapq.heappushpop)(heap, entry)
    return [
        [(-index, value, -row, -column) for value, index, row, column in sorted(heap, reverse=True)] for heap in kept
    ]


def check_count(count: int, least: int, images: Sequence[Any]) -> None:
    """Raise UsageError for a count that is too small, or where there is no image."""
    if count < least:
        raise UsageError(f"count must be {least} or more, got {count}")
    if not len(images):
        raise UsageError("no images were given")
