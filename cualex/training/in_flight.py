"""Updates that are queued, and what they give: the training plan, its numbers, and what is in flight."""

from collections import deque

import numpy as np

from cualex.devices.control import Control
from cualex.plan import Outcome, Plan
from cualex.training.rates import Course
from cualex.weights.parameters import Parameters


class Stepper:
    """Move the weights along the course of a training.

    plan: that of the epoch that runs.  flying: updates that are queued and not accounted for, with their rates.
    """

    def __init__(
        self,
        course: Course,
        parameters: Parameters,
        mean: np.ndarray,
        class_weights: np.ndarray | None = None,
    ):
        """Take the weights, and those of the classes in the loss; the plan is made by `begin`."""
        recipe = course.recipe
        self.course, self.parameters, self.mean, self.class_weights = course, parameters, mean, class_weights
        self.control = Control(recipe.rate, recipe.momentum, recipe.decay, seed=recipe.seed)
        self.plan: Plan | None = None
        self.flying: deque[tuple[Outcome, float]] = deque()

    def begin(self, epoch: int, update: int) -> None:
        """Make ready for an epoch, after so many updates.

        Where other layers are frozen than before, or learn at other factors, the plan is made anew, when the memory
        of the one before has been let go of.
        """
        self.control.step, self.control.began = update, self.course.began
        factors, recipe = self.course.factors(epoch), self.course.recipe
        if self.plan and self.plan.rule.factors == factors:
            return
        if self.plan:
            self.plan.release()
        self.plan = Plan(
            self.parameters,
            recipe.batch,
            "train",
            sink=recipe.optimizer,
            factors=factors,
            accumulate=recipe.accumulate,
            class_weights=self.class_weights,
            control=self.control,
        )
        self.plan.put_mean(self.mean)

    def queue(self, epoch: int, done: float) -> None:
        """Queue an update by the batch that was put into the plan, when a share `done` of the training is over."""
        self.control.rate, self.control.bias_rate = self.course.rates(epoch, done)
        self.flying.append((self.plan.run(), self.control.rate))
        self.control.step += 1
