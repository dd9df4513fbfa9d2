"""Sums over ranks: the bits of a training depend on the parts of its batch, and not on who computes them."""

import numpy as np
import pytest

from cualex.plan import Plan, sums
from cualex.weights.initial import draw
from cualex.weights.parameters import Parameters
from tests.support import rank_threads, small_alexnet, tiny_runs

BATCH = 24


def trained(net, ranks=None, updates=3, parts=4, device="cpu", **settings):
    """Run a few updates; return the digest of all that was learned, the losses, and the ledger."""
    made = Parameters(net, device, workers=1)
    made.load(draw(net, 0))
    further = {"ranks": ranks} if ranks else {}
    plan = Plan(made, BATCH, accumulate=parts, order="tree", **further, **settings)
    rng = np.random.default_rng(1)
    pictures = rng.integers(0, 256, (BATCH, net.stored, net.stored, 3), np.uint8)
    pictures[:, :, net.stored // 3 :, 0] //= 3
    views = np.column_stack([rng.integers(0, net.stored - net.crop + 1, (BATCH, 2)), np.arange(BATCH) % 2])
    labels = rng.integers(0, net.classes, BATCH)
    labels[1] = -1
    plan.put_mean(rng.normal(100, 20, (net.stored, net.stored, 3)).astype(np.float32))
    own = slice(ranks.rank * plan.images, (ranks.rank + 1) * plan.images) if ranks else slice(None)
    results = []
    for step in range(updates):
        plan.control.step, plan.control.rate = step, 0.01
        plan.put(pictures[own], views[own], labels[own])
        results.append(plan.run().result)
    return small_alexnet.digest(made), results, made.ledger.floats


@pytest.fixture(autouse=True)
def small_buckets(monkeypatch):
    """Cut the gradients of networks of a few hundred numbers into several buckets."""
    monkeypatch.setattr(sums, "BUCKET", 100)


@pytest.mark.parametrize(
    ("net", "sizes", "settings"),
    [
        (tiny_runs.speck, (2, 4), {}),
        (tiny_runs.mote, (1, 2, 4), {}),
        (tiny_runs.speck, (2,), {"device": "cpu,cpu", "sink": "adam"}),
        (tiny_runs.mote, (8, 2), {"parts": 8, "factors": {"conv1.weight": 0.0, "conv1.bias": 0.0}}),
    ],
)
def test_the_bits_are_those_of_one_process(net, sizes, settings):
    digest, losses, _ = trained(net(), **settings)
    for size in sizes:
        for found in rank_threads.run(size, lambda ranks: trained(net(), ranks, **settings)):
            assert found[:2] == (digest, losses)
