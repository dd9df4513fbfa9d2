"""Learning-rate range test (--find-lr): raise the rate from update to update, see where the loss falls and diverges.

Smith (2017), "Cyclical Learning Rates for Training Neural Networks", section 3.3. The rate of update t of N is

    rate[t] = LOW (HIGH / LOW)^(t / (N - 1))

on the recipe's batches, augmentation and regularisation, from the weights that the training would start with; biases
and layers keep their ratios. The loss of a batch is noisy, so what is shown and judged is its moving average with the
bias of its start removed, as Adam's first moment:

    m[t] = B m[t-1] + (1 - B) loss[t]        smoothed[t] = m[t] / (1 - B^(t+1))

The test ends when that is DIVERGED times its least so far, or not finite. One rate is suggested: that at which the
smoothed loss falls fastest, the rule of fastai ("steep") and of Lightning's lr_find,

    rate[t]        where smoothed[t] - smoothed[t + LATE] is largest, t >= EARLY

A moving average is late by B / (1 - B) updates, so the fall is measured over LATE = 9 of them, a third of a decade, and
counted to the rate at its start. The other common rule, a tenth of the rate at the least loss, goes astray on sets that
are learned during the test: their gradients vanish, and no rate diverges.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from cualex.data.prefetch import Prefetcher
from cualex.data.split import Split
from cualex.training.debugging import nonfinite
from cualex.training.debugging.overfit_attempt import NotFinite
from cualex.training.finetuning import begin
from cualex.training.in_flight import Stepper
from cualex.training.rates import Course
from cualex.training.recipes import Recipe
from cualex.weights import Weights
from cualex.weights.parameters import Parameters

LOW, HIGH, UPDATES = 1e-6, 10.0, 200
B, DIVERGED = 0.9, 4.0
EARLY = 10  # updates in which no rate is too large: a loss that is not finite there has another cause
LATE = round(B / (1 - B))
FALLEN = 0.98  # of the smoothed loss after EARLY updates; less of a fall suggests nothing
RULE = "the rate at which the smoothed loss falls fastest (the rule of fastai and Lightning)"


@dataclass(frozen=True)
class Step:
    """An update of the test: its number from 1, rate, loss (None if not finite) and smoothed loss."""

    update: int
    rate: float
    loss: float | None
    smoothed: float


class Rising(Course):
    """Rates that rise exponentially, whatever the recipe's schedule."""

    def rates(self, epoch: int, done: float) -> tuple[float, float]:
        """Return the rates of weights and biases after a fraction `done` of the test; biases keep their ratio."""
        rate = LOW * (HIGH / LOW) ** done
        return rate, rate * (self.recipe.biases / self.recipe.rate)


def run(
    recipe: Recipe,
    pack: Split,
    kept: Weights | None = None,
    device: str = "cpu",
    precision: str | None = None,
    compiling: Callable[[int, int], None] | None = None,
) -> Iterator[Step]:
    """Run the test on a pack's training images; yield each update. Nothing is saved.

    kept: weights to start from, not initial ones.  Raise Diverged where the loss is not finite from the start.
    """
    begun = begin(recipe, pack, kept)
    parameters = Parameters(begun.network, device, precision=precision, compiling=compiling)
    parameters.load(begun.tensors)
    stepper = Stepper(Rising(recipe, begun.network), parameters, begun.mean, recipe.weigh_classes(pack))
    stream = recipe.stream(pack, begun.network.crop)
    stepper.begin(epoch=1, update=0)
    moment, least = 0.0, math.inf
    try:
        with Prefetcher(stream, recipe.batch) as prefetcher:
            for update in range(1, UPDATES + 1):
                stepper.plan.put(*prefetcher.take())
                stepper.queue(1, (update - 1) / (UPDATES - 1))
                outcome, rate = stepper.flying.popleft()
                result = outcome.result
                if not result.finite:
                    if update <= EARLY:
                        fault = nonfinite.in_update(stepper.plan, stream, update - 1, (update - 1) * recipe.batch)
                        raise NotFinite(result.loss, update, rate, fault).diverged()
                    yield Step(update, rate, None, math.inf)
                    return
                moment = B * moment + (1 - B) * result.loss
                step = Step(update, rate, result.loss, moment / (1 - B**update))
                yield step
                least = min(least, step.smoothed)
                if update > EARLY and step.smoothed > DIVERGED * least:
                    return
    finally:
        stepper.plan.release()


def suggestion(steps: list[Step]) -> float | None:
    """Return the suggested rate, to two digits; None where the loss has not fallen at any rate."""
    later = [step for step in steps[EARLY - 1 :] if step.loss is not None]
    falls = [before.smoothed - after.smoothed for before, after in zip(later, later[LATE:], strict=False)]
    if not falls or min(step.smoothed for step in later) > FALLEN * later[0].smoothed:
        return None
    return float(f"{later[falls.index(max(falls))].rate:.2g}")
