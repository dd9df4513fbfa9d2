"""How a network is trained: the paper's recipe, and the demo's beside it."""

from dataclasses import asdict, dataclass, field, replace

import numpy as np

from cualex import networks
from cualex.data.batches import Stream
from cualex.data.colour_noise import DEVIATION, ILSVRC2012, Noise
from cualex.errors import UsageError
from cualex.networks import arguments
from cualex.training import hand, recipe_table
from cualex.training.hand import Hand
from cualex.training.recipe_table import COMPONENTS
from cualex.training.schedules import Cosine, Fixed, Plateau, Schedule

SCHEDULES = ("plateau", "steps", "cosine", "2012")
CLASS_WEIGHTS = ("", "balanced")


@dataclass(frozen=True)
class Recipe:
    """Hold the numbers of a training.

    `optimizer` is the update rule, "momentum" or "adam". `rate` is that of the weights at the start, `bias_rate` that
    of the biases, the same if None. `schedule` says how they fall (`SCHEDULES`); "" stands for "steps" after each of
    `drop_epochs` where there are any, and else for the paper's "plateau". With `stop_after` the training ends after so
    many epochs without gain. `freeze` names layers that do not learn; the last dense layer learns at `head_rate` times
    the rate. `accumulate` is in how many parts a batch is computed. `dropout` is the share dropped. `class_weights`
    says how the classes are weighed in the training loss: "" for not at all, or "balanced" (`weigh_classes`).

    Without `augment` every picture is seen at its centre and in its own  `colour_noise` is the deviation of
    the numbers that the components of colour are multiplied by, 0 for no noise; `colour_components` says whose
    components, those of the "data" or of the pictures of "2012". The last `plain_epochs` have no colour noise.
    `mean_at` says where the mean picture is taken: at the "crop", or at its "centre" whatever the crop.
    `variant` are arguments of the network's function beside those that follow from the others.

    `patience` is the epochs without gain after which "plateau" divides the rate. `ties` says which of the epochs with
    the same validation top-1 is the best one, the "first" or the "last": where a dozen images validate there are many,
    and a rate that falls to zero makes the last of them right more often on others (to a twentieth of the epochs).
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
    variant: dict = field(default_factory=dict)
    seed: int = 0
    patience: int = 5
    ties: str = "first"
    class_weights: str = ""

    @property
    def falls(self) -> str:
        """Name the schedule of the rate."""
        return self.schedule or ("steps" if self.drop_epochs else "plateau")

    @property
    def biases(self) -> float:
        """Return the rate of the biases at the start: in the schedule of 2012 twice that of the weights."""
        return self.bias_rate or self.rate * (hand.BIASES if self.falls == "2012" else 1)

    @property
    def plain(self) -> int:
        """Count the last epochs without colour noise, which the schedule of 2012 says itself."""
        return self.epochs - self.begin().scaled(hand.QUIET) if self.falls == "2012" else self.plain_epochs

    def begin(self) -> Schedule:
        """Return the schedule of the rate, at its start."""
        if self.falls not in SCHEDULES:
            raise UsageError(f"schedule {self.falls!r}: expected {', '.join(SCHEDULES)}")
        if self.falls == "steps":
            return Fixed(self.rate, self.drop_epochs)
        if self.falls == "2012":
            return Hand(self.rate, self.epochs)
        return Cosine(self.rate) if self.falls == "cosine" else Plateau(self.rate, patience=self.patience)

    def stream(self, pack, crop: int, noisy: int | None = None) -> Stream:
        """Return the endless training pictures of a pack, varied as this recipe says.

        noisy: the last epoch with colour noise, where that is not as many epochs before the last as there are plain.
        """
        if self.colour_components not in COMPONENTS:
            expected = " or ".join(COMPONENTS)
            raise UsageError(f"colour components {self.colour_components!r}: expected {expected}")
        noise = None
        if self.augment and self.colour_noise:
            components = ILSVRC2012 if self.colour_components == "2012" else pack.components
            noise = Noise(components, self.colour_noise, self.epochs - self.plain if noisy is None else noisy)
        return Stream(pack, self.seed, crop, self.augment, noise)

    def weigh_classes(self, pack) -> np.ndarray | None:
        """Return the weights of the classes in the training loss (classes,), or None for no weights.

            balanced: w[c] = n / (k n[c])

        n[c] are the training images of class c, n is their sum and k the number of classes that have any, as in
        scikit-learn: every class weighs as much as any other, and an image 1 on average. A class without images
        has weight 0.
        """
        if self.class_weights not in CLASS_WEIGHTS:
            raise UsageError(f"class weights {self.class_weights!r}: expected 'balanced', or '' for none")
        if not self.class_weights:
            return None
        counts = np.bincount(pack.labels, minlength=len(pack.classes))
        return np.divide(counts.sum(), np.count_nonzero(counts) * counts, out=np.zeros(len(counts)), where=counts > 0)

    def but(self, **numbers) -> "Recipe":
        """Return this recipe with some numbers replaced; None leaves a number as it is."""
        return replace(self, **{name: number for name, number in numbers.items() if number is not None})

    def arguments(self, classes: int) -> dict:
        """Return the arguments of the network's function."""
        given = {"classes": classes, "crop": self.crop, "mean_at": self.mean_at, **self.variant}
        return given | ({"dropout": self.dropout} if self.network in DROPPING else {})

    def described(self) -> dict:
        """Return all numbers as plain values."""
        return asdict(self)

    def against_paper(self) -> list[tuple[str, str, str]]:
        """Return a row a number: its name, what it is here, and what it is in the paper ("" where the same)."""
        return recipe_table.rows(self, PAPER, recipe_table.PAPER_VIEWS)


