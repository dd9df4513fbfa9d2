"""An experiment as data: a question, the paper's answer, arms that differ in one thing, and a scale."""

import math
from dataclasses import dataclass, field, replace
from typing import Any

from cualex.experiments.metrics import Measure
from cualex.training.recipes import Recipe

FALL = 0.8  # of the epochs, after which the rate is divided by ten


@dataclass(frozen=True)
class Arm:
    """An arm: its differences from the scale's recipe.

    changes: of fields of the recipe.  variant: arguments of the network's function.  rates: to try, by default the
    recipe's.  paper: the paper's result, relative to the first arm.  pretrained: whether the hidden layers learn as
    auto-encoders first (training/autoencoder.py).
    """

    changes: dict[str, Any] = field(default_factory=dict)
    variant: dict[str, Any] = field(default_factory=dict)
    rates: tuple[float, ...] = ()
    paper: str = ""
    pretrained: bool = False


@dataclass(frozen=True)
class Scale:
    """The size of an experiment.

    recipe: the training that the arms change, with its epochs.  differs: differences from the paper, as a text.
    seeds: their number, from 0.  pictures, tested: images of the splits in equal numbers by class; None: all.
    updates: the least number of updates, which determines the epochs.  least: images in an epoch, at least; a smaller
    set is repeated, as an epoch ends with a validation and a checkpoint.
    falls: whether the rate is divided by ten for the last fifth of the epochs; else the schedule is the recipe's.
    unlabelled: images, of the same split, on which pre-trained arms pre-train, and for how many updates of each layer.
    """

    recipe: Recipe
    differs: str
    seeds: int = 3
    pictures: int | None = None
    tested: int | None = None
    updates: int | None = None
    least: int = 0
    falls: bool = True
    unlabelled: tuple[int, int] | None = None

    def but(self, pictures: int | None = None, seeds: int | None = None, epochs: int | None = None) -> "Scale":
        """Return this scale with some fields replaced; None leaves a field as it is."""
        scale = replace(self, pictures=pictures or self.pictures, seeds=seeds or self.seeds)
        return replace(scale, recipe=scale.recipe.but(epochs=epochs), updates=None) if epochs else scale

    def on(self, pictures: int) -> "Scale":
        """Return this scale for a number of training images: with the epochs that give its updates."""
        if self.updates is None:
            return self
        return self.but(epochs=math.ceil(self.updates * self.recipe.batch / pictures))


@dataclass(frozen=True)
class Trial:
    """One training of an experiment. pretraining: updates of each layer as an auto-encoder, before it; 0 for none."""

    arm: str
    rate: float
    seed: int
    recipe: Recipe
    pretraining: int = 0

    @property
    def name(self) -> str:
        """Name of its directory."""
        return f"{self.arm}-{self.rate:g}-{self.seed}"


@dataclass(frozen=True)
class Experiment:
    """An experiment.

    title: one line.  question, paper: the paper's question and result, in `section`.  arms: by name; the others are
    compared with the first.  scale, full: the small scale, and the paper's.  reading: how to interpret a result at the
    small scale.  full_measure: at the paper's scale, if it is another.
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
    full_measure: Measure | None = None

    def at_full(self) -> "Experiment":
        """Return this experiment with the measure of the paper's scale."""
        return replace(self, measure=self.full_measure or self.measure)

    def trials(self, scale: Scale) -> list[Trial]:
        """Return the trainings: all arms and rates with the first seed, then with the next."""
        updates = scale.unlabelled[1] if scale.unlabelled else 0
        return [
            Trial(name, rate, seed, self.recipe(scale, name).but(rate=rate, seed=seed), updates * arm.pretrained)
            for seed in range(scale.seeds)
            for name, arm in self.arms.items()
            for rate in arm.rates or (scale.recipe.rate,)
        ]

    def recipe(self, scale: Scale, name: str) -> Recipe:
        """Return the recipe of an arm, with the scale's rate and seed."""
        arm, recipe = self.arms[name], scale.recipe
        if scale.falls:
            recipe = recipe.but(drop_epochs=(max(1, round(FALL * recipe.epochs)),))
        return recipe.but(**arm.changes, variant=recipe.variant | arm.variant)
