"""The bundled weights: alexnet at half width on crops of 67, trained on CIFAR-10 (see CARD.md).

cualex train photos --from cifar10        the name can be given for any weights file
"""

import os
import shlex
from pathlib import Path

NAME = "cifar10"
CLASSES = "airplane, automobile, bird, cat, deer, dog, frog, horse, ship and truck"
FOR_PHOTOGRAPHS = False  # whether it is right for at least half of the photographs of its classes
FILE = Path(__file__).with_name("cifar10.safetensors")
WAY = "Give a weights file such as runs/train/best.safetensors."


def located(path: str | Path) -> Path:
    """Return the path of a weights file: a run directory's best weights, the bundled ones for their name.

    A file or run of that name comes first; another directory does not, such as the one that CIFAR-10 unpacks to.
    """
    given = Path(path)
    best = given / "best.safetensors"
    if os.path.exists(best):  # False for names that no file can have, too
        return best
    if str(path) == NAME and not given.is_file() and not (given / "args.json").exists():
        return FILE
    return given


def no_weights(directory: Path) -> str:
    """Return why a directory has no weights to load, and the way out: a run before its first best ones, or no run."""
    if not (directory / "args.json").is_file():
        return f"a directory without best.safetensors, so not a run. {WAY}"
    last = directory / "last.safetensors"
    return (
        "a run without best weights yet: its first validation writes best.safetensors. If it was stopped, "
        f"`cualex train --resume {shlex.quote(str(directory))}` continues it"
        f"{f'; or give its checkpoint, {last}' if last.exists() else ''}."
    )


def named(path: str | Path) -> str:
    """Return a name of a weights file that is valid in any directory: the bundled one's, or the absolute path."""
    return NAME if located(path) == FILE else str(Path(path).absolute())
