"""What a plan does with weight gradients: factors of the rate, frozen layers, parts of a batch, and both rules."""

import gc
import weakref

import numpy as np
import pytest

from cualex.engine.host import update
from cualex.errors import UsageError
from cualex.plan import Plan
from cualex.plan.update_rule import Rule
from tests.support import small_alexnet
from tests.support.update_runs import NEAR, RATE, apart, differing, frozen, kept, layers, run

# --- frozen layers


@pytest.mark.parametrize(
    ("device", "still"),
    [
        ("cpu", ("conv3", "fc7")),
        ("cpu,cpu", ("conv1", "conv2", "conv3")),
        pytest.param("cpu,cpu", ("conv1",), marks=pytest.mark.slow),
        pytest.param("cpu", ("fc8",), marks=pytest.mark.slow),
    ],
)
def test_frozen_layers_keep_their_bits_and_the_others_learn_as_before(device, still):
    made = small_alexnet.parameters(device)
    before, whole = made.unload(), small_alexnet.parameters(device)
    run(made, factors=frozen(made.network, *still))
    run(whole)
    assert layers(differing(before, made.unload())) == layers(before) - set(still)
    assert differing(made.unload(), whole.unload()) == set(frozen(made.network, *still))


@pytest.mark.parametrize(
    ("still", "lowest"), [(("conv1",), "conv2"), (("conv1", "conv2"), "conv3"), (("conv2",), "conv1")]
)
def test_a_plan_leaves_out_what_no_trained_layer_needs(still, lowest):
    made = small_alexnet.parameters("cpu,cpu")
    steps = run(made, factors=frozen(made.network, *still)).steps
    backward = [step for step in steps if step.kind == "backward"]
    assert not [step for step in backward if step.layers[0] in still and step.sinks]
    order = list(made.network.layers)
    assert min(order.index(step.layers[0]) for step in backward) == order.index(lowest)
    lowest_functions = {step.function for step in backward if step.layers[0] == lowest}
    assert lowest_functions == {"conv.weight_gradient"}


def test_all_but_the_last_layer_frozen():
    made = small_alexnet.parameters()
    every = [name for name in made.network.layers if name not in ("fc8",)]
    steps = run(made, factors=frozen(made.network, *every)).steps
    assert [step.name for step in steps if step.kind == "backward"] == ["fc8"]
    assert [step.operations for step in steps if step.kind == "backward"] == [2 * 6 * 512 * 10]


# --- factors


def test_a_factor_is_of_the_rate_and_of_the_decay():
    """Half of the rate of everything is half of all factors, to the bit, biases with the others."""
    halves = dict.fromkeys(small_alexnet.network().parameters(), 0.5)
    found = small_alexnet.parameters()
    run(found, factors=halves)
    wanted = small_alexnet.parameters()
    plan = run(wanted, updates=0)
    plan.control.rate, plan.control.step = RATE / 2, 0
    plan.run()
    assert not differing(found.unload(), wanted.unload())


def test_biases_have_a_rate_of_their_own():
    usual, other = small_alexnet.parameters(), small_alexnet.parameters()
    run(usual)
    plan = run(other, updates=0)
    plan.control.rate, plan.control.bias_rate = RATE, RATE * 2
    plan.run()
    assert differing(usual.unload(), other.unload()) == {n for n in usual.stages if n.endswith("bias")}
    before = small_alexnet.tensors(other.network)
    for name in ("conv1.bias", "fc8.bias"):
        moved, twice = (each.unload()[name] - before[name] for each in (usual, other))
        np.testing.assert_allclose(twice, 2 * moved, rtol=0, atol=2**-23 * np.abs(before[name]).max())


def test_a_factor_forgotten_for_biases_is_found(monkeypatch):
    momentum = update.momentum

    def forgetful(weight, velocity, gradient, control, decay, factor=1.0, bias=False):
        momentum(weight, velocity, gradient, control, decay, 1.0 if bias else factor, bias)

    monkeypatch.setattr(update, "momentum", forgetful)
    with pytest.raises(AssertionError):
        test_a_factor_is_of_the_rate_and_of_the_decay()


# --- parts of a batch


@pytest.mark.parametrize(
    ("parts", "dropout"),
    [
        (3, 0),
        (2, 0.5),
        pytest.param(6, 0, marks=pytest.mark.slow),
        pytest.param(6, 0.5, marks=pytest.mark.slow),
    ],
)
def test_the_parts_gradients_are_the_whole_batchs(parts, dropout):
    """With dropout as well: the parts draw the masks that the whole batch would."""
    whole, plan = kept(dropout=dropout)
    found, in_parts = kept(dropout=dropout, accumulate=parts)
    assert apart(found, whole) < NEAR
    assert in_parts.result.loss == pytest.approx(plan.result.loss, rel=1e-12)
    assert (in_parts.result.top1, in_parts.result.count) == (plan.result.top1, 6)
    assert in_parts.bytes < plan.bytes


def test_a_part_that_is_forgotten_is_found(monkeypatch):
    def forgetful(self, index, block):
        self.gradient[index] = block

    whole, _ = kept()
    monkeypatch.setattr(update.Sum, "__call__", forgetful)
    assert apart(kept(accumulate=3)[0], whole) > 0.1


def test_masks_that_are_the_same_in_every_part_are_found(monkeypatch):
    from cualex.engine.host import dropout

    words = dropout.words
    whole, _ = kept()
    monkeypatch.setattr(dropout, "words", lambda *rest, first: words(*rest, first=0))
    assert apart(kept(accumulate=6)[0], whole) > 0.1


