"""What an experiment is, as data: a question, the paper's answer, arms that differ in one thing, and a scale."""

import math
from dataclasses import dataclass, field, replace

from cualex.experiments.metrics import Measure
from cualex.training.recipes import Recipe

FALL = 0.8  # of the epochs are over when the rate falls by ten, where it falls


@dataclass(frozen=True)
class Arm:
    """Say how an arm differs from the scale's recipe.

    changes: of the recipe.  variant: arguments of the network's function.  rates: that are tried; the recipe's alone
    if there are none.  paper: what the paper found for it, beside the first arm.
    """

    changes: dict = field(default_factory=dict)
    variant: dict = field(default_factory=dict)
    rates: tuple[float, ...] = ()
    paper: str = ""


@dataclass(frozen=True)
class Scale:
    """Say how large an experiment is.

    recipe: the training that the arms change, with its epochs.  differs: how this scale differs from the paper's.
    seeds: how many, from 0 on.  images, tested: how many of each split in equal shares of the classes, all for None.
    updates: the least number of updates; the epochs follow from it.  least: how many images an epoch has at least; a
    smaller set is gone through several times, for an epoch ends with a look at the network and a checkpoint.
    falls: whether the rate falls by ten for the last fifth of the epochs; else its schedule is the recipe's.
    """

    recipe: Recipe
    differs: str
    seeds: int = 3
    pictures: int | None = None
    tested: int | None = None
    updates: int | None = None
    least: int = 0
    falls: bool = True

    def but(self, pictures: int | None = None, seeds: int | None = None, epochs: int | None = None) -> "Scale":
        """Return this scale with some numbers replaced; None leaves a number as it is."""
        scale = replace(self, pictures=pictures or self.pictures, seeds=seeds or self.seeds)
        return replace(scale, recipe=scale.recipe.but(epochs=epochs), updates=None) if epochs else scale

    def on(self, pictures: int) -> "Scale":
        """Return this scale for so many training images: with the epochs that give its updates."""
        if self.updates is None:
            return self
        return self.but(epochs=math.ceil(self.updates * self.recipe.batch / pictures))


@dataclass(frozen=True)
class Trial:
    """Be one training of an experiment."""

    arm: str
    rate: float
    seed: int
    recipe: Recipe

    @property
    def name(self) -> str:
        """Return the name of its directory."""
        return f"{self.arm}-{self.rate:g}-{self.seed}"


@dataclass(frozen=True)
class Experiment:
    """Hold an experiment.

    title: what it is, in a line.  question, paper: what the paper asked and found, in `section`.  arms: by name; the
    others are compared with the first.  scale, full: that of this command, and the paper's.  reading: what a result
    at the small scale can and cannot say.
    """

    name: str
    title: str
    question: str
    section: str
    paper: str
    arms: dict[str, Arm]
    measure: Measure
    scale: Scale
    full: Scale
    reading: str

    def trials(self, scale: Scale) -> list[Trial]:
        """List the trainings: all arms and rates with the first seed, then with the next."""
        return [
            Trial(name, rate, seed, self.recipe(scale, name).but(rate=rate, seed=seed))
            for seed in range(scale.seeds)
            for name, arm in self.arms.items()
            for rate in arm.rates or (scale.recipe.rate,)
        ]

    def recipe(self, scale: Scale, name: str) -> Recipe:
        """Return the recipe of an arm, with the scale's own rate and seed."""
        arm, recipe = self.arms[name], scale.recipe
        if scale.falls:
            recipe = recipe.but(drop_epochs=(max(1, round(FALL * recipe.epochs)),))
        return recipe.but(**arm.changes, variant=recipe.variant | arm.variant)
