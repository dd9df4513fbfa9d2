"""Sums over ranks: the bits of a training depend on the parts of its batch, and not on who computes them."""

import numpy as np
import pytest

from cualex.engine.host import tree
from cualex.plan import Plan, sums
from cualex.plan.update_rule import Rule
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
        (tiny_runs.speck, (2,), {"sink": "lars"}),
        (tiny_runs.mote, (8, 2), {"parts": 8, "factors": {"conv1.weight": 0.0, "conv1.bias": 0.0}}),
    ],
)
def test_the_bits_are_those_of_one_process(net, sizes, settings):
    digest, losses, _ = trained(net(), **settings)
    for size in sizes:
        for found in rank_threads.run(size, lambda ranks: trained(net(), ranks, **settings)):
            assert found[:2] == (digest, losses)


def digests(size, parts=8, net=tiny_runs.mote, **settings):
    """Return what each rank has learned."""
    return [found[0] for found in rank_threads.run(size, lambda ranks: trained(net(), ranks, parts=parts, **settings))]


def test_the_bytes_in_the_ledger_are_those_of_the_formula():
    net = tiny_runs.mote()
    (_, _, floats), *_ = rank_threads.run(4, lambda ranks: trained(net, ranks, updates=3))
    count = sum(np.prod(shape) for shape in net.parameters().values())
    assert floats[sums.LEDGER] == pytest.approx(3 * 2 * 3 / 4 * count, abs=3 * 2 * 4 * 10)  # shares differ by a number


def test_a_run_step_by_step_has_its_own_loss_and_release_leaves_nothing():
    """Its result was that of the run before, or none; and the gradients of ranks stayed behind a plan."""

    def work(ranks):
        made = Parameters(tiny_runs.speck(), "cpu", workers=1)
        made.load(draw(tiny_runs.speck(), 0))
        plan = Plan(made, BATCH, accumulate=4, order="tree", ranks=ranks)
        loss = plan.run(lambda step: step.run()).result.loss
        plan.release()
        return np.isfinite(loss), plan._sums_over_ranks, plan._words

    assert rank_threads.run(2, work) == [(True, None, None)] * 2


def test_the_dense_layers_are_exchanged_first():
    made = Parameters(tiny_runs.speck(), "cpu", workers=1)
    asked = rank_threads.run(2, lambda ranks: (trained(tiny_runs.speck(), ranks, updates=1), ranks.asked)[1])[0]
    assert asked[0] == "hear the loss of update 1"
    assert all("add up gradients" in each for each in asked[1:])
    assert len(asked) == 1 + 2 * -(-sum(each.size for each in made.arrays.values()) // sums.BUCKET)


@pytest.fixture(scope="module")
def one_process():
    """Return what one process learns."""
    return trained(tiny_runs.mote(), parts=8)[0]


# Planted: each makes ranks learn something else than one process, or than one another.


def test_sums_in_another_order(one_process, monkeypatch):
    monkeypatch.setattr(sums, "add_as_tree", lambda shares: tree.add_as_tree(shares[[0, 2, 1, 3]]))
    assert one_process not in digests(4)


def test_a_chain_for_the_tree(one_process, monkeypatch):
    def chain(shares):
        total = shares[0].copy()
        for each in shares[1:]:
            total += each
        return total

    monkeypatch.setattr(sums, "add_as_tree", chain)
    assert one_process not in digests(8)


def test_masks_counted_by_rank(one_process, monkeypatch):
    monkeypatch.setattr(Rule, "first", 0)
    assert one_process not in digests(4)


def test_a_bucket_that_is_not_added_up(monkeypatch):
    begin = sums.RankSums._begin
    monkeypatch.setattr(sums.RankSums, "_begin", lambda self, number, control: number and begin(self, number, control))
    assert len(set(digests(2))) == 2


def test_averages_moved_in_the_order_of_each_rank(monkeypatch):
    move = sums.Words.move_averages

    def own_first(words, steps):
        words._parts = np.roll(words._parts, -words._ranks.rank, axis=0)
        move(words, steps)

    monkeypatch.setattr(sums.Words, "move_averages", own_first)
    assert len(set(digests(2))) == 2


def test_a_loss_that_only_the_rank_hears_which_has_it(monkeypatch):
    """All parts must be finite, or no rank may move."""
    found = rank_threads.run(2, broken)
    assert [each["moved"] for each in found] == [False, False]
    monkeypatch.setattr(sums.Words, "hear", deaf)
    assert [each["moved"] for each in rank_threads.run(2, broken)] == [True, False]


def broken(ranks):
    """Run an update in which an image of rank 1 overflows; say whether the weights have moved."""
    net = tiny_runs.speck()
    made = Parameters(net, "cpu", workers=1)
    made.load(draw(net, 0))
    plan = Plan(made, 4, accumulate=2, order="tree", ranks=ranks)
    colours = np.full((2, 3), np.inf if ranks.rank else 0, np.float32)
    plan.put(np.zeros((2, 16, 16, 3), np.uint8), np.zeros((2, 3), np.int32), np.zeros(2, np.int32), colours)
    before = small_alexnet.digest(made)
    plan.run()
    return {"moved": small_alexnet.digest(made) != before}


def deaf(words):
    """Hear the others, and go by one's own loss."""
    found = words._wait()
    words._parts = found[:, 1:].reshape(-1, words._mine.shape[1])
    return found[:, 1:1], words._parts[:, :4]
