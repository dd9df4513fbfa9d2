"""Recipes, the hyperparameters of a training: the paper's, and those of networks and data sets."""

from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np

from cualex import networks
from cualex.data.batches import Stream
from cualex.data.colour_noise import DEVIATION, ILSVRC2012, Noise
from cualex.data.split import Split
from cualex.errors import UsageError
from cualex.networks import arguments
from cualex.training import recipe_table
from cualex.training.recipe_table import COMPONENTS
from cualex.training.schedules import (
    BIASES_2012,
    QUIET_2012,
    Cosine,
    Fixed,
    Plateau,
    Poly,
    Schedule,
    Schedule2012,
)

SCHEDULES = ("plateau", "steps", "cosine", "poly", "2012")
CLASS_WEIGHTS = ("", "balanced")
TIES = ("first", "last")


@dataclass(frozen=True)
class Recipe:
    """The hyperparameters of a training.

    `optimizer`: "momentum", "adam" or "lars". `rate`: the initial learning rate of weights; `bias_rate`: of biases, the
    same if None. `schedule`: one of `SCHEDULES`; "" is "steps" at `drop_epochs` if there are any, else the paper's
    "plateau". `stop_after`: epochs without gain after which the training ends. `freeze`: layers that are not updated.
    `head_rate`: learning-rate multiplier of the last dense layer. `multipliers`: of the rate and decay of layers and
    parameters, as {"conv1.lr": 0.1, "conv1.bias.decay": 1}, like Caffe's lr_mult and decay_mult. `accumulate`: parts in
    which a batch is computed. `accumulate_order`: in which their gradients are added, "chain" or "tree"
    (`plan.update_rule.Rule`). `dropout`: the fraction dropped. `class_weights`: of the training loss, "" for none or
    "balanced" (`weigh_classes`).

    Without `augment` every image is the centre crop, in its own colours. `colour_noise` is the standard deviation of
    the factors of the components of colour, 0 for no noise; `colour_components` names the images that the components
    come from, the "data" or those of "2012". The last `plain_epochs` have no colour noise.
    `mean_at`: the mean image is cropped as the image is ("crop"), or always at its "centre".
    `variant`: arguments of the network's function that follow from no other field.

    `patience`: epochs without gain after which "plateau" divides the rate. `ties`: of the epochs with the same
    validation top-1 the "first" or the "last" is the best: with a dozen validation images there are many, and with a
    rate that falls to zero the last generalises better (to a twentieth of the epochs). `warmup`: epochs in which the
    rates rise to those of the schedule (`Course.rates`). `trust`: the coefficient of LARS.
    """

    network: str = "alexnet"
    crop: int = 227
    batch: int = 128
    rate: float = 0.01
    momentum: float = 0.9
    decay: float = 0.0005
    dropout: float = 0.5
    epochs: int = 90
    drop_epochs: tuple[int, ...] = ()
    schedule: str = ""
    stop_after: int = 0
    optimizer: str = "momentum"
    bias_rate: float | None = None
    head_rate: float = 1.0
    freeze: tuple[str, ...] = ()
    accumulate: int = 1
    augment: bool = True
    colour_noise: float = DEVIATION
    colour_components: str = "data"
    plain_epochs: int = 0
    mean_at: str = "crop"
    variant: dict[str, Any] = field(default_factory=dict)
    seed: int = 0
    patience: int = 5
    ties: str = "first"
    class_weights: str = ""
    multipliers: dict[str, float] = field(default_factory=dict)
    warmup: float = 0.0
    trust: float = 0.001
    accumulate_order: str = "chain"

    @property
    def falls(self) -> str:
        """The schedule of the rate."""
        return self.schedule or ("steps" if self.drop_epochs else "plateau")

    @property
    def biases(self) -> float:
        """The initial rate of biases: in the schedule of 2012 twice that of weights."""
        return self.bias_rate or self.rate * (BIASES_2012 if self.falls == "2012" else 1)

    @property
    def plain(self) -> int:
        """Number of last epochs without colour noise; the schedule of 2012 determines it."""
        if self.falls == "2012":
            return self.epochs - Schedule2012(self.rate, self.epochs).scaled(QUIET_2012)
        return self.plain_epochs

    def begin(self) -> Schedule:
        """Return the schedule of the rate in its initial state."""
        if self.falls not in SCHEDULES:
            raise UsageError(f"schedule {self.falls!r}: expected {', '.join(SCHEDULES)}")
        if self.falls == "steps":
            return Fixed(self.rate, self.drop_epochs)
        if self.falls == "2012":
            return Schedule2012(self.rate, self.epochs)
        if self.falls == "plateau":
            return Plateau(self.rate, patience=self.patience)
        return Cosine(self.rate) if self.falls == "cosine" else Poly(self.rate)

    def stream(self, pack: Split, crop: int, noisy: int | None = None) -> Stream:
        """Return the stream of a pack's training images with this recipe's augmentation.

        noisy: the last epoch with colour noise; by default `plain` epochs before the last.
        """
        if self.colour_components not in COMPONENTS:
            expected = " or ".join(COMPONENTS)
            raise UsageError(f"colour components {self.colour_components!r}: expected {expected}")
        noise = None
        if self.augment and self.colour_noise:
            components = ILSVRC2012 if self.colour_components == "2012" else pack.components
            assert components is not None  # train has them
            noise = Noise(components, self.colour_noise, self.epochs - self.plain if noisy is None else noisy)
        return Stream(pack, self.seed, crop, self.augment, noise)

    def weigh_classes(self, pack: Split) -> np.ndarray | None:
        """Return the weights of the classes in the training loss (classes,), or None for no weights.

            balanced: w[c] = n / (k n[c])

        n[c]: training images of class c; n: their sum; k: the number of classes that have any. As in scikit-learn all
        classes have the same total weight, and the mean weight of an image is 1. A class without images has weight 0.
        """
        if self.class_weights not in CLASS_WEIGHTS:
            raise UsageError(f"class weights {self.class_weights!r}: expected 'balanced', or '' for none")
        if not self.class_weights:
            return None
        counts = np.bincount(pack.labels, minlength=len(pack.classes))
        return np.divide(counts.sum(), np.count_nonzero(counts) * counts, out=np.zeros(len(counts)), where=counts > 0)

    def but(self, **numbers: Any) -> "Recipe":
        """Return this recipe with some fields replaced; None leaves a field as it is."""
        return replace(self, **{name: number for name, number in numbers.items() if number is not None})

    def arguments(self, classes: int) -> dict[str, Any]:
        """Return the arguments of the network's function."""
        given = {"classes": classes, "crop": self.crop, "mean_at": self.mean_at, **self.variant}
        return given | ({"dropout": self.dropout} if self.network in DROPPING else {})

    def described(self) -> dict[str, Any]:
        """Return all fields as plain values."""
        return asdict(self)

    def against_paper(self) -> list[tuple[str, str, str]]:
        """Return rows of (hyperparameter, value, the paper's value or "" if equal)."""
        return recipe_table.rows(self, PAPER, recipe_table.PAPER_VIEWS)


