"""Runs of a network with batch normalisation: its averages are saved, resumed to the bit, averaged over and used."""

import dataclasses
import random

import numpy as np
import pytest

from cualex import evaluation, weights
from cualex.errors import Diverged
from cualex.model import Model
from cualex.training import loop
from cualex.training.records import Update
from cualex.training.run import Run
from cualex.weights import initial
from cualex.weights.parameters import Parameters
from tests.support.tiny_runs import RECIPE, Squares, left, mote, stop, training

pytestmark = pytest.mark.usefixtures("speck")

RULES = RECIPE.but(network="mote")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Train without a stop."""
    made = Run.create(tmp_path_factory.mktemp("mote"))
    list(training(made, RULES))
    return made


@pytest.fixture(scope="module")
def unbroken(run):
    return left(run)


@pytest.mark.slow
def test_the_file_has_the_averages_and_no_velocities_of_them(run):
    last, network = weights.load(run.path / "last.safetensors"), mote()
    assert last.tensors.keys() == network.tensors().keys()
    assert last.velocities.keys() == network.parameters().keys()
    assert last.tensors["norm2.mean"].shape == (12,)
    for name in network.state():
        assert (last.tensors[name] != initial.draw(network, 0)[name]).all(), name
    losses = [line["loss"] for line in left(run)["log"] if "val_loss" in line]
    assert losses[-1] < 0.8 * losses[0]


@pytest.mark.slow
@pytest.mark.parametrize("updates", [(1,), (5, 7, 20)])
def test_a_run_that_was_stopped_goes_on_to_the_same_bits(unbroken, tmp_path, updates):
    stopped = Run.create(tmp_path)
    for count in updates:
        stop(training(stopped, RULES), count)
    list(training(stopped, RULES))
    assert left(stopped) == unbroken


@pytest.mark.slow
def test_averages_that_are_not_restored_are_found(unbroken, tmp_path, monkeypatch):
    stopped, real = Run.create(tmp_path), Parameters.__init__
    stop(training(stopped, RULES), 7)
    fresh = {name: tensor for name, tensor in initial.draw(mote(), 0).items() if name in mote().state()}

    def planted(self, *given, tensors, **more):
        real(self, *given, tensors={**tensors, **fresh}, **more)

    monkeypatch.setattr(Parameters, "__init__", planted)
    list(training(stopped, RULES))
    assert left(stopped)["weights"] != unbroken["weights"]


@pytest.mark.slow
@pytest.mark.parametrize("kills", [40])
def test_kills_lose_nothing(forks, unbroken, tmp_path, kills):
    """A checkpoint is written after every update."""
    chance, killed, number = random.Random(kills), 0, 0
    made = Run(tmp_path / "run-0")
    while killed < kills or not made.outcome():  # the last run comes to its end in peace
        if made.outcome():
            number += 1
            made = Run(tmp_path / f"run-{number}")
        delay = chance.uniform(0.02, 0.25) if killed < kills else None
        aim = chance.choice([0, chance.uniform(0, 0.008)])
        end = forks.ask(run=str(made.path), network="mote", delay=delay, aim=aim, pause=0.008)
        assert end["code"] in (0, -9), end["output"]
        killed += end["code"] == -9
        assert not made.outcome() or left(made) == unbroken


@pytest.mark.slow
def test_a_run_that_diverges_leaves_the_last_good_averages(tmp_path):
    """The weights in memory are looked at, as those that a person might still save."""
    broken = Run.create(tmp_path)
    settings = {"parameters": {"device": "cpu"}, "description": None, "save_every": 600.0}
    made = loop.Training(RULES, Squares(), Squares(12, seed=1), broken, **settings, watched=False)
    records = made.go()
    for _ in range(5):
        assert isinstance(next(records), Update)
    before = made.parameters.unload()
    made.stepper.plan.put_mean(np.full((16, 16, 3), np.nan, np.float32))
    with pytest.raises(Diverged):
        list(records)
    after = made.parameters.unload()
    for name in before:
        assert (after[name] == before[name]).all(), name


@pytest.mark.slow
def test_two_networks_are_averaged_and_each_alone_is_as_it_was(run):
    best = weights.load(run.path / "best.safetensors")
    other = dataclasses.replace(best, tensors=initial.draw(best.network, 5))
    models, pictures = [Model(best), Model(other)], Squares(13, seed=1)
    together = evaluation.evaluate(models, pictures, batch=5)
    alone = [evaluation.evaluate(each, pictures, batch=4) for each in models]
    expected = sum(each.probabilities(pictures.pictures) for each in models) / 2
    np.testing.assert_allclose(together.probabilities, expected.max(1), rtol=1e-5)
    assert together.loss < max(each.loss for each in alone)


def test_the_recipe_is_that_of_the_lectures():
    from cualex.training import recipes

    recipe = recipes.named("paper", "alexnet-batchnorm")
    assert (recipe.crop, recipe.batch, recipe.dropout, recipe.decay) == (224, 64, 0.4, 0.0)
    assert recipe.arguments(classes=17)["dropout"] == 0.4
