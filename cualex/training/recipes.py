"""How a network is trained: the paper's recipe, and the demo's beside it."""

from dataclasses import asdict, dataclass, replace

from cualex.training.schedule import Fixed, Plateau


@dataclass(frozen=True)
class Recipe:
    """Hold the numbers of a training.

    `drop_epochs` are the epochs after which the rate falls by ten; without any, it falls when the validation
    error stops improving, as in the paper. `dropout` is the share dropped.
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
    seed: int = 0

    def schedule(self) -> Plateau | Fixed:
        """Return the schedule of the rate, at its start."""
        return Fixed(self.rate, self.drop_epochs) if self.drop_epochs else Plateau(self.rate)

    def but(self, **numbers) -> "Recipe":
        """Return this recipe with some numbers replaced; None leaves a number as it is."""
        return replace(self, **{name: number for name, number in numbers.items() if number is not None})

    def arguments(self, classes: int) -> dict:
        """Return the arguments of the network's function."""
        arguments = {"classes": classes, "crop": self.crop}
        return arguments | ({"dropout": self.dropout} if self.network in DROPPING else {})

    def described(self) -> dict:
        """Return all numbers as plain values."""
        return asdict(self)

    def against_paper(self) -> list[tuple[str, str, str]]:
        """Return a row a number: its name, what it is here, and what it is in the paper ("" where the same)."""
        rows = []
        for name, own in asdict(self).items():
            if name == "seed":
                continue
            paper = asdict(PAPER)[name]
            rows.append((_WORDS[name], _said(name, own), "" if own == paper else _said(name, paper)))
        return rows


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
    "augment": "random crops and mirror images",
}


def _said(name: str, value) -> str:
    """Write a number as a reader expects it."""
    if name == "drop_epochs":
        return "after epochs " + ", ".join(map(str, value)) if value else "when validation stops improving"
    if name == "augment":
        return "yes" if value else "no"
    return f"{value:g}" if isinstance(value, float) else str(value)


DROPPING = ("alexnet", "alexnet-one-tower")  # the networks that have dropout

PAPER = Recipe()
DEMO = Recipe(crop=67, batch=64, epochs=8, drop_epochs=(6,))
CIFAR = Recipe(
    network="cifar-relu", crop=27, batch=32, rate=0.01, dropout=0.0, decay=0.001, epochs=15, drop_epochs=(10, 13)
)


def choose(network: str | None, data: str, paper: bool) -> Recipe:
    """Return the recipe to begin with: the network's own, the demo's where it fits, or the paper's."""
    network = network or PAPER.network
    if network == CIFAR.network:
        return CIFAR
    if data == "demo" and network in DROPPING and not paper:
        return DEMO.but(network=network)
    return PAPER.but(network=network)
