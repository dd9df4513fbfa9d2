"""Classes of images that lie in no class folder: from a list, or from the names of the files."""

import re
import unicodedata
from collections import Counter
from dataclasses import dataclass, field

from cualex.data.sources import label_files
from cualex.data.sources.filtering import LeftOut, example
from cualex.data.sources.listing import File, Listing
from cualex.data.sources.lists import Labels
from cualex.errors import DataError
from cualex.system.amounts import some

# split -> class -> its files
Arranged = dict[str, dict[str, list[File]]]

# `cat.0.jpg`, `Abyssinian_12.jpg`: a word, a mark, a number. Names that cameras and programs give are no classes.
_CLASS_AND_NUMBER = re.compile(r"([^\W\d][^/]*?)[._\- ]\(?\d+\)?\.[^./]+")
_NO_CLASSES = re.compile(
    r"(?:img|image|dsc[a-z]?|dscn|photo|pic|picture|frame|scan|screenshot|pxl|mvi|gopr|untitled|download|file|sample|p"
    r"|train|training|test|val|valid|validation|ilsvrc|coco|im|i|whatsapp image|signal|snapshot|page|slide)"
    r"(?:[^a-z].*)?",
    re.IGNORECASE,
)


@dataclass
class Found:
    """An arrangement while it is made. roots: {split: the folders of its classes}."""

    arranged: Arranged = field(default_factory=dict)
    roots: dict[str, list[str]] = field(default_factory=dict)
    left_out: list[LeftOut] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def add(self, split: str, group: str, files: list[File]) -> None:
        """Add images of a class; macOS spells é as two code points, others as one: the same class."""
        self.arranged[split].setdefault(unicodedata.normalize("NFC", group), []).extend(files)

    def leave_out(self, files: list[File], text: str) -> None:
        """Leave images out that belong to no class."""
        self.left_out.append(LeftOut("outside", tuple(file.name for file in files), text))


def grouped(
    listing: Listing, split: str, root: str, files: list[File], labels: Labels | None, found: Found, old: bool
) -> dict[str, list[File]]:
    """Group images that lie in no class folder; test images without labels are left out, others refused."""
    where = f"{listing.path}/{root}".rstrip("/")
    names = [file.name for file in files]
    if labels is None and not old:
        labels = label_files.in_set(listing, names, split if len(found.roots) > 1 or root else None)
        if labels is not None:
            found.notes.append(f"labels of {split} are those of {labels.path}")
        else:
            groups = from_names(files)
            if groups and (split == "train" or set(groups) <= set(found.arranged.get("train", ()))):
                return _noted(groups, files, split, found)
    unlabelled = labels is None or not any(map(labels.get, names))
    others = any(each != split or len(folders) > 1 for each, folders in found.roots.items())
    if unlabelled and others and split == "test" and not old:
        found.leave_out(files, f"left out, {root.rstrip('/')}: {len(files)} images without labels")
        return {}
    if labels is None:
        lists = [] if old else label_files.candidates(listing)
        hint = f"; there is {some(lists)}" if lists else ""
        raise DataError(
            f"{where}: {len(files)} images without labels; put each class in its own folder, as "
            f"{example(where)}, or give --names a file of lines `image class`{hint}"
        )
    return _by_list(where, root, files, labels, found, old)


def _by_list(
    where: str, root: str, files: list[File], labels: Labels, found: Found, old: bool
) -> dict[str, list[File]]:
    groups: dict[str, list[File]] = {}
    missing = []
    for file in files:
        label = labels.get(file.name)
        if label is None:
            missing.append(file)
        else:
            groups.setdefault(label[0], []).append(file)
    if missing:
        lacking = some([file.name[len(root) :] for file in missing])
        if old or 2 * len(missing) >= len(files):
            raise DataError(f"{where}: the list of labels lacks {lacking}; add a line `image class` for each")
        found.leave_out(missing, f"left out, not in the list of labels: {lacking}")
    return groups


def from_names(files: list[File]) -> dict[str, list[File]]:
    """Group images by the class in their names; {} where nearly all names are not a class and a number."""
    groups: dict[str, list[File]] = {}
    for file in files:
        match = _CLASS_AND_NUMBER.fullmatch(file.name.rpartition("/")[2])
        if match and not _NO_CLASSES.fullmatch(match[1]):
            groups.setdefault(match[1], []).append(file)
    counts = Counter({name: len(held) for name, held in groups.items()})
    several = {name: groups[name] for name, count in counts.items() if count > 1}
    whole = sum(map(len, several.values())) >= 0.9 * len(files)
    return several if whole and len(several) > 1 else {}


def _noted(groups: dict[str, list[File]], files: list[File], split: str, found: Found) -> dict[str, list[File]]:
    """Note that the classes are from names of files, and which files have none."""
    counts = some([f"{name} ({len(held)})" for name, held in groups.items()])
    first = next(iter(groups.values()))[0].name.rpartition("/")[2]
    found.notes.append(f"classes of {split} are from the names of its files, as {first}: {counts}")
    named = {file.name for held in groups.values() for file in held}
    if odd := [file for file in files if file.name not in named]:
        found.leave_out(odd, f"left out, no class in the name: {some([file.name for file in odd])}")
    return groups
