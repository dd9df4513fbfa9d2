"""Sums as balanced trees: (1 + 2) + (3 + 4), as one counts in binary.

A chain, ((1 + 2) + 3) + 4, can be cut nowhere without other roundings. A tree of P parts can be cut into any power of
two of ranks: each adds its own parts, and the sums of the ranks are added in the same way, to the same bits.
"""

from dataclasses import dataclass

import numpy as np

from cualex.devices.control import Control


@dataclass(frozen=True)
class TreeSum:
    """Add the gradients of the `count` parts that this process computes, `control.turn` counting them from 0.

    Level i holds the sum of 2^i parts until the next of that size is there; the last part adds up what is left, and
    the last level is where the sum is kept.
    """

    levels: tuple[np.ndarray, ...]
    count: int
    control: Control

    def __call__(self, index, block: np.ndarray) -> None:
        """Take the block that stands at `index` of the parameter, and use it up."""
        added, kept = merged(self.control.turn, self.count)
        for level in added:
            np.add(self.levels[level][index], block, out=block)
        self.levels[kept][index] = block


def levels(count: int) -> int:
    """Return how many levels the tree of `count` parts keeps."""
    return max(1, (count - 1).bit_length())


def merged(turn: int, count: int) -> tuple[list[int], int]:
    """Return the levels whose sums part `turn` of `count` is added to, in order, and the level that then has the sum.

    As one is added to a binary number: each level that is taken carries to the next. The last part takes all.
    """
    if turn == count - 1:
        return [level for level in range(turn.bit_length()) if turn >> level & 1], levels(count) - 1
    carried = (~turn & (turn + 1)).bit_length() - 1
    return list(range(carried)), carried


def add_as_tree(values: np.ndarray) -> np.ndarray:
    """Return the sum of values (count, ...) over their first axis, in the order of `TreeSum`; they are used up."""
    kept: dict[int, np.ndarray] = {}
    for turn, value in enumerate(values):
        added, level = merged(turn, len(values))
        for each in added:
            np.add(kept[each], value, out=value)
        kept[level] = value
    return values[-1]