DROPPING = tuple(  # the networks that have dropout
    name for name in networks.names() if "dropout" in arguments.defaults(networks.find(name))
)

ADAM = {"optimizer": "adam", "rate": 0.001, "decay": 0.0}  # as Keras has it
MOMENTUM = {"optimizer": "momentum", "rate": 0.01, "decay": 0.0005}  # as the paper has it
RULES = {"momentum": MOMENTUM, "adam": ADAM}  # the numbers that an update rule begins with
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
# The rate, its falls and the epochs without colour noise as the notes of 2012 have them; Caffe's as its solvers have.
AS_IN_2012 = PAPER.but(network="alexnet-2012", crop=224, mean_at="centre", schedule="2012")
CAFFE = PAPER.but(network="alexnet-caffe", batch=256, drop_epochs=(20, 40, 60, 80), colour_noise=0.0)
TORCHVISION = PAPER.but(
    network="alexnet-torchvision", crop=224, batch=256, decay=1e-4, drop_epochs=(30, 60), colour_noise=0.0
)
TANH = PAPER.but(network="alexnet-tanh", dropout=0.0)
OWN = {
    recipe.network: recipe
    for recipe in (
        *(CIFAR, CIFAR.but(network="cifar-tanh"), LENET, BATCHNORM),
        *(AS_IN_2012, CAFFE, CAFFE.but(network="caffenet"), TORCHVISION, TANH),
    )
}
# For the demo set. With Caffe's own initial weights the loss would not move in so few epochs.
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


NAMED = {  # what --recipe calls them; "paper" is the published recipe of whichever network
    "paper": PAPER,
    "demo": DEMO,
    "cifar": CIFAR,
    "lenet": LENET,
    "batchnorm": BATCHNORM,
    "2012": AS_IN_2012,
    "caffe": CAFFE,
    "torchvision": TORCHVISION,
}


def named(name: str, network: str | None) -> Recipe:
    """Return a recipe by its name, for its own network or for another that it fits."""
    if name == "paper":
        network = network or PAPER.network
        return OWN.get(network) or PAPER.but(network=network)
    recipe = NAMED[name]
    if name == "demo" and network in QUICK:
        return QUICK[network]
    return recipe.but(network=network)
