"""Find what is wrong with a data set, in what its folders and its pictures have shown: pure functions of both."""

import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from cualex.data.layout import LeftOut
from cualex.data.pictures import TRUNCATED
from cualex.data.sources import Picture, Source

TINY = 32  # pixels of the shorter side: those of CIFAR, below which little can be seen
FEW = 10  # pictures to learn a class from
LOPSIDED = 10  # times as many pictures in the largest class as in the smallest

# Every kind of finding in the order in which it matters, with what is said of it.
KINDS = {
    "leakage": "the same picture in more than one split: what should judge the training was learned",
    "unreadable": "pictures that cannot be read; training leaves them out",
    "truncated": "pictures that are cut short; training leaves them out",
    "contradiction": "the same picture in more than one class",
    "lacking": "classes that a split lacks",
    "alike": "classes whose names differ only by case or white space",
    "empty": "class folders without any picture",
    "few": f"classes with fewer than {FEW} pictures to learn from",
    "lopsided": f"the largest class to learn from is more than {LOPSIDED} times the smallest",
    "duplicate": "the same picture more than once in one class",
    "tiny": f"pictures whose shorter side is less than {TINY} pixels",
    "outside": "pictures that belong to no class; they are left out",
    "stray": "files that are no pictures by their ending; they are left out",
    "hidden": "hidden files and folders; they are left out",
}


@dataclass(frozen=True, slots=True)
class Item:
    """One case of a finding: the names of the pictures, files or classes, and what is to be said of them."""

    names: tuple[str, ...]
    text: str


@dataclass(frozen=True)
class Finding:
    """One kind of fault with all its cases. kind: a key of KINDS, text: what KINDS says of it."""

    kind: str
    text: str
    items: tuple[Item, ...]


@dataclass(frozen=True, eq=False)
class Looks:
    """What decoding has shown of n pictures, in the order of the splits and of the pictures in each.

    splits: n names.  pictures: n.  digests: uint8 (n, 16), of the pixels at the stored size.  sides: int32 (n,), the
    shorter side of each file's picture in pixels.  unreadable: {place among the n: reason}; their digest and side
    mean nothing.
    """

    splits: tuple[str, ...]
    pictures: tuple[Picture, ...]
    digests: np.ndarray
    sides: np.ndarray
    unreadable: dict[int, str]


def findings(source: Source, left_out: Iterable[LeftOut], looks: Looks) -> tuple[Finding, ...]:
    """List what was found, in the order of KINDS; a kind without a case is not there."""
    cases: dict[str, list[Item]] = {kind: [] for kind in KINDS}
    for place, reason in looks.unreadable.items():
        kind = "truncated" if reason == TRUNCATED else "unreadable"
        cases[kind].append(Item((looks.pictures[place].name,), reason))
    for kind, item in _copies(source, looks):
        cases[kind].append(item)
    for place in np.flatnonzero(looks.sides < TINY).tolist():
        if place not in looks.unreadable:
            cases["tiny"].append(Item((looks.pictures[place].name,), f"{looks.sides[place]} pixels"))
    for left in left_out:
        cases[left.kind] += [Item((name,), "") for name in left.names]
    cases["lacking"] += _lacking(source)
    cases["alike"] += _alike(source.classes)
    learned = _learned(source, looks)
    cases["few"] += [Item((name,), _pictures(count)) for name, count in learned.items() if 0 < count < FEW]
    cases["lopsided"] += _lopsided({name: count for name, count in learned.items() if count})
    return tuple(Finding(kind, KINDS[kind], tuple(items)) for kind, items in cases.items() if items)


def class_sizes(source: Source, looks: Looks) -> dict[str, dict[str, int]]:
    """Count the pictures that can be read: {class: {split: count}}, every class and every split."""
    counts = {name: dict.fromkeys(source.splits, 0) for name in source.classes}
    for place, (split, picture) in enumerate(zip(looks.splits, looks.pictures, strict=True)):
        if place not in looks.unreadable:
            counts[source.classes[picture.label]][split] += 1
    return counts


def _learned(source: Source, looks: Looks) -> dict[str, int]:
    return {name: counts.get("train", 0) for name, counts in class_sizes(source, looks).items()}


def _pictures(count: int) -> str:
    return "1 picture" if count == 1 else f"{count:,} pictures"


def _copies(source: Source, looks: Looks) -> Iterator[tuple[str, Item]]:
    """Group the pictures with equal digests, each group under the worst that can be said of it."""
    words = looks.digests.view(np.uint64)
    # Stable: within a group the pictures keep their order, train first.
    order = np.lexsort((words[:, 1], words[:, 0]))
    readable = np.array([place not in looks.unreadable for place in order.tolist()], bool)
    order = order[readable]
    differs = (words[order][1:] != words[order][:-1]).any(axis=1)
    bounds = np.concatenate([[0], np.flatnonzero(differs) + 1, [len(order)]])
    several = np.flatnonzero(np.diff(bounds) > 1)
    groups = [order[bounds[group] : bounds[group + 1]].tolist() for group in several]
    for places in sorted(groups):
        names = tuple(looks.pictures[place].name for place in places)
        splits = _distinct(looks.splits[place] for place in places)
        classes = _distinct(source.classes[looks.pictures[place].label] for place in places)
        if len(splits) > 1:
            also = f", as {_and(classes)}" if len(classes) > 1 else ""
            yield "leakage", Item(names, f"in {_and(splits)}{also}")
        elif len(classes) > 1:
            yield "contradiction", Item(names, f"as {_and(classes)}")
        else:
            yield "duplicate", Item(names, "")


def _distinct(words: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(words))


def _and(words: list[str]) -> str:
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def _lacking(source: Source) -> list[Item]:
    """Name the classes of the set without a file in a split; which can be read does not matter here."""
    held = {split: {picture.label for picture in pictures} for split, pictures in source.splits.items()}
    return [
        Item((name,), f"not in {split}")
        for split, labels in held.items()
        for label, name in enumerate(source.classes)
        if label not in labels
    ]


def _alike(classes: Iterable[str]) -> list[Item]:
    groups: dict[str, list[str]] = {}
    for name in classes:
        bare = "".join(unicodedata.normalize("NFKC", name).casefold().split())
        groups.setdefault(bare, []).append(name)
    return [Item(tuple(names), "") for names in groups.values() if len(names) > 1]


def _lopsided(counts: dict[str, int]) -> list[Item]:
    if not counts:
        return []
    small, large = min(counts, key=counts.get), max(counts, key=counts.get)
    if counts[large] <= LOPSIDED * counts[small]:
        return []
    return [Item((small, large), f"{counts[small]:,} and {_pictures(counts[large])}")]
