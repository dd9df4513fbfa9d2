"""What both engines offer beside the arithmetic of layers: sums for those who watch, and layouts of plain arrays."""

from typing import Protocol

from cualex.devices.runtime import Array
from cualex.engine.map_ops import D, Maps


class StatisticsOps(Protocol[D]):
    """Sums and counts for those who watch a training; no layer calls them."""

    def absolute_sums(self, device: D, values: Array, sums: Array) -> None:
        """Write float64 sums (parts,), which add up to SUM |values|."""

    def count_positive(self, device: D, y: Maps, counts: Array) -> None:
        """Write uint32 counts (slices, towers, channels), which add up to how many values are above 0."""


class LayoutOps(Protocol[D]):
    """Between plain arrays (images, channels, rows, columns), contiguous, and the maps of one tower."""

    def from_plain(self, device: D, x: Array, y: Maps) -> None:
        """Write y[0, n, h, w, c] = x[n, c, h, w]; x is of the device's `master` type."""

    def to_plain(self, device: D, x: Maps, y: Array) -> None:
        """Write y[n, c, h, w] = x[0, n, h, w, c]; y is of the device's `master` type."""