@pytest.mark.parametrize(("sink", "part"), [("momentum", 0), ("momentum", 1), ("adam", 2), ("lars", 1)])
def test_nothing_moves_when_the_loss_of_any_part_is_no_number(sink, part):
    made = small_alexnet.parameters()
    run(made, sink=sink, accumulate=3)
    before, colours = small_alexnet.digest(made), np.zeros((6, 3), np.float32)
    colours[2 * part] = np.nan
    plan = run(made, sink=sink, accumulate=3, colours=colours)
    assert not plan.result.finite
    assert small_alexnet.digest(made) == before
    run(made, sink=sink, accumulate=3)
    assert small_alexnet.digest(made) != before


# --- both rules


@pytest.mark.slow
@pytest.mark.parametrize(
    ("sink", "parts", "device"),
    [
        ("momentum", 3, "cpu,cpu"),
        ("adam", 1, "cpu"),
        ("lars", 1, "cpu"),
        ("lars", 3, "cpu,cpu"),
        pytest.param("adam", 3, "cpu,cpu", marks=pytest.mark.slow),
        pytest.param("momentum", 3, "cpu", marks=pytest.mark.slow),
    ],
)
def test_updates_are_those_of_the_kept_gradients(sink, parts, device):
    moved, kept = small_alexnet.parameters(device), small_alexnet.parameters(device)
    factors = {"conv1.weight": 0.3, "conv1.bias": 2.0, **frozen(moved.network, "conv4")}
    decays = {"conv1.weight": 4.0, "conv2.weight": 0.0, "conv2.bias": 0.5}
    run(moved, updates=3, sink=sink, accumulate=parts, factors=factors, decays=decays)
    plan = run(kept, updates=0, sink="keep", accumulate=parts)
    mover, plan.control.rate = Rule(sink, factors, decays=decays), RATE
    for step in range(3):
        plan.control.step = step
        plan.run()
        for (name, place), gradient in plan._gradients.items():
            if mover.factor(name):
                update.apply(kept.devices[place], gradient, mover.mover(kept, name, place, plan.control))
    assert small_alexnet.digest(moved) == small_alexnet.digest(kept)


@pytest.mark.slow
@pytest.mark.parametrize("sink", ["adam", "lars"])
def test_bits_do_not_depend_on_the_number_of_workers(sink):
    one, other = small_alexnet.parameters(workers=2), small_alexnet.parameters(workers=3)
    for made in (one, other):
        run(made, updates=2, sink=sink, accumulate=2)
    assert small_alexnet.digest(one) == small_alexnet.digest(other)


def test_lars_has_the_same_bits_with_the_towers_on_one_device_and_on_two():
    """Norms are of a tower's share, so that no number crosses but those of the exchanges."""
    one, two, whole = (small_alexnet.parameters(device) for device in ("cpu", "cpu,cpu", "cpu,cpu"))
    for made in (one, two):
        run(made, updates=2, sink="lars")
    assert small_alexnet.digest(one) == small_alexnet.digest(two)
    run(whole, updates=2)
    assert two.ledger.floats == whole.ledger.floats


def test_norms_over_both_towers_are_found_by_the_placement(monkeypatch):
    rates = update.local_rates

    def wrong(device, weight, gradient, control, decay):
        made = rates(device, weight.reshape(1, -1), gradient.reshape(1, -1), control, decay)
        return np.repeat(made, len(weight))

    monkeypatch.setattr(update, "local_rates", wrong)
    with pytest.raises(AssertionError):
        test_lars_has_the_same_bits_with_the_towers_on_one_device_and_on_two()


@pytest.mark.slow
def test_a_plan_that_is_released_keeps_no_memory():
    made = small_alexnet.parameters()
    plan = run(made, sink="adam", accumulate=3)
    held = [weakref.ref(buffer.array) for buffer in plan.buffers if buffer.lasting]
    plan.release()
    gc.collect()
    assert not [each for each in held if each() is not None]


# --- what cannot be


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"sink": "sgd"}, "update rule 'sgd': expected momentum, adam, lars, keep"),
        (
            {"accumulate": 4},
            "batch size 6 is not divisible by --accumulate 4: use --accumulate 3, or another --batch-size",
        ),
        ({"factors": {"conv9.bias": 2.0}}, "alexnet has no parameter 'conv9.bias'"),
        (
            {"factors": {"conv1.weight": 0.0}},
            "conv1: expected learning-rate multipliers above 0, or 0 for all its parameters; got [0.0, 1.0]",
        ),
        (
            {"factors": dict.fromkeys(small_alexnet.network().parameters(), 0.0)},
            "every layer of alexnet is frozen, so there is nothing to train",
        ),
    ],
)
def test_what_cannot_be_is_said(settings, said):
    with pytest.raises(UsageError) as caught:
        Plan(small_alexnet.parameters(), 6, **settings)
    assert str(caught.value) == said


def test_loss_and_counts_of_inference_are_those_of_all_parts():
    """Every part writes them over: they are kept where a plan has several."""
    made, rng = small_alexnet.parameters("cpu"), np.random.default_rng(5)
    size, images = made.network.stored, 6
    batch = rng.integers(0, 256, (images, size, size, 3), np.uint8), np.zeros((images, 3), np.int32)
    results = []
    for parts in (1, 3):
        plan = Plan(made, images, "infer", accumulate=parts)
        plan.put(*batch, np.array([0, 1, 2, 3, -1, 0], np.int32))
        results.append(plan.run().result)
    assert [result.count for result in results] == [5, 5]
    assert results[1].loss == pytest.approx(results[0].loss, rel=1e-6)
