"""Learning-rate range test (--find-lr): raise the rate from update to update, see where the loss falls and diverges.

Smith (2017), "Cyclical Learning Rates for Training Neural Networks", section 3.3. The rate of update t of N is

    rate[t] = LOW (HIGH / LOW)^(t / (N - 1))

on the recipe's batches, augmentation and regularisation, from the weights that the training would start with; biases
and layers keep their ratios. The loss of a batch is noisy, so what is shown and judged is its moving average with the
bias of its start removed, as Adam's first moment:

    m[t] = B m[t-1] + (1 - B) loss[t]        smoothed[t] = m[t] / (1 - B^(t+1))

In units of s, the smoothed loss after EARLY updates, the loss rises where it is RISEN above its least so far, and the
test ends where it is DIVERGED above that, not finite, or below LEARNED: small sets are learned during the test, and
then their gradients vanish at every rate. One rate is suggested:

    PART * the rate at which the loss rises, or else is learned, or else is least        PART = 1/3

The rule of thumb of the same section: the best rate is within a factor of two of the largest one that converges (Bengio
2012), and a third or a fourth of that is safe. The moving average is late by B / (1 - B) = 9 updates, a factor of two,
which is a part of the third. Rules that look for the fastest fall, as in fastai and Lightning, find the recovery from a
first spike of the loss where there is one, as with alexnet on the demo set.
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
B = 0.9
EARLY = 10  # updates in which no rate is too large: a loss that is not finite there has another cause
RISEN, DIVERGED, LEARNED = 0.1, 0.4, 0.1
FALLEN = 0.98  # a loss that never falls below that suggests nothing
PART = 1 / 3
RULE = "a third of the largest learning rate at which the loss still falls (Smith 2017, section 3.3)"
OF_LEARNED = (
    "a third of the learning rate by which the loss had fallen below a tenth of its start: the images were learned "
    "before any rate was too large, and higher ones were not tried"
)
OF_LEAST = f"a third of the learning rate at which the loss was least; up to {HIGH:g} it never rose much again"


@dataclass(frozen=True)
class Step:
    """An update of the test: its number from 1, rate, loss (None if not finite) and smoothed loss."""

    update: int
    rate: float
    loss: float | None
    smoothed: float


class Steps(list[Step]):
    """The updates of a test, in order, and what they show."""

    @property
    def ended(self) -> bool:
        """Whether the loss has diverged, or is learned."""
        return self._reached(DIVERGED) is not None or self._learned() is not None

    @property
    def suggestion(self) -> float | None:
        """The suggested rate, to two digits; None where the loss has not fallen at any rate."""
        edge, _ = self._edge()
        return None if edge is None else float(f"{PART * edge.rate:.2g}")

    @property
    def rule(self) -> str:
        """What the suggestion is, by how the test ended."""
        return self._edge()[1]

    def _edge(self) -> tuple[Step | None, str]:
        """Return the update whose rate decides, and what a third of its rate is."""
        later = self[EARLY:]
        if not later or min(step.smoothed for step in later) > FALLEN * self._start:
            return None, RULE
        if risen := self._reached(RISEN):
            return risen, RULE
        if learned := self._learned():
            return learned, OF_LEARNED
        return min(later, key=lambda step: step.smoothed), OF_LEAST

    @property
    def _start(self) -> float:
        return self[EARLY - 1].smoothed

    def _reached(self, height: float) -> Step | None:
        """Return the first update whose smoothed loss is that far above the least before it, in units of the start."""
        least = math.inf
        for step in self[EARLY:]:
            if step.smoothed > least + height * self._start:
                return step
            least = min(least, step.smoothed)
        return None

    def _learned(self) -> Step | None:
        return next((step for step in self[EARLY:] if step.smoothed < LEARNED * self._start), None)


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
    parameters = Parameters(begun.network, device, precision=precision, compiling=compiling, tensors=begun.tensors)
    stepper = Stepper(Rising(recipe, begun.network), parameters, begun.mean, recipe.weigh_classes(pack))
    stream = recipe.stream(pack, begun.network.crop)
    stepper.begin(epoch=1, update=0)
    moment, steps = 0.0, Steps()
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
                steps.append(step)
                if steps.ended:
                    return
    finally:
        stepper.plan.release()