DROPPING = tuple(  # the networks that have dropout
    name for name in networks.names() if "dropout" in arguments.defaults(networks.find(name))
)

ADAM: dict[str, Any] = {"optimizer": "adam", "rate": 0.001, "decay": 0.0}  # as in Keras
MOMENTUM: dict[str, Any] = {"optimizer": "momentum", "rate": 0.01, "decay": 0.0005}  # as in the paper
LARS: dict[str, Any] = {"optimizer": "lars", "decay": 0.0005, "trust": 0.001}
RULES = {"momentum": MOMENTUM, "adam": ADAM, "lars": LARS | {"rate": 2.0}}  # defaults of the optimizers
PAPER = Recipe()
DEMO = Recipe(crop=67, batch=64, epochs=8, drop_epochs=(6,), colour_noise=0.0)
CIFAR = Recipe(
    network="cifar-relu",
    crop=27,
    batch=32,
    rate=0.01,
    dropout=0.0,
    decay=0.001,
    epochs=15,
    drop_epochs=(10, 13),
    colour_noise=0.0,
)


LENET = CIFAR.but(network="lenet5", crop=32, decay=0.0005)
BATCHNORM = Recipe(network="alexnet-batchnorm", crop=224, batch=64, dropout=0.4, epochs=30, colour_noise=0.0, **ADAM)
# Rate, schedule and epochs without colour noise as in the notes of 2012; Caffe's as in its solvers.
AS_IN_2012 = PAPER.but(network="alexnet-2012", crop=224, mean_at="centre", schedule="2012")
CAFFE = PAPER.but(network="alexnet-caffe", batch=256, drop_epochs=(20, 40, 60, 80), colour_noise=0.0)
TORCHVISION = PAPER.but(
    network="alexnet-torchvision", crop=224, batch=256, decay=1e-4, drop_epochs=(30, 60), colour_noise=0.0
)
TANH = PAPER.but(network="alexnet-tanh")
OWN = {
    recipe.network: recipe
    for recipe in (
        *(CIFAR, CIFAR.but(network="cifar-tanh"), LENET, BATCHNORM),
        *(AS_IN_2012, CAFFE, CAFFE.but(network="caffenet"), TORCHVISION, TANH),
    )
}
# For the demo set. With Caffe's initial weights the loss would not move in so few epochs.
EVEN = DEMO.but(variant={"initial": "glorot"})
QUICK = {
    recipe.network: recipe
    for recipe in (
        *(DEMO, DEMO.but(network="alexnet-one-tower")),
        *(EVEN.but(network="alexnet-caffe"), EVEN.but(network="caffenet")),
        DEMO.but(network="alexnet-2012", crop=64, mean_at="centre"),
        DEMO.but(network="alexnet-torchvision", crop=72),
    )
}


# Large batches; large_batches.py has rate and warm-up by batch size.
LARGE = PAPER.but(batch=512, rate=2.0, epochs=100, schedule="poly", warmup=2.0, colour_noise=0.0, **LARS)


NAMED = {  # values of --recipe; "paper" is the published recipe of any network
    "paper": PAPER,
    "demo": DEMO,
    "cifar": CIFAR,
    "lenet": LENET,
    "batchnorm": BATCHNORM,
    "2012": AS_IN_2012,
    "caffe": CAFFE,
    "torchvision": TORCHVISION,
    "lars": LARGE,
}


def named(name: str, network: str | None) -> Recipe:
    """Return a recipe by its name, for its network or for another."""
    if name == "paper":
        network = network or PAPER.network
        return OWN.get(network) or PAPER.but(network=network)
    recipe = NAMED[name]
    if name == "demo" and network in QUICK:
        return QUICK[network]
    return recipe.but(network=network)
