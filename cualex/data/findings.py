"""Faults of a data set: pure functions of its folders and its decoded images."""

import itertools
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np

from cualex.data.images import TRUNCATED
from cualex.data.sources import Image, Source
from cualex.data.sources.filtering import LeftOut

TINY = 32  # pixels of the shorter side: CIFAR's, below which little can be seen
FEW = 10  # training images of a class
LOPSIDED = 10  # ratio of the largest class to the smallest
SHARED = 0.5  # of the smaller of two classes: with as many images in both they are one class
SURE = 3  # standard deviations by which colours of two splits must differ

# All kinds of finding, the most severe first, with their texts.
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
    "profile": "pictures with a colour profile that cannot be applied; their colours are taken as they are",
    "foreign": "pictures of kinds that are not read; they are left out",
    "outside": "pictures that belong to no class; they are left out",
    "stray": "files that are no pictures by their ending; they are left out",
    "hidden": "hidden files and folders; they are left out",
}

# Kinds that a sound set may have too; the others are faults.
NOTES = ("few", "lopsided", "duplicate", "tiny", "profile", "foreign", "outside", "stray", "hidden")


@dataclass(frozen=True, slots=True)
class Item:
    """One case of a finding: the names of the images, files or classes, and a text about them."""

    names: tuple[str, ...]
    text: str


@dataclass(frozen=True)
class Finding:
    """One kind of fault with all its cases. kind: a key of KINDS.  text: its value."""

    kind: str
    text: str
    items: tuple[Item, ...]

    @property
    def fault(self) -> bool:
        """Whether this harms a training; otherwise it is a note, which a sound set may have."""
        return self.kind not in NOTES


@dataclass(frozen=True, eq=False)
class Looks:
    """Properties of n decoded images, split by split.

    splits: n names.  images: n.  digests: uint8 (n, 16), of the pixels at the stored size.  sides: int32 (n,), the
    shorter side of the image in the file, in pixels.  colours: float32 (n, 3), mean red, green and blue.
    unreadable: {index: reason}; digest, side and colours of these are undefined.
    noted: {index: note on the colour profile}, see images.Header.
    """

    splits: tuple[str, ...]
    images: tuple[Image, ...]
    digests: np.ndarray
    sides: np.ndarray
    colours: np.ndarray
    unreadable: dict[int, str]
    noted: dict[int, str] = field(default_factory=dict)


def findings(source: Source, left_out: Iterable[LeftOut], looks: Looks) -> tuple[Finding, ...]:
    """Return the findings in the order of KINDS, without kinds that have no case."""
    cases: dict[str, list[Item]] = {kind: [] for kind in KINDS}
    for index, reason in looks.unreadable.items():
        kind = "truncated" if reason == TRUNCATED else "unreadable"
        cases[kind].append(Item((looks.images[index].name,), reason))
    groups = _groups(looks)
    for kind, item in _copies(source, looks, groups):
        cases[kind].append(item)
    cases["overlap"] += _overlaps(source, looks, groups)
    cases["colours"] += _swapped(looks)
    for index in np.flatnonzero(looks.sides < TINY).tolist():
        if index not in looks.unreadable:
            cases["tiny"].append(Item((looks.images[index].name,), f"{looks.sides[index]} pixels"))
    for index, note in looks.noted.items():
        cases["profile"].append(Item((looks.images[index].name,), note))
    for left in left_out:
        cases[left.kind] += [Item((name,), "") for name in left.names]
    cases["lacking"] += _lacking(source)
    cases["alike"] += _alike(source.classes)
    learned = _learned(source, looks)
    cases["few"] += [Item((name,), _images(count)) for name, count in learned.items() if 0 < count < FEW]
    cases["lopsided"] += _lopsided({name: count for name, count in learned.items() if count})
    return tuple(Finding(kind, KINDS[kind], tuple(items)) for kind, items in cases.items() if items)


def class_sizes(source: Source, looks: Looks) -> dict[str, dict[str, int]]:
    """Count the readable images: {class: {split: count}}, for all classes and splits."""
    counts = {name: dict.fromkeys(source.splits, 0) for name in source.classes}
    for index, (split, image) in enumerate(zip(looks.splits, looks.images, strict=True)):
        if index not in looks.unreadable:
            counts[source.classes[image.label]][split] += 1
    return counts


