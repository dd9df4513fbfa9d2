"""How a training leaves: from every phase, at a second signal, and when it diverges; what it saved stays whole."""

import os
import random
import signal

import numpy as np
import pytest
from PIL import Image

from cualex.errors import Diverged
from cualex.model import Model
from cualex.plan import Plan
from cualex.training import in_flight
from cualex.training.run import Run
from cualex.training.state import State
from tests.support.tiny_runs import RECIPE, left, stop, training

pytestmark = pytest.mark.usefixtures("speck")


def signalled_in(method, number, times=1, at=3):
    """Make a method that sends this process signals when it is called for the third time, or another one."""
    count = []

    def call(self, *arguments, **settings):
        count.append(self)
        if len(count) == at:
            for _ in range(times):
                os.kill(os.getpid(), number)
        return method(self, *arguments, **settings)

    return call


@pytest.mark.slow
def test_in_the_middle_of_validation(whole, tmp_path, monkeypatch):
    """The epoch's updates are done and saved, and the run goes on with its validation."""
    run = Run.create(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(Model, "plan", signalled_in(Model.plan, signal.SIGINT, at=5))  # each validation asks for it twice
        with pytest.raises(KeyboardInterrupt):
            list(training(run))
    state = State.of(run.checkpoint())
    assert (state.epoch, state.update, state.losses.count) == (3, 14, 4)
    list(training(run))
    assert left(run) == whole


@pytest.mark.slow
def test_while_the_plan_is_built_and_its_kernels_compiled(whole, tmp_path, monkeypatch):
    run = Run.create(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(in_flight, "Plan", lambda *_, **__: os.kill(os.getpid(), signal.SIGINT))
        with pytest.raises(KeyboardInterrupt):
            training(run)
    assert run.begun
    list(training(Run.reopen(run.path)))
    assert left(run) == whole


@pytest.mark.slow
def test_a_second_signal_leaves_at_once(whole, tmp_path, monkeypatch):
    """In the middle of an update: nothing more is saved, and what was saved is whole."""
    run = Run.create(tmp_path)
    stop(training(run), 7)
    with monkeypatch.context() as patch:
        patch.setattr(Plan, "run", signalled_in(Plan.run, signal.SIGINT, times=2))
        with pytest.raises(KeyboardInterrupt):
            list(training(run))
    assert State.of(run.checkpoint()).update == 7
    list(training(run))
    assert left(run) == whole


@pytest.mark.slow
def test_a_second_signal_ends_the_saving_too(whole, tmp_path, monkeypatch):
    run = Run.create(tmp_path)
    stop(training(run), 7)
    save = Run.save

    def slow(self, kept):
        os.kill(os.getpid(), signal.SIGINT)
        save(self, kept)

    with monkeypatch.context() as patch:
        patch.setattr(Plan, "run", signalled_in(Plan.run, signal.SIGINT))
        patch.setattr(Run, "save", slow)
        with pytest.raises(KeyboardInterrupt):
            list(training(run))
    assert State.of(run.checkpoint()).update == 7
    list(training(run))
    assert left(run) == whole


@pytest.mark.slow
def test_a_loss_that_is_no_number_leaves_the_checkpoint_and_a_smaller_rate_goes_on(tmp_path):
    run = Run.create(tmp_path)
    stop(training(run), 7)
    before = (run.path / "last.safetensors").read_bytes()
    with pytest.raises(Diverged):
        list(training(run, RECIPE.but(rate=1e12)))
    assert (run.path / "last.safetensors").read_bytes() == before
    records = training(run, RECIPE.but(rate=0.001))
    list(records)
    assert run.outcome()["updates"] == 42


@pytest.mark.slow
@pytest.mark.parametrize("count", [2, pytest.param(20, marks=pytest.mark.slow)])
def test_while_pictures_are_packed(forks, tmp_path, count):
    """Nothing is left of the pack, nor a run."""
    chance, packing, folder = random.Random(count), 0, tmp_path / "data"
    for label in range(2):
        (folder / str(label)).mkdir(parents=True)
        Image.fromarray(np.full((16, 16, 3), 99 * label, np.uint8)).save(folder / str(label) / "0.png")
        for number in range(1, 700):
            os.link(folder / str(label) / "0.png", folder / str(label) / f"{number}.png")
    fixed = ("train", folder, "--network", "speck", "--crop", 11, "--output", tmp_path / "runs")
    while packing < count:
        cache = tmp_path / f"cache-{chance.random()}"
        arguments = [str(argument) for argument in (*fixed, "--cache", cache)]
        number, delay = chance.choice([signal.SIGINT, signal.SIGTERM]), chance.uniform(0, 0.05)
        end = forks.ask(arguments=arguments, number=number, delay=delay, once=str(cache / "packs"))
        assert end["code"] == {signal.SIGINT: 130, signal.SIGTERM: 143}[number], end["output"]
        assert not list(cache.rglob("*.part"))
        packing += "Run directory" not in end["output"] and (cache / "packs").exists()
