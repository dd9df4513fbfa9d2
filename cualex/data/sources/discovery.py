"""Find the pictures of a data set, their classes, and what they are for: training, validation or the test.

    DATA/train/CLASS/*.jpg      with val/CLASS/ (or valid/, validation/) and test/CLASS/, or without
    DATA/CLASS/*.jpg            all of it train
    DATA/val/*.jpg              flat, with a list of lines `name class`, as ImageNet's

The same inside a .zip or a .tar, or the built-in `demo`. Where there is no val/, a part of train becomes val, and test/
is left alone. Nothing is decoded here; pack.py does that.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from cualex.data.sources import class_names, hold_out, layout
from cualex.data.sources.archives import archive
from cualex.data.sources.layout import LeftOut
from cualex.data.sources.listing import Listing, folder, order
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
    val: what validates, a key of hold_out.VALIDATING.
    """

    name: str
    identity: str
    classes: tuple[str, ...]
    splits: dict[str, tuple[Picture, ...]]
    notes: tuple[str, ...]
    val: str = "held-out"

    @property
    def validation(self) -> str | None:
        """Name the split that judges a training, or return None where there is none."""
        return next((split for split in hold_out.VALIDATING[self.val] if split in self.splits), None)


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
    split_rule: str = hold_out.RULE,
    val: str = "held-out",
    names: str | Path | None = None,
    classes: list[str] | tuple[str, ...] | None = None,
    seed: int = 0,
) -> Source:
    """Find a data set: "demo", a folder, a .zip or a .tar (plain, .gz, .bz2 or .xz).

    val: what validates a training. "held-out": val/, and where there is none a part of train. "test": test/.
    "val-or-test", which cualex 0.1 had: val/, else test/, else a part of train.
    val_split: the share of each class of train that is held out for it; 0 for none.
        Which images is decided by `seed` and each image's own name, so an image that is added or removed moves no
        other. A class of two images or more is in both splits, one image stays in train: this alone may move another
        image, one of the same class, and only where all of that class lie on one side (hold_out.py has the proof that
        it must, and how rarely: at 20 %, one new image in 360 of a class of 20).
    split_rule: the rule by which it is decided, of those in hold_out.py; a run goes on with its own.
    names: a file with a line `name class` for each picture that lies in no class folder.
    classes: a trained model's classes. Labels then are places in this list, whatever the folders' order.

    Classes are the folders with pictures, in the byte order of their names. Hidden files and folders, files
    that are no pictures by their ending, and class folders without any picture are left out and noted.

    Raise DataError when there is no picture, no class folder or only one class, when val or test hold a class
    that train lacks, when test/ is to validate and is not there, or when a folder is none of `classes`.
    """
    found = survey(data, val_split=val_split, split_rule=split_rule, val=val, names=names, classes=classes, seed=seed)
    if found.refusal is not None:
        raise DataError(found.refusal)
    return found.source


def survey(
    data: str | Path,
    *,
    val_split: float = 0.2,
    split_rule: str = hold_out.RULE,
    val: str = "held-out",
    names: str | Path | None = None,
    classes: list[str] | tuple[str, ...] | None = None,
    seed: int = 0,
) -> Survey:
    """Find a data set as `find` does, but return it where its splits do not fit together, with the reason."""
    if not 0 <= val_split < 1:
        raise UsageError(f"validation fraction {val_split:g}: expected at least 0 and less than 1")
    if val not in hold_out.VALIDATING:
        raise UsageError(f"validation {val!r}: expected {', '.join(hold_out.VALIDATING)}")
    if str(data) == "demo":
        from cualex.data.sources import demo

        source = replace(demo.source(seed), val=val)
        return Survey(source, (), _lacking(source))
    found = _listing(data)
    arranged, roots, left_out = layout.arrange(found, class_names.read_names(names) if names else None)
    notes = [*found.notes, *(left.text for left in left_out)]
    validated = set(hold_out.VALIDATING[val]) & set(arranged)
    if val_split and val != "test" and not validated and "train" in arranged:
        arranged, taken = hold_out.divide(arranged, roots["train"], val_split, seed, split_rule)
        if taken:
            notes.append(_held_out(arranged, taken, val_split))
    refusal = None
    try:
        if classes is None:
            classes = class_names.own_classes(found.place, arranged)
        else:
            notes += class_names.check_known(found.place, arranged, classes)
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
    source = Source(found.place, digest.hexdigest(), tuple(classes), splits, tuple(notes), val)
    return Survey(source, tuple(left_out), refusal or _lacking(source))


def _held_out(arranged: layout.Arranged, taken: int, share: float) -> str:
    """Say what of train validates, and that the test images do not."""
    total = taken + sum(len(files) for files in arranged["train"].values())
    note = f"val is held out from train: {taken:,} of {total:,} images (--val-split {share:g})"
    if "test" in arranged:
        note += "; the test images choose neither epoch nor learning rate (--val test validates with them)"
    return note


def _lacking(source: Source) -> str | None:
    """Say that the test images are to validate, and that there are none."""
    if source.val == "test" and source.validation is None:
        return f"{source.name}: no test/ to validate with; leave --val test out, or put images in test/CLASS/"
    return None


def _listing(data: str | Path) -> Listing:
    path = Path(data).expanduser()
    try:
        path = path.resolve(strict=True)
        return folder(path) if path.is_dir() else archive(path)
    except FileNotFoundError:
        raise DataError(f"{data}: no such folder, .zip or .tar; `demo` is the built-in data set") from None
    except OSError as error:
        raise DataError(f"{data}: cannot be read ({error.strerror or error})") from None
