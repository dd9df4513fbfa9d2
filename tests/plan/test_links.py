"""Two towers: the same bits on one place or two, links only where the network has them, each a network of its own."""

import math

import numpy as np
import pytest

from cualex import networks
from cualex.layers import Conv, Reading
from cualex.layers.maps import Maps, Operand
from cualex.plan import Plan, links
from cualex.plan.builder import Builder
from cualex.weights import initial
from cualex.weights.parameters import Parameters
from tests.support import small_alexnet

LINKS = {"conv3": 2 * 2 * 21_632, "fc6": 2 * 2 * 4_608, "fc7": 2 * 2 * 2_048, "fc8": 2 * 2_048}


@pytest.mark.parametrize("fuse", [True, False])
def test_one_place_or_two_give_the_same_bits(fuse):
    together, apart = small_alexnet.parameters("cpu"), small_alexnet.parameters("cpu,cpu")
    a, b = small_alexnet.train(together, fuse=fuse), small_alexnet.train(apart, fuse=fuse)
    assert a.result == b.result
    assert small_alexnet.digest(together) == small_alexnet.digest(apart)
    assert not together.ledger.floats


def test_one_place_or_two_give_the_same_probabilities_and_maps():
    outputs = ("norm1", "pool2", "relu7", "fc8")
    plans = [
        small_alexnet.plan(small_alexnet.parameters(device), "infer", outputs=outputs) for device in ("cpu", "cpu,cpu")
    ]
    for plan in plans:
        plan.run()
    for name in (*outputs, "softmax"):
        assert np.array_equal(plans[0].output(name), plans[1].output(name)), name


@pytest.mark.slow
def test_links_are_those_of_the_paper_at_full_size():
    """Forward and backward together each tower sends 58,624 floats a picture; nothing is run for this."""
    plan = Plan(Parameters(networks.build("alexnet"), "cpu,cpu"), 1, "train")
    assert crossings(plan) == LINKS
    sent = [0, 0]
    for step in plan.steps:
        if step.kind == "link":
            sent[step.reads["source"].buffer.place] += step.reads["source"].array().size
    assert sent == [58_624, 58_624]


def crossings(plan):
    """Count the floats of each link of a plan."""
    floats = {}
    for step in plan.steps:
        if step.kind == "link":
            floats[step.layers[0]] = floats.get(step.layers[0], 0) + step.reads["source"].array().size
    return floats


def test_the_ledger_counts_what_was_copied():
    made = small_alexnet.parameters("cpu,cpu")
    plan = small_alexnet.train(made, updates=2)
    expected = {name: 2 * count for name, count in crossings(plan).items()}
    assert made.ledger.floats == expected
    assert set(expected) == set(LINKS)


def test_a_read_across_places_is_refused(monkeypatch):
    """Planted: a tower reads the other's maps where they lie, without a link."""

    def careless(self, x, readers):
        sources = tuple(tuple(Operand(part, 0) for part in x.parts) for _ in self.places(x))
        return Maps((x.shape[0] * x.towers, *x.shape[1:]), readers, sources=sources)

    monkeypatch.setattr(Builder, "gather", careless)
    with pytest.raises(RuntimeError, match=r"a step on place \d may not touch pool2 on place \d"):
        Plan(small_alexnet.parameters("cpu,cpu"), 1, "infer")


def test_a_second_link_is_noticed(monkeypatch):
    """Planted: everything crosses twice."""
    link = links._link

    def twice(build, source, target):
        link(build, source, target)
        return link(build, source, target)

    monkeypatch.setattr(links, "_link", twice)
    plan = Plan(Parameters(networks.build("alexnet"), "cpu,cpu"), 1, "infer")
    assert crossings(plan)["conv3"] == 2 * 2 * 21_632


def test_a_missing_link_gives_other_bits(monkeypatch):
    """Planted: the copy before fc7 does nothing."""
    right = small_alexnet.train(small_alexnet.parameters("cpu,cpu")).result
    made = small_alexnet.parameters("cpu,cpu")
    plan = small_alexnet.plan(made)
    for step in plan.steps:
        if step.name == "link fc7":
            step.run = lambda: None
    plan.run()
    plan.run()
    plan.run()
    assert plan.result != right


def test_towers_start_with_other_filters():
    net = networks.build("alexnet", crop=67, width=0.5)
    tensors = initial.draw(net, seed=3)
    for name, tensor in tensors.items():
        if not name.endswith("weight") or name == "fc8.weight":
            continue
        one, other = np.split(tensor.reshape(len(tensor), -1), 2)
        assert abs(correlation(one, other)) < 5 / math.sqrt(one.size), name


@pytest.mark.slow
def test_towers_drop_other_units():
    made = small_alexnet.parameters(net=small_alexnet.network(width=1.0))
    plan = small_alexnet.plan(made, batch=16)
    plan.run()
    masks = [buffer.array for buffer in plan.buffers if buffer.name.endswith("mask")]
    assert len(masks) == 2
    for mask in masks:
        one, other = mask.astype(float)
        assert abs(correlation(one, other)) < 5 / math.sqrt(one.size)
    assert abs(correlation(*(mask.astype(float) for mask in masks))) < 5 / math.sqrt(masks[0].size)


def correlation(a, b):
    """Return Pearson's correlation of two arrays of numbers."""
    return float(np.corrcoef(a.ravel(), b.ravel())[0, 1])


@pytest.mark.slow
def test_initial_weights_are_as_the_2012_code_had_them():
    net = networks.build("alexnet", crop=67)
    tensors = initial.draw(net, seed=1)
    for layer in ("conv1", "conv2", "conv3", "conv4", "conv5", "fc6", "fc7", "fc8"):
        weight, bias = tensors[f"{layer}.weight"], tensors[f"{layer}.bias"]
        std = 0.03 if layer in ("conv3", "conv4", "conv5") else 0.01
        assert abs(weight.std() / std - 1) < 5 / math.sqrt(2 * weight.size)
        assert abs(weight.mean()) < 5 * std / math.sqrt(weight.size)
        assert (bias == (1 if layer in ("conv2", "conv4", "conv5", "fc6", "fc7") else 0)).all()


def test_groups_right_after_an_exchange_are_refused():
    reading = Reading((4, 5, 5), sources=2, shared=True)
    with pytest.raises(ValueError, match="groups right after an exchange"):
        Conv(4, size=3, groups=2).pack(None, "weight", None, 1, reading)


def test_initial_weights_of_a_layer_do_not_depend_on_the_others():
    with_dropout, without = (initial.draw(small_alexnet.network(dropout=share), seed=0) for share in (0.5, 0))
    assert all(np.array_equal(with_dropout[name], without[name]) for name in without)
