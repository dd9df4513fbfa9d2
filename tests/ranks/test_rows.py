"""Rows exchanged between machines: each reads its own only, and every rank has the batches that it would have read."""

import itertools

import numpy as np
import pytest

from cualex.data.batches import Stream
from cualex.data.prefetch import Prefetcher
from cualex.ranks import ALONE, rows
from cualex.ranks.rows import ExchangedRows, deal
from tests.support import rank_threads
from tests.support.tiny_runs import Pictures

LAYOUTS = [(0, 1), (0, 0, 1, 1), (0, 0, 1), (0, 1, 2), (0, 0, 1, 1, 2, 2), (0, 0)]
STEPS, EACH = 7, 4  # batches go through the 24 images more than once


class Noting:
    """A pack that notes which rows are read."""

    def __init__(self):
        self.pack, self.rows = Pictures(), set()
        self.size, self.labels = self.pack.size, self.pack.labels

    def __len__(self):
        return len(self.pack)

    def read(self, indices, out):
        self.rows |= set(indices.tolist())
        self.pack.read(indices, out)


def taken(prefetcher, steps=STEPS):
    """Return copies of the batches of a prefetcher."""
    with prefetcher:
        return [[each.copy() for each in prefetcher.take()] for _ in range(steps)]


def exchanged(layout):
    """Return of each rank its batches, and the rows that it read."""

    def work(ranks):
        ranks.machine_of, pack = layout, Noting()
        return taken(ExchangedRows(ranks, Stream(pack, 3, 11), EACH, 8)), pack.rows

    return rank_threads.run(len(layout), work)


def same(found, layout):
    """Return whether every rank has the batches that it reads by itself from one pack."""
    every = []
    for rank, (batches, _) in enumerate(found):
        prefetcher = Prefetcher(Stream(Pictures(), 3, 11), EACH, start=8 + rank * EACH, stride=len(layout) * EACH)
        expected = taken(prefetcher)
        pairs = zip(itertools.chain(*batches), itertools.chain(*expected), strict=True)
        every += [np.array_equal(*pair) for pair in pairs]
    return all(every)


@pytest.mark.parametrize("layout", LAYOUTS, ids=str)
def test_every_rank_has_the_batches_that_it_would_read_alone(layout):
    found = exchanged(layout)
    assert same(found, layout)
    machines = max(layout) + 1
    for rank, (_, read) in enumerate(found):
        assert {row % machines for row in read} <= {layout[rank]}


def test_every_row_is_read_once_for_each_rank_that_needs_it():
    chosen = np.random.default_rng(0).permutation(60).reshape(6, 10)
    layout = (0, 0, 1, 1, 2, 2)
    dealt = [deal(chosen, rank, layout) for rank in range(6)]
    assert sorted(np.concatenate([each.send for each in dealt])) == sorted(chosen.ravel())
    for sender, receiver in itertools.product(range(6), repeat=2):
        assert dealt[sender].counts[receiver] == dealt[receiver].received[sender]
    for each in dealt:
        assert sorted(each.places) == list(range(10))


def test_one_process_takes_its_own_rows():
    batches = taken(ExchangedRows(ALONE, Stream(Pictures(), 3, 11), EACH, 8))
    assert same([(batches, set())], (0,))


@pytest.mark.parametrize("fault", ["places", "senders", "position"])
def test_a_planted_fault_is_seen(monkeypatch, fault):
    plain = rows.deal

    def faulty(chosen, rank, machine_of):
        if fault == "position":  # the batch of the rank before it
            chosen = np.roll(chosen, 1, axis=0)
        if fault == "senders":  # rows dealt in blocks, not in turn: each machine reads the other's
            chosen = chosen[:, ::-1]
        made = plain(chosen, rank, machine_of)
        if fault == "places":
            made.places[:] = made.places[::-1].copy()
        return made

    monkeypatch.setattr(rows, "deal", faulty)
    assert not same(exchanged((0, 0, 1, 1)), (0, 0, 1, 1))
