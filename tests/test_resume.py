"""A run that is stopped anywhere and goes on is, to the bit, the run that was never stopped."""

import json

import pytest
from runs import left, log
from test_training import TINY, Pictures

from cualex import weights
from cualex.errors import DataError, UsageError, WeightsError
from cualex.training import loop
from cualex.training.records import Epoch, Notice, Update
from cualex.training.run import Run
from cualex.training.state import State

# 37 pictures in batches of 8: an epoch ends in the middle of a batch, and 40 updates are 9 epochs.
RECIPE = TINY.but(epochs=9, rate=0.003, drop_epochs=(5, 7))
UPDATES = 42
TENTH = (
    1,
    4,
    5,
    10,
    41,
)  # within an epoch, at the ends of the first two, at a line of the log, before the last


def training(run, recipe=RECIPE, **settings):
    return loop.train(recipe, Pictures(37), Pictures(12, seed=1), run, **settings)


def stop(records, updates):
    """Take a training that many updates further, and close it."""
    for _ in range(updates):
        while not isinstance(next(records), Update):
            pass
    records.close()


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Run a training without a stop."""
    run = Run.create(tmp_path_factory.mktemp("whole"))
    records = list(training(run))
    losses = [record.loss for record in records if isinstance(record, Update)]
    assert len(losses) == UPDATES
    assert sum(losses[-5:]) < 0.8 * sum(losses[:5])  # it learns
    return left(run)


@pytest.mark.parametrize(
    "update",
    [
        pytest.param(update, marks=() if update in TENTH else pytest.mark.slow)
        for update in range(1, UPDATES + 1)
    ],
)
def test_every_update_is_a_place_to_stop(whole, tmp_path, update):
    run = Run.create(tmp_path)
    stop(training(run), update)
    assert not (run.path / "finished.json").exists()
    records = list(training(run))
    assert sum(isinstance(record, Update) for record in records) == UPDATES - update
    assert left(run) == whole


def test_a_run_that_is_stopped_after_every_few_updates(whole, tmp_path):
    run = Run.create(tmp_path)
    for _ in range(13):
        stop(training(run), 3)
    list(training(run))
    assert left(run) == whole


def test_another_seed_is_another_run(whole, tmp_path):
    run = Run.create(tmp_path)
    list(training(run, RECIPE.but(seed=1)))
    assert left(run)["weights"] != whole["weights"]
