"""Find the images of a data set, their classes and splits.

A set is a folder, .zip or .tar in a layout of layout.py, shards (shards.py), Parquet (parquet.py), a file of images as
arrays (arrays.py), or `demo`. pack.py
decodes. Without val/, a part of train becomes val, and test/ is left alone.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from cualex.data.image_kinds import DECODING
from cualex.data.sources import class_names, containers, filtering, hold_out, label_files, layout
from cualex.data.sources.classless import Arranged
from cualex.data.sources.filtering import LeftOut
from cualex.data.sources.listing import File, Listing, listed, order
from cualex.errors import DataError, UsageError


@dataclass(frozen=True, slots=True)
class Image:
    """One image: its name inside the set, the index of its class, and a function that reads the file's bytes."""

    name: str
    label: int
    read: Callable[[], bytes]


@dataclass(frozen=True)
class Source:
    """A data set: its path, a digest that changes with it, its classes and its splits.

    splits: "train", "val" and "test", as far as they exist.  notes: sentences for the user.
    val: which split validates, a key of hold_out.VALIDATING.  decoding: the version of decoding, see image_kinds.py.
    """

    name: str
    identity: str
    classes: tuple[str, ...]
    splits: dict[str, tuple[Image, ...]]
    notes: tuple[str, ...]
    val: str = "held-out"
    decoding: int = DECODING

    @property
    def validation(self) -> str | None:
        """The validation split, or None where there is none."""
        return next((split for split in hold_out.VALIDATING[self.val] if split in self.splits), None)


