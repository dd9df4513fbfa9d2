"""The images that excite a filter most, and where in them."""

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


class Ranking:
    """The largest values of channels, among the images that went by; only `count` of each channel are kept.

    The strongest first; among equals the earlier image, and in it the first unit. NaN is never strong.
    """

    def __init__(self, count: int, channels: Sequence[int] | None = None) -> None:
        """Keep `count` images of each of the channels, by default of all."""
        self._count, self._channels, self._images = count, channels, 0
        self._kept: tuple[np.ndarray, ...] = ()  # indices, activations, positions: (channels, images) each
        self._columns = 1

    def add(self, maps: np.ndarray) -> None:
        """Take the maps (channels, rows, columns) of the next image; raise UsageError for a channel that they lack."""
        check_filters(len(maps), self._channels or ())
        values, positions = peaks(maps if self._channels is None else maps[list(self._channels)])
        found: tuple[np.ndarray, ...] = np.full(len(values), self._images), values, positions
        found = tuple(each[:, None] for each in found)
        if self._kept:
            found = tuple(np.concatenate(pair, axis=1) for pair in zip(self._kept, found, strict=True))
        order = np.argsort(-found[1], axis=1, kind="stable")[:, : self._count]
        self._kept = tuple(np.take_along_axis(each, order, 1) for each in found)
        self._columns = maps.shape[2]
        self._images += 1

    def of(self, number: int) -> list[Found]:
        """Return what is kept of the channel of that number among those that are looked at."""
        found = zip(*(each[number].tolist() for each in self._kept), strict=True)
        return [(index, value, *divmod(position, self._columns)) for index, value, position in found]


def largest(maps: Iterable[np.ndarray], channels: Sequence[int], count: int) -> list[list[Found]]:
    """Return (index, activation, row, column) of the maps with the largest values, for each of some channels.

    maps: (channels, rows, columns) each; see `Ranking`. Raise UsageError for a channel that does not exist.
    """
    ranking = Ranking(count, channels)
    for each in maps:
        ranking.add(each)
    return [ranking.of(number) for number in range(len(channels))]


def peaks(maps: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the largest value of each map of maps (channels, rows, columns), and its index among the map's values.

    NaN counts as -Inf.
    """
    flat = np.where(np.isnan(maps), -np.inf, maps).reshape(len(maps), -1)
    positions = flat.argmax(axis=1)
    return np.take_along_axis(flat, positions[:, None], 1)[:, 0], positions


def check_filters(channels: int, filters: Sequence[int]) -> None:
    """Raise UsageError for a filter that a layer of so many channels lacks."""
    if wrong := [each for each in filters if not 0 <= each < channels]:
        raise UsageError(f"filter {wrong[0]}: expected a number from 0 to {channels - 1}")


def check_count(count: int, least: int, images: Sequence[Any]) -> None:
    """Raise UsageError for a count that is too small, or where there is no image."""
    if count < least:
        raise UsageError(f"count must be {least} or more, got {count}")
    if not len(images):
        raise UsageError("no images were given")
