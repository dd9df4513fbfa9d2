"""Classes by name: the same in all splits, the model's, or from a list."""

import unicodedata
from collections.abc import Sequence
from pathlib import Path

from cualex.data.sources.layout import Arranged, some
from cualex.data.sources.listing import order
from cualex.errors import DataError


def training_classes(path: str, arranged: Arranged) -> list[str]:
    """Return the classes of train in byte order; raise DataError when another split has a class that train lacks."""
    if "train" not in arranged:
        have = " and ".join(f"{split}/" for split in arranged)
        raise DataError(f"{path}: {have} but no train/; put the training images in {path}/train/CLASS/")
    names = sorted(arranged["train"], key=order)
    for split, groups in arranged.items():
        unknown = sorted(set(groups) - set(names), key=order)
        if unknown:
            raise DataError(
                f"{path}: {split} has classes that train lacks: {some(unknown)}; "
                f"add images of them to train, or remove them from {split}"
            )
    if len(names) < 2:
        raise DataError(f"{path}: only one class, {names[0]}; at least two are needed, each in its own folder")
    return names


def check_known(path: str, arranged: Arranged, known: Sequence[str]) -> list[str]:
    """Return a note on classes without an image; raise DataError for a class folder that the model does not know."""
    present = {name for groups in arranged.values() for name in groups}
    unknown = sorted(present - set(known), key=order)
    if unknown:
        raise DataError(
            f"{path}: the model has no class {some(unknown)}; its {len(known)} classes are {some(list(known))}: "
            "rename or remove these folders"
        )
    missing = [name for name in known if name not in present]
    return [f"no pictures of the model's class {some(missing)}"] if missing else []


def read_names(path: str | Path) -> dict[str, str]:
    """Read a list of lines `name class`, separated by a tab or the first white space: {name: class}.

    Raise DataError for a line of another form and for a name with two classes.
    """
    try:
        lines = Path(path).expanduser().read_text("utf-8").splitlines()
    except OSError as error:
        raise DataError(f"{path}: the list of labels cannot be read ({error.strerror or error})") from None
    except UnicodeDecodeError:
        raise DataError(f"{path}: not a text file; expected lines `image class` in UTF-8") from None
    names: dict[str, str] = {}
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        parts = [part.strip() for part in line.split("\t" if "\t" in line else None, 1)]
        if len(parts) < 2 or not all(parts):
            raise DataError(f"{path}, line {number}: expected `image class`, got {line.strip()[:60]!r}")
        name, group = parts[0], unicodedata.normalize("NFC", parts[1])
        if names.setdefault(name, group) != group:
            first = names[name]
            raise DataError(f"{path}, line {number}: {name} is {group} here and {first} before; remove a line")
    return names
