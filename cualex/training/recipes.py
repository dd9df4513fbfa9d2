"""How a network is trained: the paper's recipe, and the demo's beside it."""

import inspect
from dataclasses import asdict, dataclass, replace

from cualex import networks
from cualex.data import colours
from cualex.data.batches import Stream, views
from cualex.errors import UsageError
from cualex.training.schedule import Fixed, Plateau

COMPONENTS = {"data": "of the training pictures", "2012": "of ILSVRC-2012"}


@dataclass(frozen=True)
class Recipe:
    """Hold the numbers of a training.

    `drop_epochs` are the epochs after which the rate falls by ten; without any, it falls when the validation
    error stops improving, as in the paper. `dropout` is the share dropped.

    Without `augment` every picture is seen at its centre and in its own colours. `colour_noise` is the deviation of
    the numbers that the components of colour are multiplied by, 0 for no noise; `colour_components` says whose
    components, those of the "data" or of the pictures of "2012". The last `plain_epochs` have no colour noise.
    `mean_at` says where the mean picture is taken: at the "crop", or at its "centre" whatever the crop.
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
    augment: bool = True
    colour_noise: float = colours.DEVIATION
    colour_components: str = "data"
    plain_epochs: int = 0
    mean_at: str = "crop"
    seed: int = 0

    def schedule(self) -> Plateau | Fixed:
        """Return the schedule of the rate, at its start."""
        return Fixed(self.rate, self.drop_epochs) if self.drop_epochs else Plateau(self.rate)

    def stream(self, pack, crop: int) -> Stream:
        """Return the endless training pictures of a pack, varied as this recipe says."""
        if self.colour_components not in COMPONENTS:
            expected = " or ".join(COMPONENTS)
            raise UsageError(f"components of colour {self.colour_components!r}: expected {expected}")
        noise = None
        if self.augment and self.colour_noise:
            components = colours.ILSVRC2012 if self.colour_components == "2012" else pack.components
            noise = colours.Noise(components, self.colour_noise, self.epochs - self.plain_epochs)
        return Stream(pack, self.seed, crop, self.augment, noise)

    def but(self, **numbers) -> "Recipe":
        """Return this recipe with some numbers replaced; None leaves a number as it is."""
        return replace(self, **{name: number for name, number in numbers.items() if number is not None})

    def arguments(self, classes: int) -> dict:
        """Return the arguments of the network's function."""
        arguments = {"classes": classes, "crop": self.crop, "mean_at": self.mean_at}
        return arguments | ({"dropout": self.dropout} if self.network in DROPPING else {})

    def described(self) -> dict:
        """Return all numbers as plain values."""
        return asdict(self)

    def against_paper(self) -> list[tuple[str, str, str]]:
        """Return a row a number: its name, what it is here, and what it is in the paper ("" where the same)."""
        own, paper = self._said(), PAPER._said() | {"views": "2,048"}
        return [(_WORDS[name], own[name], "" if own[name] == paper[name] else paper[name]) for name in _WORDS]

    def _said(self) -> dict[str, str]:
        """Return all numbers as a reader expects them, and those that follow from them."""
        said = {name: _word(name, value) for name, value in asdict(self).items()}
        if not self.augment:
            said["colour_noise"] = _word("colour_noise", 0)
        if said["colour_noise"] == _NONE:
            said["colour_components"] = said["plain_epochs"] = _NONE
        stored = networks.build(self.network, **self.arguments(classes=2)).stored
        return said | {"views": f"{views(stored, self.crop) if self.augment else 1:,}"}


_WORDS = {
    "network": "network",
    "crop": "crop, pixels a side",
    "batch": "pictures a batch",
    "rate": "learning rate",
    "momentum": "momentum",
    "decay": "weight decay",
    "dropout": "dropout after fc6, fc7",
    "epochs": "epochs, at most",
    "drop_epochs": "rate falls by ten",
    "augment": "random crops, mirror images",
    "views": "views of a picture",
    "colour_noise": "colour noise, deviation",
    "colour_components": "components of colour",
    "plain_epochs": "last epochs without noise",
    "mean_at": "mean picture subtracted",
}
_NONE = "none"


def _word(name: str, value) -> str:
    """Write a number as a reader expects it."""
    if name == "drop_epochs":
        return "after epochs " + ", ".join(map(str, value)) if value else "when validation stops improving"
    if name == "augment":
        return "yes" if value else "no"
    if name == "colour_components":
        return COMPONENTS[value]
    if name == "mean_at":
        return f"at the {value}"
    if name in ("colour_noise", "plain_epochs") and not value:
        return _NONE
    return f"{value:g}" if isinstance(value, float) else str(value)


DROPPING = tuple(  # the networks that have dropout
    name for name in networks.names() if "dropout" in inspect.signature(networks.find(name)).parameters
)

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
BATCHNORM = Recipe(
    network="alexnet-batchnorm", crop=224, batch=64, dropout=0.4, decay=0.0, epochs=30, colour_noise=0.0
)
# The rate, its falls and the epochs without colour noise as the notes of 2012 have them; Caffe's as its solvers have.
AS_IN_2012 = PAPER.but(
    network="alexnet-2012", crop=224, mean_at="centre", drop_epochs=(25, 51, 79), plain_epochs=23
)
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
QUICK = {  # the crops of a quick training on the demo set
    **dict.fromkeys(("alexnet", "alexnet-one-tower", "alexnet-caffe", "caffenet"), DEMO.crop),
    "alexnet-2012": 64,
    "alexnet-torchvision": 72,
}


def choose(network: str | None, data: str, paper: bool) -> Recipe:
    """Return the recipe to begin with: the network's own, the demo's where it fits, or the paper's."""
    network = network or PAPER.network
    own = OWN.get(network) or PAPER.but(network=network)
    if data == "demo" and network in QUICK and not paper:
        return DEMO.but(network=network, crop=QUICK[network], mean_at=own.mean_at)
    return own
