"""The network that comes with cualex: alexnet at half width on crops of 67, trained on CIFAR-10 (CARD.md beside it).

cualex train photos --from cifar10        its name stands for the file wherever a weights file is named
"""

from pathlib import Path

NAME = "cifar10"
CLASSES = "airplane, automobile, bird, cat, deer, dog, frog, horse, ship and truck"
FOR_PHOTOGRAPHS = False  # whether it names at least half of photographs of its classes right
FILE = Path(__file__).with_name("cifar10.safetensors")


def located(path: str | Path) -> Path:
    """Return the file that a user means: the bundled one by its name, unless there is a file of that name."""
    return FILE if str(path) == NAME and not Path(path).exists() else Path(path)


def named(path: str | Path) -> str:
    """Name a weights file so that it is found again from any directory."""
    return NAME if located(path) == FILE else str(Path(path).absolute())
