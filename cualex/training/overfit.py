"""First aid: can a network learn a few images by heart? One that cannot will learn no data set either.

The recipe's network, without anything that makes learning by heart harder: no crops, mirror images or colour noise, no
decay, and dropout's masks replaced by their mean, so that the rate means what it means in the training. Nothing is
written anywhere: there is no run, no checkpoint and no file that another command could take for a trained network.

A recipe's rate is made for its batch and its images; for a few images, learned again and again, it can be too large.
So a try that diverges or stands still is followed by others from the same initial weights at smaller rates, and the one
that has learned is said.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from cualex.data.ahead import Ahead
from cualex.errors import Diverged, UsageError
from cualex.evaluation import entropy, evaluate
from cualex.layers import Dropout, MeanDropout
from cualex.model import Model
from cualex.networks import Network
from cualex.parameters import Parameters
from cualex.training import beginning, faults, few
from cualex.training.course import Course
from cualex.training.few import Few
from cualex.training.recipes import Recipe
from cualex.training.stepping import Stepper
from cualex.weights import Weights

BATCH = 32  # images, at the most
LOSS = 0.05  # at which the images are learned, if all are named right
UPDATES, PASSES = 1000, 100  # of a try, at the most: the larger of so many updates and passes over the images
PATIENCE, PATIENT_PASSES = 200, 10  # without a gain, after which a try ends: again the larger
GAIN = 0.001  # of the loss: less is none
RATES = (1.0, 0.3, 0.1)  # of the tries, times the recipe's

DIVERGED, ROSE, STOOD = "the loss is not finite", "the loss fell and then rose", "the loss stood still"
LIMIT, IMPOSSIBLE = "the updates are used up", "the same image has several classes"


@dataclass(frozen=True)
class Fit:
    """Report how far a try is: updates, the mean loss, how many of the images are named right, and at which rate.

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


def plain(recipe: Recipe, pictures: int, batch: int | None = None) -> Recipe:
    """Return a recipe without what keeps a network from learning by heart, for so many images."""
    plainer = recipe.but(augment=False, colour_noise=0.0, decay=0.0, accumulate=1)
    return plainer.but(batch=min(pictures, batch or BATCH))


def unmasked(network: Network) -> Network:
    """Return a network in which dropout multiplies by the mean of its masks, in training too."""
    return replace(
        network,
        layers={
            name: MeanDropout(layer.share, layer.inverted) if isinstance(layer, Dropout) else layer
            for name, layer in network.layers.items()
        },
    )


def limit(recipe: Recipe, pictures: int) -> int:
    """Return how many updates a try has at the most."""
    return max(UPDATES, PASSES * _around(recipe, pictures))


def overfit(
    recipe: Recipe,
    pack,
    pictures: int,
    kept: Weights | None = None,
    device: str = "cpu",
    precision: str | None = None,
    compiling: Callable[[int, int], None] | None = None,
    rates: Sequence[float] = RATES,
) -> Iterator[Fit]:
    """Train on a few images of a pack until they are learned, at smaller rates too; yield how far it is.

    `recipe` is one that `plain` has made; `kept` are weights to begin with in the place of initial ones. `rates` are
    those of the tries, times the recipe's. The last of what comes says whether the images are learned,
    and each that has `ended` how a try without success did. Where images contradict each other nothing is trained: the
    report says how many can be named right at the most, and the least loss that there can be.

    Raise UsageError where the pack has fewer images, and Diverged where the loss is not finite at any of the rates, or
    already because of what the network reads.
    """
    if pictures > len(pack):
        raise UsageError(
            f"--overfit {pictures}: the training set has {len(pack)} pictures; name as many or fewer"
        )
    begun = beginning.begin(recipe, pack, kept)
    begun = replace(begun, network=unmasked(begun.network))
    chosen = few.choose(pack, pictures, begun.network.crop)
    if chosen.contradictions:
        yield _impossible(chosen, recipe.rate)
        return
    parameters = Parameters(begun.network, device, precision=precision, compiling=compiling)
    model, diverged = Model(begun, parameters=parameters), []
    for factor in rates:
        biases = recipe.bias_rate and recipe.bias_rate * factor
        slower = recipe.but(rate=float(f"{recipe.rate * factor:g}"), bias_rate=biases)  # as it is said
        parameters.load(begun.tensors)
        parameters.forget_velocities()
        stepper = Stepper(Course(slower, begun.network), parameters, begun.mean)
        try:
            for fit in _Try(stepper, model, chosen).go():
                yield fit
                if fit.learned:
                    return
        except _NotFinite as error:
            diverged.append(error)
            if error.fault and error.fault.input:
                raise error.said() from None
            yield Fit(error.update, math.nan, 0, pictures, rate=slower.rate, ended=DIVERGED)
        stepper.plan.release()
    if len(diverged) == len(rates):
        raise diverged[-1].said()