def _learned(source: Source, looks: Looks) -> dict[str, int]:
    return {name: counts.get("train", 0) for name, counts in class_sizes(source, looks).items()}


def _images(count: int) -> str:
    return "1 picture" if count == 1 else f"{count:,} pictures"


def _groups(looks: Looks) -> list[list[int]]:
    """Return groups of equal images, as lists of indices, train first."""
    words = looks.digests.view(np.uint64)
    # Stable: within a group the images keep their order, train first.
    order = np.lexsort((words[:, 1], words[:, 0]))
    readable = np.array([index not in looks.unreadable for index in order.tolist()], bool)
    order = order[readable]
    differs = (words[order][1:] != words[order][:-1]).any(axis=1)
    bounds = np.concatenate([[0], np.flatnonzero(differs) + 1, [len(order)]])
    several = np.flatnonzero(np.diff(bounds) > 1)
    return sorted(order[bounds[group] : bounds[group + 1]].tolist() for group in several)


def _copies(source: Source, looks: Looks, groups: list[list[int]]) -> Iterator[tuple[str, Item]]:
    """Yield a finding for every group of equal images: the most severe kind that fits."""
    for indices in groups:
        names = tuple(looks.images[index].name for index in indices)
        splits = _distinct(looks.splits[index] for index in indices)
        classes = _distinct(source.classes[looks.images[index].label] for index in indices)
        if len(splits) > 1:
            also = f", as {_and(classes)}" if len(classes) > 1 else ""
            yield "leakage", Item(names, f"in {_and(splits)}{also}")
        elif len(classes) > 1:
            yield "contradiction", Item(names, f"as {_and(classes)}")
        else:
            yield "duplicate", Item(names, "")


def _overlaps(source: Source, looks: Looks, groups: list[list[int]]) -> list[Item]:
    """Return the pairs of classes that share at least `SHARED` of their images, in any split; copies count once."""
    shared: Counter[tuple[int, int]] = Counter()
    images = Counter(image.label for index, image in enumerate(looks.images) if index not in looks.unreadable)
    for indices in groups:
        labels = Counter(looks.images[index].label for index in indices)
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
    """Yield the splits in which red minus blue has, class by class, the opposite sign of train's.

    With x the mean of red minus blue in a class of train and y in the same class of another split, y = b x is fitted:
    b is 1 where colours agree, -1 where red and blue are swapped, and about 0 where they tell nothing.
    """
    readable = [index for index in range(len(looks.images)) if index not in looks.unreadable]
    labels = np.array([looks.images[index].label for index in readable], np.int64)
    splits = np.array([looks.splits[index] for index in readable], np.str_)
    warmth = looks.colours[readable, 0].astype(np.float64) - looks.colours[readable, 2]
    train = splits == "train"
    for split in _distinct(splits[~train].tolist()):
        here = splits == split
        classes = np.intersect1d(labels[train], labels[here])
        if not len(classes):
            continue
        x, y = (_means(warmth[which], labels[which], classes) for which in (train, here))
        weights = np.array([(labels[here] == label).sum() for label in classes], np.float64)
        within = warmth[train] - _means(warmth[train], labels[train], labels[train])
        spread = within.std() or warmth[train].std()  # of one image; classes of one image have no spread
        size, noise = (weights * x * x).sum(), spread * np.sqrt((weights * x * x).sum())
        fitted = (weights * x * y).sum()
        if -2 * size < fitted < -max(size / 2, SURE * noise):
            yield Item((split,), f"red less blue is {fitted / size:.2f} times what it is in the same class of train")


def _means(values: np.ndarray, labels: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Return the means of the values by label, for the `wanted` labels."""
    counts = np.bincount(labels)
    return (np.bincount(labels, values) / np.maximum(counts, 1))[wanted]


def _distinct(words: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(words))


def _and(words: list[str]) -> str:
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def _lacking(source: Source) -> list[Item]:
    """Return the classes without a file in a split, readable or not.

    A class of one file is left out: it can be in one split only, and train needs it.
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
    small, large = min(counts, key=counts.__getitem__), max(counts, key=counts.__getitem__)
    if counts[large] <= LOPSIDED * counts[small]:
        return []
    return [Item((small, large), f"{counts[small]:,} and {_images(counts[large])}")]
