"""Find the pictures of a data set, their classes, and what they are for: training, validation or the test.

    DATA/train/CLASS/*.jpg      with val/CLASS/ (or valid/, validation/) and test/CLASS/, or without
    DATA/CLASS/*.jpg            divided into train and val here
    DATA/val/*.jpg              flat, with a list of lines `name class`, as ImageNet's

The same inside a .zip or a .tar, or the built-in `demo`. Nothing is decoded here; pack.py does that.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from cualex.data import labels, layout
from cualex.data.archives import archive
from cualex.data.layout import LeftOut
from cualex.data.listing import Listing, folder, order
from cualex.errors import DataError, UsageError


@dataclass(frozen=True, slots=True)
class Picture:
    """One picture: its name inside the set, the index of its class, and a call that gives the file's
    bytes."""

    name: str
    label: int
    read: Callable[[], bytes]


@dataclass(frozen=True)
class Source:
    """A data set: where it is, a digest that changes with it, its classes and its splits.

    splits: "train", "val" and "test", those that there are. notes: what a user should know, a sentence each.
    """

    name: str
    identity: str
    classes: tuple[str, ...]
    splits: dict[str, tuple[Picture, ...]]
    notes: tuple[str, ...]

    @property
    def validation(self) -> str | None:
        """Name the split that judges a training: val, or test where there is no val, or None."""
        return next((split for split in ("val", "test") if split in self.splits), None)


@dataclass(frozen=True)
class Survey:
    """A data set as it lies there, whatever is wrong with its folders.

    source: the set; where it is refused, its classes are those of all splits together.  left_out: what is no part
    of it; the notes of `source` say it too.  refusal: why the set cannot be used as it is, or None.
    """

    source: Source
    left_out: tuple[LeftOut, ...]
    refusal: str | None


def find(
    data: str | Path,
    *,
    val_split: float = 0.2,
    names: str | Path | None = None,
    classes: list[str] | tuple[str, ...] | None = None,
    seed: int = 0,
) -> Source:
    """Find a data set: "demo", a folder, a .zip or a .tar (plain, .gz, .bz2 or .xz).

    val_split: the share of each class that validates when the set has neither val/ nor test/; 0 for none.
    Which
        pictures is decided by `seed` and each picture's name alone, so a new picture moves no other. A class
        of two pictures or more is in both splits; one picture stays in train.
    names: a file with a line `name class` for each picture that lies in no class folder.
    classes: a trained model's classes. Labels then are places in this list, whatever the folders' order.

    Classes are the folders with pictures, in the byte order of their names. Hidden files and folders, files
    that are no pictures by their ending, and class folders without any picture are left out and noted.

    Raise DataError when there is no picture, no class folder or only one class, when val or test hold a class
    that train lacks, or when a folder is none of `classes`.
    """
    found = survey(data, val_split=val_split, names=names, classes=classes, seed=seed)
    if found.refusal is not None:
        raise DataError(found.refusal)
    return found.source


def survey(
    data: str | Path,
    *,
    val_split: float = 0.2,
    names: str | Path | None = None,
    classes: list[str] | tuple[str, ...] | None = None,
    seed: int = 0,
) -> Survey:
    """Find a data set as `find` does, but return it where its classes do not fit together, with the reason."""
    if not 0 <= val_split < 1:
        raise UsageError(f"validation share {val_split:g}: expected 0 or more, and less than 1")
    if str(data) == "demo":
        from cualex.data import demo

        return Survey(demo.source(seed), (), None)
    found = _listing(data)
    arranged, left_out = layout.arrange(found, labels.read_names(names) if names else None)
    notes = [*found.notes, *(left.text for left in left_out)]
    if set(arranged) == {"train"} and val_split:
        arranged, taken = labels.divide(arranged, val_split, seed)
        if taken:
            notes.append(f"val is taken from train: {val_split:.0%} of each class, {taken} pictures")
    refusal = None
    try:
        if classes is None:
            classes = labels.own_classes(found.place, arranged)
        else:
            notes += labels.check_known(found.place, arranged, classes)
    except DataError as error:
        refusal = str(error)
        classes = sorted({name for groups in arranged.values() for name in groups}, key=order)
    index = {name: label for label, name in enumerate(classes)}
    digest = hashlib.sha256(repr((found.stamp, *classes)).encode())
    splits = {}
    for split, groups in arranged.items():
        files = [(file, index[name]) for name in sorted(groups, key=order) for file in groups[name]]
        for file, label in files:
            digest.update(repr((split, file.name, file.stamp, label)).encode())
        splits[split] = tuple(Picture(file.name, label, file.read) for file, label in files)
    source = Source(found.place, digest.hexdigest(), tuple(classes), splits, tuple(notes))
    return Survey(source, tuple(left_out), refusal)


def _listing(data: str | Path) -> Listing:
    path = Path(data).expanduser()
    try:
        path = path.resolve(strict=True)
        return folder(path) if path.is_dir() else archive(path)
    except FileNotFoundError:
        raise DataError(f"{data}: no such folder, .zip or .tar; `demo` is the built-in set") from None
    except OSError as error:
        raise DataError(f"{data}: cannot be read ({error.strerror or error})") from None
