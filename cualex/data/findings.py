"""Find what is wrong with a data set, in what its folders and its images have shown: pure functions of both."""

import itertools
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from cualex.data.images import TRUNCATED
from cualex.data.sources import Image, Source
from cualex.data.sources.layout import LeftOut

TINY = 32  # pixels of the shorter side: those of CIFAR, below which little can be seen
FEW = 10  # images to learn a class from
LOPSIDED = 10  # times as many images in the largest class as in the smallest
SHARED = 0.5  # of the smaller of two classes: as many images in both make one class of them
SURE = 3  # deviations by which colours of two splits must differ

# Every kind of finding in the order in which it matters, with what is said of it.
KINDS = {
    "leakage": "the same picture in more than one split: what should judge the training was learned",
    "unreadable": "pictures that cannot be read; training leaves them out",
    "truncated": "pictures that are cut short; training leaves them out",
    "contradiction": "the same picture in more than one class",
    "overlap": f"classes that have {SHARED:.0%} of their pictures or more in common, as a class under two names has",
    "colours": "splits whose colours are those of train with red and blue changed about",
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

# Those that are facts of a sound set too; the others are faults.
NOTES = ("few", "lopsided", "duplicate", "tiny", "outside", "stray", "hidden")


@dataclass(frozen=True, slots=True)
class Item:
    """One case of a finding: the names of the images, files or classes, and what is to be said of them."""

    names: tuple[str, ...]
    text: str


@dataclass(frozen=True)
class Finding:
    """One kind of fault with all its cases. kind: a key of KINDS, text: what KINDS says of it."""

    kind: str
    text: str
    items: tuple[Item, ...]

    @property
    def fault(self) -> bool:
        """Say whether this spoils a training; else it is worth knowing, and a sound set may have it."""
        return self.kind not in NOTES


@dataclass(frozen=True, eq=False)
class Looks:
    """What decoding has shown of n images, in the order of the splits and of the images in each.

    splits: n names.  images: n.  digests: uint8 (n, 16), of the pixels at the stored size.  sides: int32 (n,), the
    shorter side of each file's image in pixels.  colours: float32 (n, 3), the mean red, green and blue of each.
    unreadable: {place among the n: reason}; their digest, side and colours mean nothing.
    """

    splits: tuple[str, ...]
    images: tuple[Image, ...]
    digests: np.ndarray
    sides: np.ndarray
    colours: np.ndarray
    unreadable: dict[int, str]


def findings(source: Source, left_out: Iterable[LeftOut], looks: Looks) -> tuple[Finding, ...]:
    """List what was found, in the order of KINDS; a kind without a case is not there."""
    cases: dict[str, list[Item]] = {kind: [] for kind in KINDS}
    for place, reason in looks.unreadable.items():
        kind = "truncated" if reason == TRUNCATED else "unreadable"
        cases[kind].append(Item((looks.images[place].name,), reason))
    groups = _groups(looks)
    for kind, item in _copies(source, looks, groups):
        cases[kind].append(item)
    cases["overlap"] += _overlaps(source, looks, groups)
    cases["colours"] += _swapped(looks)
    for place in np.flatnonzero(looks.sides < TINY).tolist():
        if place not in looks.unreadable:
            cases["tiny"].append(Item((looks.images[place].name,), f"{looks.sides[place]} pixels"))
    for left in left_out:
        cases[left.kind] += [Item((name,), "") for name in left.names]
    cases["lacking"] += _lacking(source)
    cases["alike"] += _alike(source.classes)
    learned = _learned(source, looks)
    cases["few"] += [Item((name,), _images(count)) for name, count in learned.items() if 0 < count < FEW]
    cases["lopsided"] += _lopsided({name: count for name, count in learned.items() if count})
    return tuple(Finding(kind, KINDS[kind], tuple(items)) for kind, items in cases.items() if items)


def class_sizes(source: Source, looks: Looks) -> dict[str, dict[str, int]]:
    """Count the images that can be read: {class: {split: count}}, every class and every split."""
    counts = {name: dict.fromkeys(source.splits, 0) for name in source.classes}
    for place, (split, image) in enumerate(zip(looks.splits, looks.images, strict=True)):
        if place not in looks.unreadable:
            counts[source.classes[image.label]][split] += 1
    return counts


def _learned(source: Source, looks: Looks) -> dict[str, int]:
    return {name: counts.get("train", 0) for name, counts in class_sizes(source, looks).items()}


def _images(count: int) -> str:
    return "1 picture" if count == 1 else f"{count:,} pictures"


def _groups(looks: Looks) -> list[list[int]]:
    """Return the images that are there more than once: a list of indices each, train first."""
    words = looks.digests.view(np.uint64)
    # Stable: within a group the images keep their order, train first.
    order = np.lexsort((words[:, 1], words[:, 0]))
    readable = np.array([place not in looks.unreadable for place in order.tolist()], bool)
    order = order[readable]
    differs = (words[order][1:] != words[order][:-1]).any(axis=1)
    bounds = np.concatenate([[0], np.flatnonzero(differs) + 1, [len(order)]])
    several = np.flatnonzero(np.diff(bounds) > 1)
    return sorted(order[bounds[group] : bounds[group + 1]].tolist() for group in several)


def _copies(source: Source, looks: Looks, groups: list[list[int]]) -> Iterator[tuple[str, Item]]:
    """Put each group of equal images under the worst that can be said of it."""
    for places in groups:
        names = tuple(looks.images[place].name for place in places)
        splits = _distinct(looks.splits[place] for place in places)
        classes = _distinct(source.classes[looks.images[place].label] for place in places)
        if len(splits) > 1:
            also = f", as {_and(classes)}" if len(classes) > 1 else ""
            yield "leakage", Item(names, f"in {_and(splits)}{also}")
        elif len(classes) > 1:
            yield "contradiction", Item(names, f"as {_and(classes)}")
        else:
            yield "duplicate", Item(names, "")


def _overlaps(source: Source, looks: Looks, groups: list[list[int]]) -> list[Item]:
    """Name the pairs of classes that have most images in common, whatever their splits; copies count once."""
    shared: Counter[tuple[int, int]] = Counter()
    images = Counter(image.label for place, image in enumerate(looks.images) if place not in looks.unreadable)
    for places in groups:
        labels = Counter(looks.images[place].label for place in places)
        shared.update(itertools.combinations(sorted(labels), 2))
        images.subtract({label: count - 1 for label, count in labels.items()})
    return [
        Item(
            (source.classes[one], source.classes[other]),
            f"{count:,} of {images[one]:,} and {images[other]:,}",
        )
        for (one, other), count in sorted(shared.items())
        if count > 1 and count >= SHARED * min(images[one], images[other])
    ]


def _swapped(looks: Looks) -> Iterator[Item]:
    """Name the splits in which red less blue is, class by class, the opposite of what it is in train.

    With x the mean of that in a class of train and y in the same class of another split, y = b x is fitted: b is 1
    where colours are alike, -1 where red and blue have changed places, and about 0 where they say nothing.
    """
    readable = [place for place in range(len(looks.images)) if place not in looks.unreadable]
    labels = np.array([looks.images[place].label for place in readable], np.int64)
    splits = np.array([looks.splits[place] for place in readable], np.str_)
    warmth = looks.colours[readable, 0].astype(np.float64) - looks.colours[readable, 2]
    train = splits == "train"
    for split in _distinct(splits[~train].tolist()):
        own = splits == split
        classes = np.intersect1d(labels[train], labels[own])
        if not len(classes):
            continue
        x, y = (_means(warmth[which], labels[which], classes) for which in (train, own))
        weights = np.array([(labels[own] == label).sum() for label in classes], np.float64)
        within = warmth[train] - _means(warmth[train], labels[train], labels[train])
        spread = within.std() or warmth[train].std()  # of one image; classes of one show none of their own
        size, noise = (weights * x * x).sum(), spread * np.sqrt((weights * x * x).sum())
        fitted = (weights * x * y).sum()
        if -2 * size < fitted < -max(size / 2, SURE * noise):
            yield Item((split,), f"red less blue is {fitted / size:.2f} times what it is in the same class of train")


def _means(values: np.ndarray, labels: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Return the mean of the values of each label that is wanted."""
    counts = np.bincount(labels)
    return (np.bincount(labels, values) / np.maximum(counts, 1))[wanted]


def _distinct(words: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(words))


def _and(words: list[str]) -> str:
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def _lacking(source: Source) -> list[Item]:
    """Name the classes of the set without a file in a split; which can be read does not matter here.

    A class of one file is not named: it can be in one split only, and train needs it.
    """
    files = Counter(image.label for images in source.splits.values() for image in images)
    held = {split: {image.label for image in images} for split, images in source.splits.items()}
    return [
        Item((name,), f"not in {split}")
        for split, labels in held.items()
        for label, name in enumerate(source.classes)
        if label not in labels and (split == "train" or files[label] > 1)
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
    return [Item((small, large), f"{counts[small]:,} and {_images(counts[large])}")]
