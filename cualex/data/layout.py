"""Read splits and classes from the way files lie in folders."""

import os
import unicodedata
from collections import Counter

from cualex.data.listing import File, Listing
from cualex.data.pictures import ENDINGS
from cualex.errors import DataError

SPLITS = {"train": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}

# split -> class -> its files
Arranged = dict[str, dict[str, list[File]]]


def arrange(found: Listing, names: dict[str, str] | None) -> tuple[Arranged, list[str]]:
    """Sort the pictures of a listing into splits and classes; return them with the notes.

    A single folder around everything, as archives have it, is stepped into. `train`, `val` and `test` at the top
    are splits when they hold class folders, when they are all there is, or when `names` gives the classes of the
    pictures in them; else they are classes like others: a set of boats, planes and trains has a class `train`.

    names: {picture: class} for pictures that lie in no class folder.

    Raise DataError when there is no picture, or pictures without a class.
    """
    pictures, notes = _pictures(found)
    top = _top(pictures)
    inside = _by_first(pictures, top)
    splits = {name: SPLITS[name.lower()] for name in inside if name.lower() in SPLITS}
    nested = any(_deep(file, f"{top}{name}/") for name in splits for file in inside[name])
    if splits and (nested or names is not None or len(splits) == len(inside)):
        others = [name or "pictures in no folder" for name in inside if name not in splits]
        if others:
            notes.append(f"left out beside the splits: {some(others)}")
        roots = {split: [] for split in SPLITS.values() if split in splits.values()}
        for name, split in splits.items():
            roots[split].append(f"{top}{name}/")
    else:
        roots = {"train": [top]}
    arranged: Arranged = {split: {} for split in roots}
    for split, folders in roots.items():
        for root in folders:
            for name, files in _classes(found, root, pictures, names, notes).items():
                # macOS writes é as two letters, others as one: the same class.
                arranged[split].setdefault(unicodedata.normalize("NFC", name), []).extend(files)
    return arranged, [*found.notes, *notes]


def some(names: list[str]) -> str:
    """Name up to five, and count the others."""
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")


def _pictures(found: Listing) -> tuple[list[File], list[str]]:
    """Keep what is a picture by its ending and not hidden; note the rest."""
    kept, hidden, others = [], set(), Counter()
    for file in found.files:
        secret = next(filter(_hidden, file.name.split("/")), None)
        ending = os.path.splitext(file.name)[1].lower()
        if secret:
            hidden.add(secret)
        elif ending in ENDINGS:
            kept.append(file)
        else:
            others[ending or "without ending"] += 1
    rest = ", ".join(f"{count} {ending}" for ending, count in others.most_common(5))
    if not kept:
        raise DataError(
            f"{found.place}: no pictures inside (found: {rest or 'no files'}); expected .jpg, .png, .webp, .bmp, "
            f".gif, .tif or .ppm files in a folder for each class, as {_example(found.place)}"
        )
    notes = []
    if hidden:
        notes.append(f"left out, hidden: {some(sorted(hidden))}")
    if rest:
        notes.append(f"left out, no pictures by their ending: {rest}")
    return kept, notes


def _hidden(part: str) -> bool:
    return part[0] == "." or part == "__MACOSX"


def _deep(file: File, root: str) -> bool:
    """Tell whether a file lies in a folder below `root`, not in `root` itself."""
    return "/" in file.name[len(root) :]


def _top(pictures: list[File]) -> str:
    """Step into single folders that hold folders: "", or a prefix that ends in "/"."""
    top = ""
    while True:
        inside = _by_first(pictures, top)
        name = next(iter(inside))
        step = f"{top}{name}/"
        if (
            len(inside) > 1
            or name.lower() in ("", *SPLITS)
            or not any(_deep(file, step) for file in inside[name])
        ):
            return top
        top = step


def _by_first(pictures: list[File], root: str) -> dict[str, list[File]]:
    """Group the files below `root` by the first folder; those that lie in `root` itself by ""."""
    groups: dict[str, list[File]] = {}
    for file in pictures:
        if file.name.startswith(root):
            first, slash, _ = file.name[len(root) :].partition("/")
            groups.setdefault(first if slash else "", []).append(file)
    return groups


def _classes(
    found: Listing, root: str, pictures: list[File], names: dict[str, str] | None, notes: list[str]
) -> dict[str, list[File]]:
    """Group the pictures below `root` by class folder, or by the list when they lie in none."""
    groups = _by_first(pictures, root)
    loose = groups.pop("", [])
    where = f"{found.place}/{root}".rstrip("/")
    if not groups:
        return _listed_classes(where, root, loose, names)
    if loose:
        notes.append(f"left out, in no class folder: {some([file.name for file in loose])}")
    below = [folder[len(root) :] for folder in found.folders if folder.startswith(root)]
    empty = [name for name in below if "/" not in name and name not in groups and not _hidden(name)]
    if empty:
        notes.append(f"left out, no pictures inside: {some([root + name for name in empty])}")
    return groups


def _listed_classes(
    where: str, root: str, files: list[File], names: dict[str, str] | None
) -> dict[str, list[File]]:
    if names is None:
        raise DataError(
            f"{where}: {len(files)} pictures without classes; put each class in a folder of its own, as "
            f"{_example(where)}, or give a list of lines `name class`"
        )
    groups: dict[str, list[File]] = {}
    missing = []
    for file in files:
        name = names.get(file.name[len(root) :]) or names.get(file.name)
        if name is None:
            missing.append(file.name[len(root) :])
        else:
            groups.setdefault(name, []).append(file)
    if missing:
        raise DataError(f"{where}: the list of names lacks {some(missing)}; add a line `name class` for each")
    return groups


def _example(place: str) -> str:
    return f"{place}/cats/1.jpg and {place}/dogs/2.jpg"