class _NotFinite(Exception):
    """Carry what is known of a loss that is not finite."""

    def __init__(self, loss: float, update: int, rate: float, fault):
        super().__init__(loss)
        self.loss, self.update, self.rate, self.fault = loss, update, rate, fault

    def said(self) -> Diverged:
        """Return the error that a command reports."""
        return Diverged(
            f"the loss is {self.loss} at update {self.update}{faults.said(self.fault, self.rate)}"
        )


class _Try:
    """Train from the weights that the parameters have, at one rate, until it has learned or there is no hope.

    around: updates a pass over the images.  guessing: the loss of one answer for all of them.
    """

    def __init__(self, stepper: Stepper, model: Model, few: Few):
        self.stepper, self.model, self.few, self.recipe = stepper, model, few, stepper.course.recipe
        self.around = _around(self.recipe, len(few))
        self.guessing = entropy(np.bincount(few.labels))
        self.patience = max(PATIENCE, PATIENT_PASSES * self.around)
        self.best, self.gained = math.inf, 0

    def go(self) -> Iterator[Fit]:
        """Yield a report a pass; the last is evaluated. Raise _NotFinite where the loss is not finite."""
        last, results = limit(self.recipe, len(self.few)), []
        stream = self.recipe.stream(self.few, self.model.network.crop)
        self.stepper.begin(epoch=1, update=0)
        with Ahead(stream, self.recipe.batch) as ahead:
            for update in range(1, last + 1):
                results.append(self._update(ahead, stream, update))
                if update % self.around and update < last:
                    continue
                loss = sum(result.loss for result in results) / len(results)
                right = min(sum(result.top1 for result in results), len(self.few))
                results, ended = [], self._ended(update, loss) or (LIMIT if update == last else "")
                if loss < LOSS or ended:
                    fit = self._evaluated(update, ended)
                    yield fit
                    if fit.learned or ended:
                        return
                else:
                    yield Fit(update, loss, right, len(self.few), rate=self.recipe.rate)

    def _update(self, ahead: Ahead, stream, update: int):
        """Move the weights by a batch; return what it gave."""
        plan = self.stepper.plan
        plan.put(*ahead.take())
        self.stepper.queue(1, 0.0)
        outcome, rate = self.stepper.flying.popleft()
        if not outcome.result.finite:
            fault = faults.in_update(plan, stream, update - 1, (update - 1) * self.recipe.batch)
            raise _NotFinite(outcome.result.loss, update, rate, fault)
        return outcome.result

    def _ended(self, update: int, loss: float) -> str:
        """Say why it is not worth going on after a pass with that mean loss; "" where it is."""
        if self.best < self.guessing / 2 and loss > 2 * self.guessing:
            return ROSE
        if loss < (1 - GAIN) * self.best:
            self.best, self.gained = loss, update
        return STOOD if update - self.gained >= self.patience else ""

    def _evaluated(self, update: int, ended: str) -> Fit:
        """Report what the network makes of the images now."""
        found = evaluate(self.model, self.few)
        fit = Fit(update, found.loss, found.right1, len(self.few), evaluated=True, rate=self.recipe.rate)
        if fit.learned:
            return fit
        classes = [*self.few.classes, "nothing"]  # named -1 where the scores are not numbers
        wrong = tuple(
            (self.few.names[index], classes[self.few.labels[index]], classes[found.named[index]])
            for index in np.flatnonzero(found.named != self.few.labels)
        )
        return replace(fit, ended=ended, wrong=wrong)


def _around(recipe: Recipe, pictures: int) -> int:
    return -(-pictures // recipe.batch)


def _impossible(few: Few, rate: float) -> Fit:
    """Report what is known before any training of images that contradict each other."""
    names = tuple(tuple(few.names[index] for index in group) for group in few.contradictions)
    known = Fit(0, few.least_loss, few.most_right, len(few), rate=rate, ended=IMPOSSIBLE)
    return replace(known, contradictions=names)
