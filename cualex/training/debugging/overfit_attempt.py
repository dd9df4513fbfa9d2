"""One try to overfit a few images, at one learning rate, until they are learned or the try has failed.

A try fails when the loss is not finite, when it has fallen and then risen, when all images give the same output (a
layer is dead), and when it stagnates: either below the loss of guessing, or at it while the differences between outputs
do not grow. While they grow, small weights make progress that the loss does not show.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from cualex.data.batches import Stream
from cualex.data.prefetch import Prefetcher
from cualex.errors import Diverged
from cualex.evaluation import Evaluation, entropy, evaluate
from cualex.model import Model
from cualex.plan.plan import Result
from cualex.training.debugging import nonfinite
from cualex.training.debugging.overfit_images import Few
from cualex.training.in_flight import Stepper
from cualex.training.rates import Course
from cualex.training.recipes import Recipe

LOSS = 0.05  # below which the images are learned, if all are correct
UPDATES, PASSES = 1000, 100  # updates at most: the larger of UPDATES and PASSES over the images
PATIENCE, PATIENT_PASSES = 200, 10  # updates without a gain after which a try ends: again the larger
GAIN = 0.001  # of the loss, relative: less is no gain
LEFT = 0.9  # of the loss of guessing: initial weights may be a little below it by chance
LOOK = 50  # updates between two evaluations
GROWTH = 1.1  # of the spread of outputs from one evaluation to the next: with less there is no progress

# Reasons for which a try fails.
DIVERGED, ROSE, DEAD = "the loss is not finite", "the loss fell and then rose", "all images give the same"
STOOD, FLAT = "the loss stood still", "the loss has not left that of guessing"
LIMIT, IMPOSSIBLE = "the updates are used up", "the same image has several classes"
SLOW = (FLAT, LIMIT)  # the rate may be too small; after the others it may be too large


@dataclass(frozen=True)
class Fit:
    """Progress: updates, mean loss, correct images of all, and learning rate; its fields are keys of --json.

    evaluated: whether loss and correct images are of an evaluation, else of the training since the last record.
    ended: why a try failed, or ""; the next record is then of the next try, if there is one.  wrong: (name, class,
    predicted class) of images that the evaluation got wrong.  contradictions: names of equal images with different
    classes, which no network can learn.
    """

    updates: int
    loss: float
    right: int
    pictures: int
    evaluated: bool = False
    rate: float = 0.0
    ended: str = ""
    wrong: tuple[tuple[str, str, str], ...] = ()
    contradictions: tuple[tuple[str, ...], ...] = ()

    @property
    def learned(self) -> bool:
        """Whether the images are learned."""
        return self.evaluated and self.loss < LOSS and self.right == self.pictures


def limit(recipe: Recipe, images: int) -> int:
    """Return the number of updates of a try, at most."""
    return max(UPDATES, PASSES * around(recipe, images))


class NotFinite(Exception):
    """A loss that is NaN or Inf, and its cause."""

    def __init__(self, loss: float, update: int, rate: float, fault: nonfinite.Fault | None) -> None:
        super().__init__(loss)
        self.loss, self.update, self.rate, self.fault = loss, update, rate, fault

    def diverged(self) -> Diverged:
        """Return the error that a command reports."""
        return Diverged(f"the loss is {self.loss} at update {self.update}{nonfinite.cause(self.fault, self.rate)}")


class Try:
    """One try, from the current parameters of the model.

    before: updates of other tries.  around: updates a pass over the images.  guessing: the loss of a constant
    prediction.
    """

    def __init__(self, recipe: Recipe, model: Model, few: Few, before: int) -> None:
        self.recipe, self.model, self.few, self.before = recipe, model, few, before
        self.around = around(recipe, len(few))
        self.guessing = entropy(np.bincount(few.labels))
        self.patience = max(PATIENCE, PATIENT_PASSES * self.around)
        self.best, self.gained, self.spread = math.inf, 0, 0.0
        self.looked, self.grows = 0, True

    def go(self) -> Iterator[Fit]:
        """Yield a record a pass; the last is evaluated. Raise NotFinite when the loss is NaN or Inf."""
        model, last = self.model, limit(self.recipe, len(self.few))
        results: list[Result] = []
        stepper = Stepper(Course(self.recipe, model.network), model.parameters, model.mean)
        stream = self.recipe.stream(self.few, model.network.crop)
        stepper.begin(epoch=1, update=0)
        try:
            with Prefetcher(stream, self.recipe.batch) as prefetcher:
                for update in range(1, last + 1):
                    results.append(self._update(stepper, prefetcher, stream, update))
                    if update % self.around and update < last:
                        continue
                    loss = sum(result.loss for result in results) / len(results)
                    right = min(sum(result.top1 for result in results), len(self.few))
                    results, ended = [], self.ended(update, loss) or (LIMIT if update == last else "")
                    if loss < LOSS or ended:
                        fit = self._evaluated(update, ended)
                        yield fit
                        if fit.learned or ended:
                            return
                    else:
                        yield Fit(self.before + update, loss, right, len(self.few), rate=self.recipe.rate)
        finally:
            stepper.plan.release()

    def ended(self, update: int, loss: float) -> str:
        """Return why the try has failed after a pass with that mean loss, or ""."""
        if self.best < self.guessing / 2 and loss > 2 * self.guessing:
            return ROSE
        if loss < (1 - GAIN) * self.best:
            self.best, self.gained = loss, update
        if update - self.looked >= LOOK:
            self.looked = update
            if self._look(evaluate(self.model, self.few)):
                return DEAD
        if update - self.gained < self.patience:
            return ""
        if self.best < LEFT * self.guessing:
            return STOOD
        return "" if self.grows else FLAT

    def _look(self, evaluation: Evaluation) -> bool:
        """Return whether all images give the same output, as with a dead layer; record whether the spread grows."""
        spread = float(np.std(evaluation.probabilities))
        if len(self.few) > 1 and spread == 0 and len(set(evaluation.named.tolist())) == 1:
            return True
        self.grows, self.spread = spread > GROWTH * self.spread, spread
        return False

    def _update(self, stepper: Stepper, prefetcher: Prefetcher, stream: Stream, update: int) -> Result:
        """Run an update on the next batch; return its result."""
        stepper.plan.put(*prefetcher.take())
        stepper.queue(1, 0.0)
        outcome, rate = stepper.flying.popleft()
        if not outcome.result.finite:
            fault = nonfinite.in_update(stepper.plan, stream, update - 1, (update - 1) * self.recipe.batch)
            raise NotFinite(outcome.result.loss, update, rate, fault)
        return outcome.result

    def _evaluated(self, update: int, ended: str) -> Fit:
        """Return the record of an evaluation."""
        evaluation = evaluate(self.model, self.few)
        updates, rate = self.before + update, self.recipe.rate
        fit = Fit(updates, evaluation.loss, evaluation.right1, len(self.few), evaluated=True, rate=rate)
        if fit.learned:
            return fit
        classes = [*self.few.classes, "nothing"]  # predicted -1 if the scores are NaN
        wrong = tuple(
            (self.few.names[index], classes[self.few.labels[index]], classes[evaluation.named[index]])
            for index in np.flatnonzero(evaluation.named != self.few.labels)
        )
        return replace(fit, ended=ended, wrong=wrong)


def around(recipe: Recipe, images: int) -> int:
    """Return the number of updates of a pass over the images."""
    return -(-images // recipe.batch)
