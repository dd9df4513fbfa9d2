"""Every rule and schedule resumes to the bit; what changes on the way is said; frozen layers keep their bits."""

import json

import numpy as np
import pytest

from cualex import weights
from cualex.devices.control import Control
from cualex.errors import UsageError
from cualex.plan import Plan
from cualex.training.rates import Course
from cualex.training.records import Epoch, Notice, Update
from cualex.training.run import Run
from cualex.training.state import State
from cualex.weights import initial
from cualex.weights.parameters import Parameters
from tests.support.tiny_runs import RECIPE, left, log, stop, training

pytestmark = pytest.mark.usefixtures("speck")

# 37 pictures in batches of 8: epochs end after updates 5, 10, 14, 19, 24 and 28.
SHORT = RECIPE.but(epochs=6, drop_epochs=(), plain_epochs=0)
BY_HAND = SHORT.but(schedule="2012")  # conv1 is slow in the fifth epoch and frozen in the sixth, after update 24
ADAM = SHORT.but(optimizer="adam", rate=0.003, decay=0.0, schedule="cosine")
LARS = SHORT.but(optimizer="lars", rate=1.0, trust=0.02, schedule="poly", warmup=1.0)
PARTS = SHORT.but(accumulate=4, dropout=0.5, freeze=("fc2",), bias_rate=0.03)


def trained(place, recipe):
    run = Run.create(place)
    records = list(training(run, recipe))
    return run, records


def tensors(run, name="last"):
    return weights.load(run.path / f"{name}.safetensors").tensors


@pytest.mark.slow
@pytest.mark.parametrize(
    ("recipe", "places"),
    [
        pytest.param(BY_HAND, (24,), id="before a freeze"),
        pytest.param(BY_HAND, (20, 26), id="across a freeze", marks=pytest.mark.slow),
        pytest.param(ADAM, (7,), id="adam along a cosine"),
        pytest.param(ADAM.but(accumulate=2), (14,), id="adam in parts", marks=pytest.mark.slow),
        pytest.param(LARS, (3, 16), id="lars, warm-up and poly"),
        pytest.param(LARS.but(accumulate=2, freeze=("conv1",)), (14,), id="lars in parts, frozen layer"),
        pytest.param(PARTS, (8,), id="parts of a batch", marks=pytest.mark.slow),
    ],
)
def test_a_stopped_run_is_the_run_never_stopped(tmp_path, recipe, places):
    whole, _ = trained(tmp_path, recipe)
    for place in places:
        run = Run.create(tmp_path)
        stop(training(run, recipe), place)
        list(training(run, recipe))
        assert left(run) == left(whole)


def test_lars_that_begins_with_other_velocities_is_found(tmp_path, monkeypatch):
    """Planted: a run that is resumed with its velocities lost."""
    run, whole = Run.create(tmp_path), trained(tmp_path, LARS)[0]
    stop(training(run, LARS), 7)
    assert State.of(weights.load(run.path / "last.safetensors")).recipe["trust"] == 0.02
    monkeypatch.setattr(Parameters, "load_velocities", lambda *_: None)
    list(training(run, LARS))
    assert left(run)["weights"] != left(whole)["weights"]


@pytest.mark.slow
def test_adam_that_counts_anew_is_found(tmp_path, monkeypatch):
    whole, _ = trained(tmp_path, ADAM)
    run = Run.create(tmp_path)
    stop(training(run, ADAM), 7)
    monkeypatch.setattr(Control, "corrected", forgetful(7))
    list(training(run, ADAM))
    assert left(run)["weights"] != left(whole)["weights"]


def forgetful(since):
    corrected = Control.corrected

    def wrong(self, bias):
        self.began = since
        return corrected(self, bias)

    return wrong


@pytest.mark.slow
@pytest.mark.parametrize("average", [pytest.param("first.", marks=pytest.mark.slow), "second."])
def test_an_average_that_is_not_restored_is_found(tmp_path, monkeypatch, average):
    whole, _ = trained(tmp_path, ADAM)
    run = Run.create(tmp_path)
    stop(training(run, ADAM), 7)
    load = Parameters.load_velocities

    def careless(self, given):
        load(self, {name: tensor for name, tensor in given.items() if not name.startswith(average)})

    monkeypatch.setattr(Parameters, "load_velocities", careless)
    list(training(run, ADAM))
    assert left(run)["weights"] != left(whole)["weights"]


# --- what is frozen


@pytest.mark.slow
def test_a_layer_keeps_its_bits_from_the_epoch_that_freezes_it(tmp_path):
    run = Run.create(tmp_path)
    stop(training(run, BY_HAND), 24)
    before = tensors(run)
    records = list(training(run, BY_HAND))
    after = tensors(run)
    assert {name for name in after if np.array_equal(before[name], after[name])} == {
        "conv1.weight",
        "conv1.bias",
    }
    assert {record.rate for record in records if isinstance(record, Update)} == {0.01 / 1000}


