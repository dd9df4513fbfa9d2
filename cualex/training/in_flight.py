"""Updates in flight: the training plan, its control numbers, and the queued updates with their results."""

from collections import deque
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from cualex.data.batches import Stream
from cualex.data.prefetch import Prefetcher
from cualex.devices.control import Control
from cualex.plan import Outcome, Plan
from cualex.ranks import ALONE, Ranks
from cualex.training.rates import Course
from cualex.weights.parameters import Parameters

if TYPE_CHECKING:
    from cualex.ranks.rows import ExchangedRows

Ahead: TypeAlias = "Prefetcher | ExchangedRows"


class Stepper:
    """Runs updates with the learning rates of a course.

    flying: updates in flight, queued and not accounted for, with their learning rates.
    """

    def __init__(
        self,
        course: Course,
        parameters: Parameters,
        mean: np.ndarray,
        class_weights: np.ndarray | None = None,
        ranks: Ranks = ALONE,
    ) -> None:
        """Keep the arguments; `begin` makes the plan. class_weights: of the classes in the loss (classes,)."""
        recipe = course.recipe
        self.course, self.parameters, self.mean, self.class_weights = course, parameters, mean, class_weights
        self.ranks = ranks
        self.control = Control(recipe.rate, recipe.momentum, recipe.decay, seed=recipe.seed, trust=recipe.trust)
        self._plan: Plan | None = None
        self.flying: deque[tuple[Outcome, float]] = deque()

    @property
    def plan(self) -> Plan:
        """The plan of the current epoch."""
        assert self._plan is not None, "begin() makes the plan"
        return self._plan

    def begin(self, epoch: int, update: int) -> None:
        """Prepare an epoch that starts after `update` updates.

        When layers are frozen or learning-rate multipliers change, a new plan is made, after the memory of the old one
        is released.
        """
        self.control.step, self.control.began = update, self.course.began
        factors, recipe = self.course.factors(epoch), self.course.recipe
        if self._plan and self._plan.rule.factors == factors:
            return
        if self._plan:
            self._plan.release()
        self._plan = Plan(
            self.parameters,
            recipe.batch,
            "train",
            sink=recipe.optimizer,
            factors=factors,
            accumulate=recipe.accumulate,
            order=recipe.accumulate_order,
            decays=self.course.decays(),
            class_weights=self.class_weights,
            control=self.control,
            ranks=self.ranks,
        )
        self._plan.put_mean(self.mean)

    def prefetcher(self, stream: Stream, position: int) -> Ahead:
        """Return what reads this rank's images of each batch ahead, from the whole batch at `position` on."""
        ranks, device, own = self.ranks, self.parameters.devices[0], self.plan.images
        if ranks.exchanges_rows and ranks.machines > 1:
            from cualex.ranks.rows import ExchangedRows  # which one process is not to pay for

            return ExchangedRows(ranks, stream, own, position, device.staging, device.lag)
        start = position + ranks.rank * own
        return Prefetcher(stream, own, 2, start, None, device.staging, device.lag, self.plan.batch)

    def queue(self, epoch: int, done: float) -> None:
        """Queue an update on the batch in the plan. done: the fraction of the training that is over."""
        self.control.rate, self.control.bias_rate = self.course.rates(epoch, done)
        self.flying.append((self.plan.run(), self.control.rate))
        self.control.step += 1
