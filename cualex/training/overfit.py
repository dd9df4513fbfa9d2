"""First aid: can a network learn a few pictures by heart? One that cannot will learn no data set either.

The recipe's network, without anything that makes learning by heart harder: no crops, mirror
images or colour noise, no dropout, no decay. Nothing is written anywhere: there is no run, no checkpoint and no file
that another command could take for a trained network.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from cualex.data.ahead import Ahead
from cualex.errors import Diverged, UsageError
from cualex.evaluation import evaluate
from cualex.model import Model
from cualex.parameters import Parameters
from cualex.training import beginning, faults
from cualex.training.course import Course
from cualex.training.recipes import DROPPING, Recipe
from cualex.training.stepping import Stepper
from cualex.weights import Weights

BATCH = 32  # pictures, at the most
LOSS = 0.05  # at which the pictures are learned, if all are named right
UPDATES = 1000  # at the most


@dataclass(frozen=True)
class Fit:
    """Report how far it is: updates, the mean loss, how many of the pictures are named right, and if that is enough.

    The figures are those of the training since the last look, and of an evaluation where `evaluated`.
    """

    updates: int
    loss: float
    right: int
    pictures: int
    evaluated: bool = False

    @property
    def learned(self) -> bool:
        """Say whether the network knows the pictures."""
        return self.evaluated and self.loss < LOSS and self.right == self.pictures


@dataclass(frozen=True, eq=False)
class Few:
    """A few pictures of a pack, from all over it; read as a pack is."""

    pack: object
    count: int

    def __len__(self) -> int:
        """Count the pictures."""
        return self.count

    def __getattr__(self, name: str):
        """Return what is the same for all pictures: size, classes, mean."""
        return getattr(self.pack, name)

    @cached_property
    def chosen(self) -> np.ndarray:
        """Return which pictures they are."""
        return np.linspace(0, len(self.pack) - 1, self.count).astype(int)

    @property
    def labels(self) -> np.ndarray:
        """Return their labels."""
        return self.pack.labels[self.chosen]

    @property
    def names(self) -> tuple[str, ...]:
        """Return their names."""
        return tuple(self.pack.names[index] for index in self.chosen)

    def read(self, indices: np.ndarray, out: np.ndarray) -> None:
        """Copy the pictures `indices` (k,) into `out`."""
        self.pack.read(self.chosen[indices], out)


def plain(recipe: Recipe, pictures: int, batch: int | None = None) -> Recipe:
    """Return a recipe without what keeps a network from learning by heart, for so many pictures."""
    plainer = recipe.but(augment=False, colour_noise=0.0, decay=0.0, accumulate=1)
    plainer = plainer.but(batch=min(pictures, batch or BATCH))
    return plainer.but(dropout=0.0) if recipe.network in DROPPING else plainer


def overfit(
    recipe: Recipe,
    pack,
    pictures: int,
    kept: Weights | None = None,
    device: str = "cpu",
    precision: str | None = None,
    compiling: Callable[[int, int], None] | None = None,
    updates: int = UPDATES,
) -> Iterator[Fit]:
    """Train on a few pictures of a pack until they are learned, or for so many updates; yield how far it is.

    `recipe` is one that `plain` has made; `kept` are weights to begin with in the place of initial ones. The last of
    what comes says whether the pictures are learned. Raise UsageError where the pack has fewer, and Diverged when the
    loss is no number.
    """
    if pictures > len(pack):
        raise UsageError(
            f"--overfit {pictures}: the training set has {len(pack)} pictures; name as many or fewer"
        )
    few, begun = Few(pack, pictures), beginning.begin(recipe, pack, kept)
    parameters = Parameters(begun.network, device, precision=precision, compiling=compiling)
    parameters.load(begun.tensors)
    stepper, model = (
        Stepper(Course(recipe, begun.network), parameters, begun.mean),
        Model(begun, parameters=parameters),
    )
    stepper.begin(epoch=1, update=0)
    stream, around = recipe.stream(few, begun.network.crop), -(-pictures // recipe.batch)
    with Ahead(stream, recipe.batch) as ahead:
        results = []
        for update in range(1, updates + 1):
            stepper.plan.put(*ahead.take())
            stepper.queue(1, 0.0)
            outcome, rate = stepper.flying.popleft()
            result = outcome.result
            results.append(result)
            if not result.finite:
                fault = faults.in_update(stepper.plan, stream, update - 1, (update - 1) * recipe.batch)
                raise Diverged(f"the loss is {result.loss} at update {update}{faults.said(fault, rate)}")
            if update % around and update < updates:
                continue
            loss = sum(result.loss for result in results) / len(results)
            right = min(sum(result.top1 for result in results), pictures)
            results = []
            if loss < LOSS or update == updates:
                found = evaluate(model, few)
                fit = Fit(update, found.loss, found.right1, pictures, evaluated=True)
                yield fit
                if fit.learned:
                    return
            else:
                yield Fit(update, loss, right, pictures)
