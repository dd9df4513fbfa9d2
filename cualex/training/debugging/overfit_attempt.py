"""One try to learn a few images by heart, at one rate, until they are learned or there is no hope.

Hope ends where the loss is not finite, where it has fallen and then risen, where all images give the same (a layer is
dead), and where it stands still: either below that of guessing, or at it, while the differences between images do not
grow. While they grow, small weights are on their way, which the loss does not show.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from cualex.data.prefetch import Prefetcher
from cualex.errors import Diverged
from cualex.evaluation import Evaluation, entropy, evaluate
from cualex.model import Model
from cualex.training.debugging import nonfinite
from cualex.training.debugging.overfit_images import Few
from cualex.training.in_flight import Stepper
from cualex.training.rates import Course
from cualex.training.recipes import Recipe

LOSS = 0.05  # at which the images are learned, if all are named right
UPDATES, PASSES = 1000, 100  # at the most: the larger of so many updates and passes over the images
PATIENCE, PATIENT_PASSES = 200, 10  # without a gain, after which a try ends: again the larger
GAIN = 0.001  # of the loss: less is none
LEFT = 0.9  # of the loss of guessing: initial weights may be a little below it by chance
LOOK = 50  # updates between two looks at what the network makes of the images
GROWTH = 1.1  # from look to look, of the differences between images: with less nothing moves

# How a try ends that has not learned. After the first three its weights are worth nothing.
DIVERGED, ROSE, DEAD = "the loss is not finite", "the loss fell and then rose", "all images give the same"
STOOD, FLAT = "the loss stood still", "the loss has not left that of guessing"
LIMIT, IMPOSSIBLE = "the updates are used up", "the same image has several classes"
LOST, SLOW = (DIVERGED, ROSE, DEAD), (FLAT, LIMIT)


@dataclass(frozen=True)
class Fit:
    """Report how far it is: updates, the mean loss, how many of the images are named right, and at which rate.

    The figures are those of the training since the last report, and of an evaluation where `evaluated`. `ended` says
    why a try ends without having learned; the next report is then one of the next try, if there is one. `wrong`:
    (name, class, named class) of the images that the evaluation named wrong. `contradictions`: the names of images
    that are the same and have different classes, which no network can learn.
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
        """Say whether the network knows the images."""
        return self.evaluated and self.loss < LOSS and self.right == self.pictures


def limit(recipe: Recipe, images: int) -> int:
    """Return how many updates a try has at the most."""
    return max(UPDATES, PASSES * around(recipe, images))


class NotFinite(Exception):
    """Carry what is known of a loss that is not finite."""

    def __init__(self, loss: float, update: int, rate: float, fault):
        super().__init__(loss)
        self.loss, self.update, self.rate, self.fault = loss, update, rate, fault

    def said(self) -> Diverged:
        """Return the error that a command reports."""
        return Diverged(f"the loss is {self.loss} at update {self.update}{nonfinite.said(self.fault, self.rate)}")


class Try:
    """Train from the weights that the parameters have, at one rate, until it has learned or there is no hope.

    before: updates of other tries.  around: updates a pass over the images.  guessing: the loss of one answer for all.
    good: the weights of the last look at which the loss was at its least; None before there is one.
    """

    def __init__(self, recipe: Recipe, model: Model, few: Few, before: int):
        self.recipe, self.model, self.few, self.before = recipe, model, few, before
        self.around = around(recipe, len(few))
        self.guessing = entropy(np.bincount(few.labels))
        self.patience = max(PATIENCE, PATIENT_PASSES * self.around)
        self.best, self.gained, self.spread = math.inf, 0, 0.0
        self.looked, self.grows, self.good = 0, True, None

    def go(self) -> Iterator[Fit]:
        """Yield a report a pass; the last is evaluated. Raise NotFinite where the loss is not finite."""
        model, last, results = self.model, limit(self.recipe, len(self.few)), []
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
        """Say why it is not worth going on after a pass with that mean loss; "" where it is."""
        if self.best < self.guessing / 2 and loss > 2 * self.guessing:
            return ROSE
        if loss < (1 - GAIN) * self.best:
            self.best, self.gained = loss, update
        if update - self.looked >= LOOK:
            self.looked = update
            if self._look(evaluate(self.model, self.few), loss):
                return DEAD
        if update - self.gained < self.patience:
            return ""
        if self.best < LEFT * self.guessing:
            return STOOD
        return "" if self.grows else FLAT

    def _look(self, found: Evaluation, loss: float) -> bool:
        """Return whether all images give the same, as where a layer is dead; note if the differences grow."""
        spread = float(np.std(found.probabilities))
        if len(self.few) > 1 and spread == 0 and len(set(found.named.tolist())) == 1:
            return True
        self.grows, self.spread = spread > GROWTH * self.spread, spread
        if loss <= self.best / (1 - GAIN):
            self.good = self.model.parameters.unload()
        return False

    def _update(self, stepper: Stepper, prefetcher: Prefetcher, stream, update: int):
        """Move the weights by a batch; return what it gave."""
        stepper.plan.put(*prefetcher.take())
        stepper.queue(1, 0.0)
        outcome, rate = stepper.flying.popleft()
        if not outcome.result.finite:
            fault = nonfinite.in_update(stepper.plan, stream, update - 1, (update - 1) * self.recipe.batch)
            raise NotFinite(outcome.result.loss, update, rate, fault)
        return outcome.result

    def _evaluated(self, update: int, ended: str) -> Fit:
        """Report what the network makes of the images now."""
        found = evaluate(self.model, self.few)
        updates, rate = self.before + update, self.recipe.rate
        fit = Fit(updates, found.loss, found.right1, len(self.few), evaluated=True, rate=rate)
        if fit.learned:
            return fit
        classes = [*self.few.classes, "nothing"]  # named -1 where the scores are not numbers
        wrong = tuple(
            (self.few.names[index], classes[self.few.labels[index]], classes[found.named[index]])
            for index in np.flatnonzero(found.named != self.few.labels)
        )
        return replace(fit, ended=ended, wrong=wrong)


def around(recipe: Recipe, images: int) -> int:
    """Return how many updates a pass over the images takes."""
    return -(-images // recipe.batch)
