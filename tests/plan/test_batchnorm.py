"""Plans with batch normalisation: when the averages move, on every place, and what inference makes of them."""

import math

import numpy as np
import pytest

from cualex.devices.dry_runtime import DryRuntime
from cualex.engine.host import batchnorm
from cualex.errors import UsageError
from cualex.layers import BatchNorm, Conv, Dense, Softmax
from cualex.model import BATCH, Model
from cualex.networks import Network
from cualex.plan import Plan, memory
from cualex.weights import Weights
from cualex.weights.initial import draw
from cualex.weights.parameters import Parameters
from tests.support import small_alexnet, tiny_runs

AVERAGES = [f"norm{n}.{last}" for n in (1, 2, 3) for last in ("mean", "variance")]


def tensors(net, seed=0):
    """Draw loud weights and averages."""
    rng, drawn = np.random.default_rng(seed), small_alexnet.tensors(net)
    for name, shape in net.state().items():
        low = 0.5 if name.endswith("variance") else -1
        drawn[name] = rng.uniform(low, 2, shape).astype(np.float32)
    return drawn


def parameters(device="cpu", **settings):
    small_alexnet.enough(device, settings.get("runtime"))
    net = tiny_runs.mote()
    made = Parameters(net, device, **settings)
    made.load(tensors(net))
    return made


def averages(made):
    held = made.unload()
    return {name: held[name] for name in AVERAGES}


def same(one, other):
    return all((one[name] == other[name]).all() for name in AVERAGES)


# --- when they move


def test_each_step_of_training_moves_every_average():
    made = parameters()
    before = averages(made)
    plan = small_alexnet.plan(made)
    assert same(averages(made), before)  # building a plan is no step
    for _ in range(2):
        plan.run()
        after = averages(made)
        assert all((after[name] != before[name]).any() for name in AVERAGES)
        before = after
    assert not any(name in made.unload_velocities() for name in AVERAGES)


def moves_in_evaluation():
    """Say whether running another plan between two updates changes what comes of them."""
    ends = []
    for between in (False, True):
        made = parameters()
        plan = small_alexnet.plan(made)
        plan.run()
        if between:
            small_alexnet.plan(made, "infer").run()
        plan.run()
        ends.append(averages(made))
    return not same(*ends)


def test_an_evaluation_between_updates_does_not(monkeypatch):
    assert not moves_in_evaluation()
    infer = batchnorm.infer

    def planted(device, x, weight, bias, mean, variance, y, **numbers):
        infer(device, x, weight, bias, mean, variance, y, **numbers)
        mean *= 0.99

    monkeypatch.setattr(batchnorm, "infer", planted)
    assert moves_in_evaluation()


@pytest.mark.parametrize("device", ["cpu", "cpu,cpu", "cuda:0", "cuda:0,cuda:1"])
def test_after_a_loss_that_is_no_number_they_stay(request, device):
    settings = {"runtime": request.getfixturevalue("emulated")()} if "cuda" in device else {}
    made = parameters(device, **settings)
    plan = small_alexnet.plan(made)
    plan.run()
    plan.wait()
    before = averages(made)
    plan.put_mean(np.full((16, 16, 3), np.nan, np.float32))
    plan.run()
    assert not plan.result.finite
    assert same(averages(made), before)
    plan.put_mean(np.full((16, 16, 3), 100, np.float32))
    plan.run()
    assert plan.result.finite
    assert not same(averages(made), before)


def test_the_parts_of_a_batch_have_statistics_of_their_own():
    """Each moves the averages in turn, as batches of its size would."""
    ends = []
    for accumulate, batch in ((2, 6), (1, 3)):
        made = parameters()
        plan = small_alexnet.plan(made, batch=6, accumulate=2) if accumulate == 2 else None
        if plan:
            plan.control.rate = 0.0
            plan.run()
        else:
            whole = small_alexnet.plan(parameters(), batch=6)
            held = {buffer.name: buffer.array for buffer in whole.buffers}
            given = [held[name] for name in ("pictures", "views")]
            plan = Plan(made, batch)
            plan.control.rate = 0.0
            plan.put_mean(held["mean"])
            for part in (slice(0, 3), slice(3, 6)):
                plan.put(*(each[part] for each in given), held["labels"][part])
                plan.run()
        ends.append(averages(made))
    for name in AVERAGES[:4]:  # those above dropout see other units
        assert (ends[0][name] == ends[1][name]).all(), name


# --- where they lie


def trained(made, **settings):
    plan = small_alexnet.train(made, 3, **settings)
    return {"loss": plan.result.loss, "digest": small_alexnet.digest(made), "averages": averages(made)}


def test_every_placement_and_the_plain_plan_give_the_same_bits():
    wanted = trained(parameters())
    for device, fuse in (("cpu,cpu", True), ("cpu", False)):
        found = trained(parameters(device), fuse=fuse)
        assert (found["loss"], found["digest"]) == (wanted["loss"], wanted["digest"])