@dataclass(frozen=True)
class Survey:
    """A data set as found, even if it cannot be used.

    source: the set; where it is refused, its classes are those of all splits together.  left_out: files and folders
    that are no part of it, also in the notes of `source`.  refusal: why the set cannot be used, or None.
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
    decoding: int = DECODING,
    lost: Sequence[str] = (),
) -> Source:
    """Find a data set: "demo", a folder, a .zip or a .tar (plain, .gz, .bz2 or .xz).

    val: the validation split. "held-out": val/, or without it a part of train. "test": test/. "val-or-test", of cualex
    0.1: val/, else test/, else a part of train.
    val_split: the fraction of train that is held out, class by class; 0 for none.
        An image is held out by `seed` and its name. A class of two images or more is in both splits, one image stays
        in train; small classes give the share to one image, large ones nearly. Adding or removing an image moves none
        of another class, and one of its own at the most (hold_out.py has the rules).
    split_rule: the rule that holds images out, one of hold_out.py; a resumed run keeps its rule.
    names: a file with a line `name class` for every image that lies in no class folder, or what else label_files.py
        takes.
    classes: a trained model's classes. Labels then are indices into this list, whatever the folders' order.
    decoding: the version of decoding, and of the layouts, which a resumed run keeps.
    lost: names of images that a resumed run could not read: they divide the set as they did, though they be removed.

    Classes are the folders with images, in the byte order of their names. Hidden files and folders, files without the
    suffix of an image, and class folders without images are left out and noted.

    Raise DataError when there is no image, no class folder or only one class, when val or test have a class that train
    lacks, when test/ shall validate and does not exist, or when a folder is not among `classes`.
    """
    seen = survey(
        data,
        val_split=val_split,
        split_rule=split_rule,
        val=val,
        names=names,
        classes=classes,
        seed=seed,
        decoding=decoding,
        lost=lost,
    )
    if seen.refusal is not None:
        raise DataError(seen.refusal)
    return seen.source


def find_images(data: str | Path, **options: Any) -> Source:
    """Find a data set as `find` does, with its options, to look at images of any class; without labels it is "".

    A note says so. Raise DataError when there is no image, and for `names` that do not fit.
    """
    try:
        return survey(data, **options).source
    except DataError as error:
        if options.get("names"):
            raise
        files, _ = filtering.images(listing := containers.find(data))
        digest = hashlib.sha256(repr([listing.stamp, *((file.name, file.stamp) for file in files)]).encode())
        images = tuple(Image(file.name, 0, file.read) for file in files)
        notes = (*listing.notes, f"the images are taken without classes: {error}")
        return Source(listing.path, digest.hexdigest(), ("",), {"train": images}, notes)


def survey(
    data: str | Path,
    *,
    val_split: float = 0.2,
    split_rule: str = hold_out.RULE,
    val: str = "held-out",
    names: str | Path | None = None,
    classes: list[str] | tuple[str, ...] | None = None,
    seed: int = 0,
    decoding: int = DECODING,
    lost: Sequence[str] = (),
) -> Survey:
    """Find a data set as `find` does, but return it with the reason where its splits do not fit together."""
    if not 0 <= val_split < 1:
        raise UsageError(f"validation fraction {val_split:g}: expected at least 0 and less than 1")
    if val not in hold_out.VALIDATING:
        raise UsageError(f"validation {val!r}: expected {', '.join(hold_out.VALIDATING)}")
    if str(data) == "demo":
        from cualex.data.sources import demo

        source = replace(demo.source(seed), val=val, decoding=decoding)
        return Survey(source, (), _lacking(source))
    listing = containers.find(data)
    removed = set(lost) - {file.name for file in listing.files}
    if removed:
        listing = _with(listing, removed)
    found = layout.arrange(listing, label_files.given(names) if names else None, decoding)
    class_names.as_train_has_them(found.arranged, classes)
    class_names.leave_out_of_test(found, classes)
    arranged, left_out = found.arranged, found.left_out
    notes = [*listing.notes, *(left.text for left in left_out), *found.notes]
    validated = set(hold_out.VALIDATING[val]) & set(arranged)
    if val_split and val != "test" and not validated and "train" in arranged:
        arranged, taken = hold_out.divide(arranged, found.roots["train"], val_split, seed, split_rule)
        if taken:
            notes.append(_held_out(arranged, taken, val_split))
    if removed:
        arranged = _without(arranged, removed)
    refusal = None
    try:
        if classes is None:
            classes = class_names.training_classes(listing.path, arranged)
        else:
            notes += class_names.check_known(listing.path, arranged, classes)
    except DataError as error:
        refusal = str(error)
        classes = sorted({name for groups in arranged.values() for name in groups}, key=order)
    index = {name: label for label, name in enumerate(classes)}
    digest = hashlib.sha256(repr((listing.stamp, *classes)).encode())
    splits = {}
    for split, groups in arranged.items():
        files = [(file, index[name]) for name in sorted(groups, key=order) for file in groups[name]]
        for file, label in files:
            digest.update(repr((split, file.name, file.stamp, label)).encode())
        splits[split] = tuple(Image(file.name, label, file.read) for file, label in files)
    source = Source(listing.path, digest.hexdigest(), tuple(classes), splits, tuple(notes), val, decoding)
    return Survey(source, tuple(left_out), refusal or _lacking(source))


def _held_out(arranged: Arranged, taken: int, share: float) -> str:
    """Return the note on the part of train that validates, and on the test images, which do not."""
    total = taken + sum(len(files) for files in arranged["train"].values())
    note = f"val is held out from train: {taken:,} of {total:,} images (--val-split {share:g})"
    if "test" in arranged:
        note += "; the test images choose neither epoch nor learning rate (--val test validates with them)"
    return note


def _lacking(source: Source) -> str | None:
    """Return the refusal of a set whose test images shall validate and that has none."""
    if source.val == "test" and source.validation is None:
        return f"{source.name}: no test/ to validate with; leave --val test out, or put images in test/CLASS/"
    return None


def _with(listing: Listing, removed: set[str]) -> Listing:
    """Add images that are gone, by which a run divided its set."""

    def gone() -> bytes:
        raise AssertionError("an image that is gone was read")

    files = [*listing.files, *(File(name, "gone", gone) for name in removed)]
    return listed(listing.path, listing.stamp, files, set(listing.folders), list(listing.notes))


def _without(arranged: Arranged, removed: set[str]) -> Arranged:
    """Leave out the images that are gone, and classes and splits that have no other."""
    kept = {
        split: {name: [file for file in files if file.name not in removed] for name, files in groups.items()}
        for split, groups in arranged.items()
    }
    kept = {split: {name: files for name, files in groups.items() if files} for split, groups in kept.items()}
    return {split: groups for split, groups in kept.items() if groups}
