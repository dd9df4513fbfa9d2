"""Read splits and classes from the way files lie in folders."""

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

    kind: "hidden", "stray" (no picture by its ending), "outside" (a picture in no split or class) or "empty"
    (a class folder).  names: all of them, as in the listing.  text: a sentence that names a few.
    """

    kind: str
    names: tuple[str, ...]
    text: str


def arrange(found: Listing, names: dict[str, str] | None) -> tuple[Arranged, dict[str, list[str]], list[LeftOut]]:
    """Sort the pictures of a listing into splits and classes: return them, the folders of each split, what is left out.

    A single folder around everything, as archives have it, is stepped into. `train`, `val` and `test` at the top
    are splits when they hold class folders, when they are all there is, or when `names` gives the classes of the
    pictures in them; else they are classes like others: a set of boats, planes and trains has a class `train`.

    names: {picture: class} for pictures that lie in no class folder.

    Raise DataError when there is no picture, or pictures without a class.
    """
    pictures, left_out = _pictures(found)
    top = _top(pictures)
    inside = _by_first(pictures, top)
    splits = {name: SPLITS[name.lower()] for name in inside if name.lower() in SPLITS}
    nested = any(_deep(file, f"{top}{name}/") for name in splits for file in inside[name])
    if splits and (nested or names is not None or len(splits) == len(inside)):
        others = {name or "pictures in no folder": inside[name] for name in inside if name not in splits}
        if others:
            files = tuple(file.name for files in others.values() for file in files)
            left_out.append(LeftOut("outside", files, f"left out beside the splits: {some(list(others))}"))
        roots = {split: [] for split in SPLITS.values() if split in splits.values()}
        for name, split in splits.items():
            roots[split].append(f"{top}{name}/")
    else:
        roots = {"train": [top]}
    arranged: Arranged = {split: {} for split in roots}
    for split, folders in roots.items():
        for root in folders:
            for name, files in _classes(found, root, pictures, names, left_out).items():
                # macOS writes é as two letters, others as one: the same class.
                arranged[split].setdefault(unicodedata.normalize("NFC", name), []).extend(files)
    return arranged, roots, left_out


def some(names: list[str]) -> str:
    """Name up to five, and count the others."""
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")


def _pictures(found: Listing) -> tuple[list[File], list[LeftOut]]:
    """Keep what is a picture by its ending and not hidden; note the rest."""
    kept, hidden, stray = [], {}, {}
    for file in found.files:
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
            f"{found.place}: no images inside (found: {rest or 'no files'}); expected .jpg, .png, .webp, .bmp, "
            f".gif, .tif or .ppm files in a folder for each class, as {_example(found.place)}"
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
    """Tell whether a file lies in a folder below `root`, not in `root` itself."""
    return "/" in file.name[len(root) :]


def _top(pictures: list[File]) -> str:
    """Step into single folders that hold folders: "", or a prefix that ends in "/"."""
    top = ""
    while True:
        inside = _by_first(pictures, top)
        name = next(iter(inside))
        step = f"{top}{name}/"
        if len(inside) > 1 or name.lower() in ("", *SPLITS) or not any(_deep(file, step) for file in inside[name]):
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
    found: Listing, root: str, pictures: list[File], names: dict[str, str] | None, left_out: list[LeftOut]
) -> dict[str, list[File]]:
    """Group the pictures below `root` by class folder, or by the list when they lie in none."""
    groups = _by_first(pictures, root)
    loose = groups.pop("", [])
    where = f"{found.place}/{root}".rstrip("/")
    if not groups:
        return _listed_classes(where, root, loose, names)
    if loose:
        outside = [file.name for file in loose]
        left_out.append(LeftOut("outside", tuple(outside), f"left out, in no class folder: {some(outside)}"))
    below = [folder[len(root) :] for folder in found.folders if folder.startswith(root)]
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


def _example(place: str) -> str:
    return f"{place}/cats/1.jpg and {place}/dogs/2.jpg"