@pytest.mark.slow
@pytest.mark.parametrize(
    "precision", [*(pytest.param(each, marks=pytest.mark.slow) for each in ("fp32", "tf32")), "bf16"]
)
def test_every_placement_on_gpus_too(emulated, precision):
    found = []
    for device, options in {
        "cuda:0": {},
        "cuda:0,cuda:1": {"streams": "random", "seed": 3},
        "cuda:0,cuda:0": {"schedule": "descending"},
    }.items():
        found.append(trained(parameters(device, precision=precision, runtime=emulated(**options))))
    found.append(trained(parameters("cuda:0", precision=precision, runtime=emulated()), fuse=False))
    assert {(each["loss"], each["digest"]) for each in found} == {(found[0]["loss"], found[0]["digest"])}
    host = trained(parameters())
    near = {"fp32": 1e-5, "tf32": 5e-3, "bf16": 5e-2}[precision]
    assert found[0]["loss"] == pytest.approx(host["loss"], rel=near)
    for name in AVERAGES:
        off = np.linalg.norm(found[0]["averages"][name] - host["averages"][name])
        assert off <= near * np.linalg.norm(host["averages"][name]), name


def test_weights_of_norms_have_no_copy_in_bfloat16():
    made = Parameters(tiny_runs.mote(), "cuda:0", precision="bf16", runtime=DryRuntime())
    assert {name for name, _ in made.copies} == {f"{layer}.weight" for layer in ("conv1", "conv2", "fc3", "fc4")}


# --- frozen layers


def test_a_frozen_layer_normalises_by_its_averages_and_keeps_them():
    made, factors = parameters(), {f"norm2.{last}": 0.0 for last in ("weight", "bias")}
    before = made.unload()
    plan = small_alexnet.plan(made, factors=factors, outputs=("relu2", "norm2"))
    plan.run()
    after = made.unload()
    for name in before:
        assert (after[name] == before[name]).all() == name.startswith("norm2."), name
    maps = plan.output("relu2").astype(np.float64)
    weight, bias, mean, variance = (
        before[f"norm2.{last}"][:, None, None] for last in ("weight", "bias", "mean", "variance")
    )
    wanted = weight * (maps - mean) / np.sqrt(variance + 1e-3) + bias
    np.testing.assert_allclose(plan.output("norm2"), wanted, rtol=0, atol=1e-5 * np.abs(wanted).max())


@pytest.mark.parametrize("frozen", [("conv1",), ("conv1", "norm1"), ("conv1", "norm1", "conv2", "norm2", "fc3")])
def test_what_lies_above_frozen_layers_is_trained_alike(frozen):
    """Where nothing below is trained, a norm has no gradient of its input to make."""
    made, whole = parameters(), parameters()
    factors = {name: 0.0 for name in made.stages if name.split(".")[0] in frozen}
    small_alexnet.plan(made, factors=factors, sink="momentum").run()
    before, after = whole.unload(), made.unload()
    moved = {name for name in before if (after[name] != before[name]).any()}
    assert moved == {name for name in before if name.split(".")[0] not in frozen}


# --- what users do with them


def model(seed=0):
    net = tiny_runs.mote()
    mean = np.random.default_rng(seed).uniform(60, 140, (16, 16, 3)).astype(np.float32)
    return Model(Weights(net, tensors(net, seed), ["a", "b", "c"], mean))


def test_a_picture_has_the_same_features_in_any_company():
    """Padding of the last batch included: inference looks at no other picture."""
    pictures = tiny_runs.Squares(BATCH + 3).pictures
    made = model()
    for layer in ("norm1", "norm3", "fc4"):
        together = made.features(pictures, layer)
        alone = np.concatenate([made.features(picture[None], layer) for picture in pictures[-4:]])
        np.testing.assert_allclose(together[-4:], alone, rtol=1e-5, atol=1e-6)
    assert made.hidden == "norm3"


def test_a_batch_of_one_cannot_be_trained_on_where_a_channel_has_one_value():
    with pytest.raises(UsageError) as caught:
        Plan(parameters(), 1)
    assert str(caught.value) == (
        "mote cannot be trained on a batch of 1: norm3 divides each channel by its standard deviation, and one value "
        "has none. Use --batch-size 2 or more"
    )
    with pytest.raises(UsageError, match=r"on parts of 1: .* Use --batch-size 6 or more"):
        Plan(parameters(), 3, accumulate=3)
    frozen = {f"norm3.{last}": 0.0 for last in ("weight", "bias")}
    Plan(parameters(), 1, factors=frozen).run()
    layers = {"conv1": Conv(4, size=3), "norm1": BatchNorm(), "fc2": Dense(3), "softmax": Softmax()}
    maps = Network("maps", layers, 1, 3, 5, stored=8)
    made = Parameters(maps)
    made.load(draw(maps, 0))
    Plan(made, 1).run()
    Plan(parameters(), 1, "infer").run()


def test_the_memory_names_their_buffers():
    measured = memory.measure(tiny_runs.mote(), 3)
    buffers = {held.name: held.shape for held in measured.buffers}
    assert buffers["norm1 mean"] == buffers["norm1 variance"] == (2, 4)
    trained = sum(math.prod(shape) for shape in tiny_runs.mote().parameters().values())
    kept = sum(math.prod(shape) for shape in tiny_runs.mote().state().values())
    assert measured.parameters == 4 * (2 * trained + kept)
