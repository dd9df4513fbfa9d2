"""Splits and classes from the names of folders."""

import os
import unicodedata
from collections import Counter
from dataclasses import dataclass

from cualex.data.images import ENDINGS
from cualex.data.sources.listing import File, Listing
from cualex.errors import DataError

SPLITS = {"train": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}

# split -> class -> its files
Arranged = dict[str, dict[str, list[File]]]


@dataclass(frozen=True)
class LeftOut:
    """Files or folders that are no part of the set, for one reason.

    kind: "hidden", "stray" (without the suffix of an image), "outside" (an image in no split or class) or "empty"
    (a class folder).  names: all of them, as in the listing.  text: a sentence that names a few.
    """

    kind: str
    names: tuple[str, ...]
    text: str


def arrange(listing: Listing, names: dict[str, str] | None) -> tuple[Arranged, dict[str, list[str]], list[LeftOut]]:
    """Sort the images of a listing into splits and classes: return those, the splits' folders, what is left out.

    A single folder around everything, common in archives, is entered. `train`, `val` and `test` at the top are splits
    when they have class folders, when there is nothing else, or when `names` gives the classes of the images in them;
    otherwise they are classes like others: a set of boats, planes and trains has a class `train`.

    names: {image: class} for images that lie in no class folder.

    Raise DataError when there is no image, or images without a class.
    """
    images, left_out = _images(listing)
    top = _top(images)
    inside = _by_first(images, top)
    splits = {name: SPLITS[name.lower()] for name in inside if name.lower() in SPLITS}
    nested = any(_deep(file, f"{top}{name}/") for name in splits for file in inside[name])
    if splits and (nested or names is not None or len(splits) == len(inside)):
        others = {name or "pictures in no folder": inside[name] for name in inside if name not in splits}
        if others:
            outside = tuple(file.name for files in others.values() for file in files)
            left_out.append(LeftOut("outside", outside, f"left out beside the splits: {some(list(others))}"))
        roots: dict[str, list[str]] = {split: [] for split in SPLITS.values() if split in splits.values()}
        for name, split in splits.items():
            roots[split].append(f"{top}{name}/")
    else:
        roots = {"train": [top]}
    arranged: Arranged = {split: {} for split in roots}
    for split, folders in roots.items():
        for root in folders:
            for name, files in _classes(listing, root, images, names, left_out).items():
                # macOS spells é as two code points, others as one: the same class.
                arranged[split].setdefault(unicodedata.normalize("NFC", name), []).extend(files)
    return arranged, roots, left_out


def some(names: list[str]) -> str:
    """List up to five names, and the number of the others."""
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")


def _images(listing: Listing) -> tuple[list[File], list[LeftOut]]:
    """Return the files with the suffix of an image that are not hidden, and what is left out."""
    kept, hidden, stray = [], {}, {}
    for file in listing.files:
        parts = file.name.split("/")
        depth = next((depth for depth, part in enumerate(parts) if _hidden(part)), None)
        ending = os.path.splitext(file.name)[1].lower()
        if depth is not None:
            hidden["/".join(parts[: depth + 1])] = parts[depth]
        elif ending in ENDINGS:
            kept.append(file)
        else:
            stray[file.name] = ending or "without ending"
    endings = Counter(stray.values()).most_common(5)
    rest = ", ".join(f"{count} {ending}" for ending, count in endings)
    if not kept:
        raise DataError(
            f"{listing.path}: no images inside (found: {rest or 'no files'}); expected .jpg, .png, .webp, .bmp, "
            f".gif, .tif or .ppm files in a folder for each class, as {_example(listing.path)}"
        )
    left_out = []
    if hidden:
        text = f"left out, hidden: {some(sorted(set(hidden.values())))}"
        left_out.append(LeftOut("hidden", tuple(hidden), text))
    if stray:
        left_out.append(LeftOut("stray", tuple(stray), f"left out, no pictures by their ending: {rest}"))
    return kept, left_out


def _hidden(part: str) -> bool:
    return part[0] == "." or part == "__MACOSX"


def _deep(file: File, root: str) -> bool:
    """Return whether a file lies in a folder below `root`, not in `root` itself."""
    return "/" in file.name[len(root) :]


def _top(images: list[File]) -> str:
    """Return the folder inside all single folders around the set: "", or a prefix that ends in "/"."""
    top = ""
    while True:
        inside = _by_first(images, top)
        name = next(iter(inside))
        step = f"{top}{name}/"
        if len(inside) > 1 or name.lower() in ("", *SPLITS) or not any(_deep(file, step) for file in inside[name]):
            return top
        top = step


def _by_first(images: list[File], root: str) -> dict[str, list[File]]:
    """Group the files below `root` by the first folder; those that lie in `root` itself by ""."""
    groups: dict[str, list[File]] = {}
    for file in images:
        if file.name.startswith(root):
            first, slash, _ = file.name[len(root) :].partition("/")
            groups.setdefault(first if slash else "", []).append(file)
    return groups


def _classes(
    listing: Listing, root: str, images: list[File], names: dict[str, str] | None, left_out: list[LeftOut]
) -> dict[str, list[File]]:
    """Group the images below `root` by class folder, or by `names` when they lie in none."""
    groups = _by_first(images, root)
    loose = groups.pop("", [])
    where = f"{listing.path}/{root}".rstrip("/")
    if not groups:
        return _listed_classes(where, root, loose, names)
    if loose:
        outside = [file.name for file in loose]
        left_out.append(LeftOut("outside", tuple(outside), f"left out, in no class folder: {some(outside)}"))
    below = [folder[len(root) :] for folder in listing.folders if folder.startswith(root)]
    empty = [root + name for name in below if "/" not in name and name not in groups and not _hidden(name)]
    if empty:
        left_out.append(LeftOut("empty", tuple(empty), f"left out, no pictures inside: {some(empty)}"))
    return groups


def _listed_classes(where: str, root: str, files: list[File], names: dict[str, str] | None) -> dict[str, list[File]]:
    if names is None:
        raise DataError(
            f"{where}: {len(files)} images without labels; put each class in its own folder, as "
            f"{_example(where)}, or give --names a file of lines `image class`"
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
        raise DataError(f"{where}: the list of labels lacks {some(missing)}; add a line `image class` for each")
    return groups


def _example(path: str) -> str:
    return f"{path}/cats/1.jpg and {path}/dogs/2.jpg"
