"""Numbers that are not finite: found, with the layer and the pictures named, and never in a file."""

from functools import partial

import numpy as np
import pytest

from cualex import model, weights
from cualex.data import colour_noise
from cualex.devices import placement
from cualex.errors import Diverged
from cualex.evaluation import evaluate
from cualex.plan import Plan
from cualex.training import loop
from cualex.training.debugging import nonfinite, watch
from cualex.training.records import Update
from cualex.training.run import Run
from tests.support import tiny_runs
from tests.support.tiny_runs import TINY, Pictures


def planted(monkeypatch, after, plant):
    """Spoil a training plan behind that many updates."""
    done, run = [], Plan.run

    def spoiled(plan, each=None):
        outcome = run(plan, each)
        if plan.control.rate and each is None and plan.parameters.velocities and plan.batch in (4, 8):
            done.append(plan)
            if len(done) == after:
                plant(plan.parameters)
        return outcome

    monkeypatch.setattr(Plan, "run", spoiled)


def set_one(arrays, name, value):
    """Plant a number in the middle of an array of a place, on either engine."""

    def plant(parameters):
        array, device = getattr(parameters, arrays)[name, 0], parameters.devices[0]
        values = device.download(array)
        values.reshape(-1)[values.size // 2] = value
        device.upload(array, values)

    return plant


def ended(run, pictures=None, recipe=TINY, **settings):
    """Train until it breaks; return what was said, and how many updates were reported."""
    records = []
    with pytest.raises(Diverged) as raised:
        records.extend(loop.train(recipe, pictures or Pictures(), Pictures(12, seed=1), run, **settings))
    assert raised.value.exit_code == 4
    assert "\n" not in str(raised.value)
    return str(raised.value), sum(isinstance(record, Update) for record in records)


@pytest.mark.parametrize(
    ("arrays", "name", "value", "found", "updates"),
    [
        ("arrays", "conv3.weight", np.nan, "1 of the 102,400 weights of conv3", 3),
        pytest.param("arrays", "conv3.bias", np.inf, "1 of the 64 biases of conv3", 3, marks=pytest.mark.slow),
        pytest.param(
            "velocities", "conv2.weight", np.nan, "1 of the 102,400 weights of conv2", 4, marks=pytest.mark.slow
        ),
        ("velocities", "fc4.weight", -np.inf, "1 of the 1,728 weights of fc4", 4),
    ],
)
def test_a_parameter_is_named(tmp_path, monkeypatch, arrays, name, value, found, updates):
    planted(monkeypatch, 3, set_one(arrays, name, value))
    said, count = ended(Run.create(tmp_path), recipe=TINY.but(batch=4))
    assert f": {found} are not finite, so the learning rate 0.01 is too large for these weights: try --lr 0.001" in said
    assert said.startswith(f"the loss is nan at update {updates + 1}: ")
    assert count == updates


@pytest.mark.slow
def test_what_no_loss_shows_is_found_all_the_same(tmp_path, monkeypatch):
    """A bias of minus infinity makes a filter that is always zero: only the weights themselves say so."""
    monkeypatch.setattr(watch, "CHECKED", 5)
    planted(monkeypatch, 3, set_one("arrays", "conv3.bias", -np.inf))
    said, count = ended(Run.create(tmp_path), recipe=TINY.but(batch=4))
    assert "at update 5: 1 of the 64 biases of conv3 are not finite, so the learning rate" in said
    assert count == 4


@pytest.mark.slow
@pytest.mark.parametrize("parts", [1, 2])
def test_pictures_are_named(tmp_path, monkeypatch, parts):
    """Planted: the colour noise of one picture is no number. A batch may be computed in parts."""
    draw = colour_noise.Noise.draw

    def spoiled(noise, seed, epoch, chosen):
        shifts = draw(noise, seed, epoch, chosen)
        shifts[chosen == 5] = np.nan
        return shifts

    monkeypatch.setattr(colour_noise.Noise, "draw", spoiled)
    pictures = Pictures()
    pictures.components = colour_noise.ILSVRC2012
    said, _ = ended(Run.create(tmp_path), pictures, TINY.but(colour_noise=0.1, accumulate=parts))
    part = f"the {8 // parts} images of {'a micro-' if parts > 1 else 'the '}batch"
    assert (
        "the input of the network (image minus mean) is not finite for "
        f"1 of {part}: 5.png. Look at them, at the mean image and at --colour-noise."
    ) in said


@pytest.mark.slow
def test_the_first_layer_that_overflows_is_named(tmp_path):
    """At this rate the first update makes weights whose products no float32 holds."""
    said, count = ended(Run.create(tmp_path), recipe=TINY.but(rate=1e12, epochs=40))
    assert "is the first with NaN or Inf, for all 8 images of the batch" in said
    assert "the output of " in said
    assert count < 5


def overflowing(name):
    """Make a layer's weights so large that its output overflows, and no layer's below it."""

    def plant(parameters):
        array, device = parameters.arrays[f"{name}.weight", 0], parameters.devices[0]
        device.upload(array, np.full(array.shape, 3e38, np.float32))

    return plant


@pytest.mark.slow
@pytest.mark.parametrize("name", [pytest.param("conv1", marks=pytest.mark.slow), "conv2", "fc4"])
def test_every_layer_is_told_from_the_others(tmp_path, monkeypatch, name):
    planted(monkeypatch, 2, overflowing(name))
    said, count = ended(Run.create(tmp_path))
    assert f"the output of {name} is the first with NaN or Inf" in said
    assert count == 2


@pytest.mark.slow
def test_a_checkpoint_never_holds_what_is_not_finite(tmp_path, monkeypatch):
    """Planted between an update whose loss is a number and the checkpoint behind it."""
    run = Run.create(tmp_path)
    planted(monkeypatch, 4, set_one("velocities", "fc4.weight", np.nan))
    said, count = ended(run, save_every=0.0)
    assert said.startswith("the weights are not finite (NaN or Inf) after update 4: 1 of the")
    assert "momentum buffers of the weights of fc4 are not finite" in said
    assert "The last checkpoint is kept." in said
    assert count == 4
    kept = weights.load(run.path / "last.safetensors")
    assert all(np.isfinite(tensor).all() for tensor in (*kept.tensors.values(), *kept.velocities.values()))
    monkeypatch.undo()
    run = Run.reopen(run.path)
    records = list(loop.train(TINY, Pictures(), Pictures(12, seed=1), run))
    assert next(record.update for record in records if isinstance(record, Update)) == 4


def test_the_topmost_layer_was_the_first():
    names = ("conv1.weight", "conv2.weight", "conv2.bias", "fc3.weight", "fc3.bias")
    tensors = {name: np.zeros(4, np.float32) for name in names}
    assert nonfinite.in_tensors(tensors) is None
    for name in names[:3]:
        tensors[name][:3] = np.nan
    found = nonfinite.in_tensors(tensors).text
    assert found == "3 of the 4 biases of conv2 are not finite, and some of 1 layers below"
    averages = {"first.conv1.weight": np.zeros(4), "second.conv1.weight": np.full(4, np.inf)}
    found = nonfinite.in_tensors(averages, "velocities of the ").text
    assert found == "4 of the 4 velocities of the weights of conv1 are not finite"


@pytest.mark.slow
def test_validation_names_its_pictures(tmp_path, monkeypatch):
    """Planted: one picture of the validation set is brighter than any can be."""
    run = Run.create(tmp_path)
    crop = nonfinite.Plan.put

    def bright(plan, pictures, views, labels, colours=None):
        values = np.zeros((plan.batch, 3), np.float32) if colours is None else colours
        if colours is None and plan.batch == 32:
            values[7] = np.inf
        crop(plan, pictures, views, labels, values)

    monkeypatch.setattr(Plan, "put", bright)
    said, count = ended(run)
    assert count == 3
    assert "the loss is nan at update 3: the input of the network" in said
    assert "1 of the 12 images of the batch: 7.png" in said


@pytest.fixture
def gpu(emulated, monkeypatch):
    """Let the machine have a GPU that is emulated."""
    monkeypatch.setattr(placement, "CupyRuntime", lambda: emulated(streams="random", seed=1))
    monkeypatch.setattr(model, "BATCH", 4)  # pictures are many threads here
    monkeypatch.setattr(loop, "evaluate", partial(evaluate, batch=4))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("plant", "said"),
    [
        (set_one("arrays", "fc2.weight", np.nan), "1 of the 2,048 weights of fc2 are not finite"),
        (set_one("velocities", "conv1.weight", np.inf), "1 of the 216 weights of conv1 are not finite"),
        (overflowing("fc2"), "the output of fc2 is the first with NaN or Inf"),
    ],
)
def test_on_a_gpu(gpu, speck, tmp_path, monkeypatch, plant, said):
    """Updates that are queued behind the broken one leave the weights alone, so the layer is found."""
    planted(monkeypatch, 2, plant)
    with pytest.raises(Diverged, match=said):
        list(tiny_runs.training(Run.create(tmp_path), device="cuda:0", precision="fp32"))


@pytest.mark.slow
def test_pictures_are_named_on_a_gpu(gpu, speck, tmp_path, monkeypatch):
    """The batches queued behind the broken one have moved the weights meanwhile; the picture is found all the same."""
    draw = colour_noise.Noise.draw

    def spoiled(noise, seed, epoch, chosen):
        shifts = draw(noise, seed, epoch, chosen)
        shifts[chosen == 5] = np.inf
        return shifts

    monkeypatch.setattr(colour_noise.Noise, "draw", spoiled)
    with pytest.raises(Diverged, match=r"1 of the 8 images of the batch: 5\.png\. Look at them"):
        list(tiny_runs.training(Run.create(tmp_path), device="cuda:0", precision="fp32"))
