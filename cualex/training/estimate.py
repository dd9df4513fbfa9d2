"""Estimate the time of a training from a few updates on this machine."""

import time
from dataclasses import dataclass
from typing import Any

import numpy as np

from cualex import networks
from cualex.model import BATCH, Model
from cualex.plan import Plan
from cualex.plan.buffers import fitting
from cualex.training.recipes import Recipe
from cualex.weights import Weights
from cualex.weights.parameters import Parameters

STEPS = 2  # timed, after one for warming up


@dataclass(frozen=True)
class Speed:
    """Seconds of an update, and of evaluating a batch of `BATCH` images."""

    update: float
    evaluation: float

    def seconds(self, recipe: Recipe, images: int, validation: int) -> float:
        """Return the seconds of all updates and validations of a training.

        Reading images, writing checkpoints and compiling kernels are not included.
        """
        return recipe.epochs * (images / recipe.batch * self.update + validation / BATCH * self.evaluation)


def measure(recipe: Recipe, classes: int, **settings: Any) -> Speed:
    """Time a recipe's updates and evaluation on blank images, with weights of zero.

    settings: keyword arguments of `Parameters`.
    """
    network = networks.build(recipe.network, **recipe.arguments(classes))
    parameters = Parameters(network, **settings)
    mean = np.zeros((network.stored, network.stored, 3), np.float32)
    model = Model(Weights(network, {}, [""] * classes, mean), parameters=parameters)
    update = Plan(parameters, recipe.batch, sink=recipe.optimizer, accumulate=recipe.accumulate)
    update.put_mean(mean)
    evaluation = fitting(model.plan, BATCH)
    return Speed(_timed(update, model.centre()), _timed(evaluation, model.centre()) * BATCH / evaluation.batch)


def _timed(plan: Plan, view: tuple[int, int, int]) -> float:
    side = plan.parameters.network.stored
    blank = np.zeros((plan.batch, side, side, 3), np.uint8)
    plan.put(blank, np.tile(view, (plan.batch, 1)), np.zeros(plan.batch, np.int32))
    plan.run()
    plan.wait()
    began = time.perf_counter()
    for _ in range(STEPS):
        plan.run()
        plan.wait()
    return (time.perf_counter() - began) / STEPS
