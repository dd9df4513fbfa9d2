"""Balanced trees of sums: the same bits however the parts are dealt, where each process has a power of two of them."""

import numpy as np
import pytest

from cualex.devices.control import Control
from cualex.engine.host.tree import TreeSum, add_as_tree, levels


def by_pairs(values):
    """Add neighbours, then neighbours of these: the tree, for a power of two of values."""
    while len(values) > 1:
        values = [values[i] + values[i + 1] for i in range(0, len(values), 2)]
    return values[0]


def in_sinks(values):
    """Add values as the parts of one process, in blocks."""
    control = Control()
    sink = TreeSum(tuple(np.full_like(values[0], np.nan) for _ in range(levels(len(values)))), len(values), control)
    for turn, value in enumerate(values):
        control.turn = turn
        for block in (slice(0, 7), slice(7, None)):
            sink(block, value[block].copy())
    return sink.levels[-1]


@pytest.fixture
def parts(rng):
    return lambda count: rng.standard_normal((count, 200)).astype(np.float32)


@pytest.mark.parametrize("count", [1, 2, 4, 8, 16])
def test_neighbours_are_added_first(parts, count):
    values = parts(count)
    expected = by_pairs(list(values))
    assert (add_as_tree(values.copy()) == expected).all()
    assert (in_sinks(values) == expected).all()


@pytest.mark.parametrize("count", [2, 3, 4, 6, 8, 12, 16, 24])
def test_the_sum_can_be_cut(parts, count):
    """Into ranks of 1, 2, 4, ... parts to the same bits; into others within rounding."""
    values = parts(count)
    whole = in_sinks(values)
    assert (add_as_tree(values.copy()) == whole).all()
    for ranks in range(1, count + 1):
        if count % ranks == 0:
            own = count // ranks
            sums = np.array([in_sinks(values[first : first + own]) for first in range(0, count, own)])
            found = add_as_tree(sums)
            if own & (own - 1) == 0:
                assert (found == whole).all()
            bound = count * 6e-8 * np.abs(values).sum(axis=0, dtype=np.float64)
            assert (np.abs(found - values.sum(axis=0, dtype=np.float64)) <= bound).all()


def test_a_chain_is_another_sum(parts):
    """Planted: of 8 parts it differs, so the tests above can fail; of 2 it does not."""
    for count, same in ((2, True), (3, True), (8, False)):
        values = parts(count)
        chain = values[0].copy()
        for value in values[1:]:
            chain += value
        assert (in_sinks(values) == chain).all() == same
