"""How long an experiment will take, from a few updates of each of its arms."""

import time
from collections.abc import Sequence

import numpy as np

from cualex import networks, weights
from cualex.data.ahead import Ahead
from cualex.experiments.experiment import Trial
from cualex.model import BATCH, Model
from cualex.parameters import Parameters
from cualex.plan import Plan
from cualex.training.recipes import Recipe
from cualex.weights import Weights

STEPS = 2  # that are timed, after one that is not


def seconds(trials: Sequence[Trial], pack, tested, settings: dict) -> float:
    """Return the time of trials if none ends early: of all updates, and of the pictures that epochs end with.

    settings: as `Parameters` takes them. Reading pictures, writing checkpoints and compiling are not in it.
    """
    known: dict[str, tuple[float, float]] = {}
    total = 0.0
    for trial in trials:
        if trial.arm not in known:
            known[trial.arm] = _measure(trial.recipe, pack, settings)
        update, inference = known[trial.arm]
        recipe = trial.recipe
        total += recipe.epochs * (len(pack) / recipe.batch * update + len(tested) / BATCH * inference)
    return total


def _measure(recipe: Recipe, pack, settings: dict) -> tuple[float, float]:
    """Return the seconds of an update and of a batch that is evaluated."""
    network = networks.build(recipe.network, **recipe.arguments(len(pack.classes)))
    tensors, mean = weights.initial(network, recipe.seed), network.mean_picture(pack.mean)
    parameters = Parameters(network, **settings)
    parameters.load(tensors)
    plan = Plan(parameters, recipe.batch)
    plan.put_mean(mean)
    with Ahead(recipe.stream(pack, network.crop), recipe.batch, start=0) as ahead:
        plan.put(*ahead.take())
    model = Model(Weights(network, tensors, list(pack.classes), mean), parameters=parameters)
    shown = model.plan(BATCH)
    pictures = np.zeros((BATCH, network.stored, network.stored, 3), np.uint8)
    shown.put(pictures, np.tile(model.centre(), (BATCH, 1)), np.full(BATCH, -1))
    return _timed(plan), _timed(shown)


def _timed(plan: Plan) -> float:
    plan.run()
    plan.wait()
    began = time.perf_counter()
    for _ in range(STEPS):
        plan.run()
        plan.wait()
    return (time.perf_counter() - began) / STEPS