@pytest.mark.slow
def test_a_plan_is_made_anew_where_other_layers_are_frozen_and_the_old_one_is_let_go(tmp_path, monkeypatch):
    made, gone = [], []
    release, build = Plan.release, Plan.__init__

    def counted(self, *rest, **settings):
        if "factors" in settings:
            assert len(gone) == len(made)
            made.append(settings["factors"])
        build(self, *rest, **settings)

    monkeypatch.setattr(Plan, "release", lambda self: (gone.append(self), release(self)))
    monkeypatch.setattr(Plan, "__init__", counted)
    trained(tmp_path, BY_HAND)
    slow = {"conv1.weight": pytest.approx(0.1), "conv1.bias": pytest.approx(1e-5 / 0.02)}
    assert made == [{}, slow, {"conv1.weight": 0.0, "conv1.bias": 0.0}]


def test_frozen_layers_are_those_of_the_beginning(tmp_path):
    run, _ = trained(tmp_path, SHORT.but(freeze=("conv1", "fc2"), epochs=1))
    begun, after = (
        initial.draw(weights.load(run.path / "last.safetensors").network, SHORT.seed),
        tensors(run),
    )
    same = {name.partition(".")[0] for name in after if np.array_equal(begun[name], after[name])}
    assert same == {"conv1", "fc2"}
    kept = weights.load(run.path / "last.safetensors").velocities
    assert set(kept) == {"fc3.weight", "fc3.bias"}


# --- rates


@pytest.mark.slow
def test_the_rate_falls_along_a_cosine_from_update_to_update(tmp_path):
    _, records = trained(tmp_path, SHORT.but(schedule="cosine"))
    rates = [record.rate for record in records if isinstance(record, Update)]
    shares = 8 * np.arange(28) / (6 * 37)
    assert rates == pytest.approx(list(0.01 * (1 + np.cos(np.pi * shares)) / 2), rel=1e-12)


@pytest.mark.slow
def test_an_early_stop_is_a_finished_run(tmp_path):
    """No epoch gains on a first one that names everything, or as much as the later ones: the rate is tiny."""
    recipe = SHORT.but(rate=1e-12, stop_after=2)
    run, records = trained(tmp_path, recipe)
    epochs = [record for record in records if isinstance(record, Epoch)]
    assert len(epochs) == 3
    assert "early stopping: no gain of 0.1 points in 2 epochs" in texts(records)
    assert run.outcome()["epochs"] == 3
    with pytest.raises(UsageError, match="is finished, after 3 epochs"):
        training(run, recipe)
    assert len([r for r in training(run, recipe.but(stop_after=0)) if isinstance(r, Epoch)]) == 3


@pytest.mark.slow
def test_an_early_stop_waits_on_when_the_run_is_stopped(tmp_path):
    recipe = SHORT.but(rate=1e-12, stop_after=3)
    run = Run.create(tmp_path)
    stop(training(run, recipe), 12)
    list(training(run, recipe))
    assert run.outcome()["epochs"] == 4


def texts(records):
    return [record.text for record in records if isinstance(record, Notice)]


# --- what changes on resume


@pytest.mark.slow
def test_all_of_it_may_change_and_the_log_says_so(tmp_path):
    run = Run.create(tmp_path)
    stop(training(run, SHORT), 7)
    recipe = SHORT.but(optimizer="adam", rate=0.002, freeze=("conv1",), accumulate=2, schedule="cosine", stop_after=4)
    records = training(run, recipe)
    assert next(records).text.startswith("Continues after update 7, in epoch 2 of 6.")
    stop(records, 5)
    kept = weights.load(run.path / "last.safetensors")
    assert State.of(kept).course["began"] == 7
    assert {name.partition(".")[0] for name in kept.velocities} == {"first", "second"}
    (line,) = [line for line in log(run) if "changed" in line]
    assert line["changed"] == {
        "accumulate": [1, 2],
        "freeze": [[], ["conv1"]],
        "optimizer": ["momentum", "adam"],
        "rate": [0.01, 0.002],
        "schedule": ["", "cosine"],
        "stop_after": [0, 4],
    }
    list(training(run, recipe))
    assert json.loads((run.path / "finished.json").read_text())["updates"] == 28


@pytest.mark.slow
def test_adam_begins_at_its_first_step_when_the_rule_changes(tmp_path, monkeypatch):
    """The first corrected rate is rate * sqrt(1 - 0.999) / (1 - 0.9)."""
    run, seen = Run.create(tmp_path), []
    stop(training(run, SHORT), 7)
    run_plan = Plan.run

    def noted(self, each=None):
        seen.append(self.control.corrected(False))
        return run_plan(self, each)

    monkeypatch.setattr(Plan, "run", noted)
    stop(training(run, SHORT.but(optimizer="adam", rate=0.5)), 1)
    assert seen[0] == pytest.approx(0.5 * np.sqrt(0.001) / 0.1)


@pytest.mark.slow
def test_a_course_that_is_not_restored_is_found(tmp_path, monkeypatch):
    recipe = SHORT.but(rate=1e-12, stop_after=3)
    run = Run.create(tmp_path)
    stop(training(run, recipe), 12)
    monkeypatch.setattr(Course, "restore", lambda *_: None)
    list(training(run, recipe))
    assert run.outcome()["epochs"] == 6
