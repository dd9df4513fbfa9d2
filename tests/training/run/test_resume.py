"""A run that is stopped anywhere and goes on is, to the bit, the run that was never stopped."""

import pytest

from cualex.training.loop import Training
from cualex.training.records import Update
from cualex.training.run import Run, restore
from cualex.training.run.log import Log
from cualex.weights.parameters import Parameters
from tests.support.tiny_runs import RECIPE, UPDATES, left, stop, training

pytestmark = pytest.mark.usefixtures("speck")

FAST = (1, 5, 10, 41)  # within an epoch, at the end of one, at a line of the log, before the last


@pytest.mark.slow
def test_the_run_that_is_compared_learns(tmp_path):
    losses = [record.loss for record in training(Run.create(tmp_path)) if isinstance(record, Update)]
    assert len(losses) == UPDATES
    assert sum(losses[-9:]) < 0.8 * sum(losses[:9])


@pytest.mark.parametrize(
    "update",
    [pytest.param(update, marks=() if update in FAST else pytest.mark.slow) for update in range(1, UPDATES + 1)],
)
def test_every_update_is_a_place_to_stop(whole, tmp_path, update):
    """Tries four updates, every update under `-m slow`."""
    run = Run.create(tmp_path)
    stop(training(run), update)
    assert not (run.path / "finished.json").exists()
    records = list(training(run))
    assert sum(isinstance(record, Update) for record in records) == UPDATES - update
    assert left(run) == whole


@pytest.mark.slow
def test_a_run_that_is_stopped_again_and_again(whole, tmp_path):
    run = Run.create(tmp_path)
    for _ in range(5):
        stop(training(run), 7)
    list(training(run))
    assert left(run) == whole


@pytest.mark.slow
def test_another_seed_is_another_run(whole, tmp_path):
    run = Run.create(tmp_path)
    list(training(run, RECIPE.but(seed=1)))
    assert left(run)["weights"] != whole["weights"]


# --- planted faults, each of which the comparison above finds


@pytest.mark.slow
def test_velocities_that_are_not_restored_are_found(whole, tmp_path, monkeypatch):
    run = Run.create(tmp_path)
    stop(training(run), 7)
    monkeypatch.setattr(Parameters, "load_velocities", lambda self, tensors: None)
    list(training(run))
    assert left(run)["weights"] != whole["weights"]


@pytest.mark.slow
def test_a_schedule_that_starts_anew_is_found(whole, tmp_path, monkeypatch):
    run = Run.create(tmp_path)
    stop(training(run), 30)
    monkeypatch.setattr(restore, "restore", lambda *_: None)
    list(training(run))
    assert left(run)["log"] != whole["log"]


@pytest.mark.slow
@pytest.mark.parametrize("cut", [True, False])
def test_a_log_that_is_not_cut_back_is_found(whole, tmp_path, monkeypatch, cut):
    """Killed after update 13, with a checkpoint of update 8 and a line of the log in between."""
    run = Run.create(tmp_path)
    stop(training(run), 8)
    monkeypatch.setattr(Training, "_leave", lambda self: None)
    stop(training(run), 5)
    if not cut:
        monkeypatch.setattr(Log, "cut", lambda self, size: None)
    list(training(run))
    assert (left(run)["log"] == whole["log"]) is cut
