"""A training is killed again and again, and goes on each time: nothing is lost, and the bits are the same."""

import random

import pytest
from runs import left, training

from cualex.training.run import Run

pytestmark = pytest.mark.usefixtures("speck")


@pytest.mark.parametrize("kills", [20, pytest.param(200, marks=pytest.mark.slow)])
def test_kills_lose_nothing(speck, forks, tmp_path, kills):
    """A checkpoint is written after every update, so that most kills hit one that is half written."""
    whole = Run.create(tmp_path, "whole")
    list(training(whole))
    expected, chance = left(whole), random.Random(kills)
    killed = writing = lost = finished = number = 0
    while killed < kills:
        run, number = Run(tmp_path / f"run-{number}"), number + 1
        while (end := forks.ask(run=str(run.path), delay=chance.uniform(0, 0.25)))["code"] == -9:
            killed += 1
            writing += any(file.name.endswith(".part") for file in run.path.glob(".*"))
            begun = (run.path / "log.jsonl").exists()
            lost += begun and run.checkpoint() is None
        assert end["code"] == 0, end["output"]
        assert left(run) == expected
        finished += 1
    print(f"\n{killed} kills, {writing} of them inside a write; {finished} runs, {lost} lost")
    assert lost == 0
    assert writing > kills / 10
