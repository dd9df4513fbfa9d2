"""A training is killed again and again, and goes on each time: nothing is lost, and the bits are the same."""

import random

import pytest

from cualex.errors import WeightsError
from cualex.training.run import Run
from tests.support.tiny_runs import left

pytestmark = pytest.mark.usefixtures("speck")


PAUSE = 0.008  # seconds that writing a checkpoint takes longer, as it would with more weights


@pytest.mark.parametrize("kills", [4, pytest.param(200, marks=pytest.mark.slow)])
def test_kills_lose_nothing(forks, whole, tmp_path, kills):
    """Tries 4 kills, 200 under `-m slow`.

    A checkpoint is written after every update, and half of the kills are aimed at one that is half written.
    """
    chance, killed, lost, number = random.Random(kills), 0, 0, 0
    writing = set()  # by name, in which the process has its number
    run = Run(tmp_path / "run-0")
    while killed < kills or not run.outcome():  # the last run comes to its end in peace
        if run.outcome():
            run, number = Run(tmp_path / f"run-{number + 1}"), number + 1
        delay, aim = chance.uniform(0.02, 0.25), chance.choice([0, chance.uniform(0, PAUSE)])
        end = train(forks, run, delay if killed < kills else None, aim=aim)
        assert end["code"] in (0, -9), end["output"]
        killed += end["code"] == -9
        writing.update(run.path.glob(".*.part"))
        lost += is_lost(run)
        assert not run.outcome() or left(run) == whole
    print(f"\n{killed} kills, {len(writing)} of them inside a write; {number + 1} runs, {lost} lost")
    assert lost == 0
    assert len(writing) > kills / 10


@pytest.mark.slow
@pytest.mark.parametrize("least", [1, pytest.param(10, marks=pytest.mark.slow)])
def test_checkpoints_written_in_place_are_lost(forks, tmp_path, least):
    """Planted, and what most programs do: no file beside, no rename, none before it."""
    chance, lost, number = random.Random(least), 0, 0
    while lost < least and number < 100 * least:
        run, number = Run(tmp_path / f"run-{number}"), number + 1
        train(forks, run, chance.uniform(0.02, 0.25), in_place=True)
        lost += is_lost(run)
    print(f"\n{number} kills, checkpoints written in place: {lost} lost")
    assert lost == least


def train(forks, run, delay, **fault):
    """Start a training or go on with it, and kill it some time later; return what became of it."""
    return forks.ask(run=str(run.path), delay=delay, pause=PAUSE, **fault)


def is_lost(run):
    """Say whether there were checkpoints and none is whole."""
    try:
        return run.checkpoint() is None and (run.path / "log.jsonl").exists()
    except WeightsError:
        return True
