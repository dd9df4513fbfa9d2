"""A few images of a pack, evenly spaced, for overfitting; among them copies with contradictory labels.

Contradictory labels show only in images that the network cannot distinguish. A few images of a large set would hardly
ever contain two copies, so copies of the few are searched in the whole set: if one has another class, both are among
the few, and no network can learn them.
"""

import hashlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from cualex.data.split import Split, centre
from cualex.evaluation import entropy

LOOKED_AT = 1_000_000_000  # bytes of images in which copies are searched: 5,000 of 256 pixels a side
TOGETHER = 64  # images that are read at a time
DIGEST = 16  # bytes


@dataclass(frozen=True, eq=False)
class Few:
    """A view of some images of a split. chosen: int (n,), their indices.  crop: the pixels a side that are seen."""

    pack: Split
    chosen: np.ndarray
    crop: int

    def __len__(self) -> int:
        """Count the images."""
        return len(self.chosen)

    def __getattr__(self, name: str) -> Any:
        """Return an attribute of the split: size, classes, mean."""
        return getattr(self.pack, name)

    @property
    def labels(self) -> np.ndarray:
        """Labels: int32 (n,)."""
        return self.pack.labels[self.chosen]

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the images."""
        return tuple(self.pack.names[index] for index in self.chosen)

    def read(self, indices: np.ndarray, out: np.ndarray) -> None:
        """Copy the images `indices` (k,) into `out`."""
        self.pack.read(self.chosen[indices], out)

    @cached_property
    def groups(self) -> list[list[int]]:
        """Groups of images that are equal to the network, as lists of indices."""
        groups: dict[bytes, list[int]] = {}
        for index, digest in digests(self, np.arange(len(self)), self.crop):
            groups.setdefault(digest, []).append(index)
        return list(groups.values())

    @property
    def contradictions(self) -> list[list[int]]:
        """Groups of equal images with more than one label."""
        return [group for group in self.groups if len(set(self.labels[group])) > 1]

    @property
    def most_right(self) -> int:
        """The largest number of images that a network can get right: of equal ones those of one label."""
        return sum(max(Counter(self.labels[group].tolist()).values()) for group in self.groups)

    @property
    def least_loss(self) -> float:
        """The least mean loss that a network can reach: the entropy of the labels of equal images."""
        return sum(len(group) * entropy(np.bincount(self.labels[group])) for group in self.groups) / len(self)


def choose(pack: Split, count: int, crop: int) -> Few:
    """Choose `count` evenly spaced images; if a copy of one has another class, both.

    crop: the pixels a side that the network sees, at the centre.
    """
    spaced = np.linspace(0, len(pack) - 1, count).astype(int).tolist()
    copies = _contradicting(pack, spaced, crop)
    pairs = [index for one, other in copies.items() for index in (one, other)]
    chosen = list(dict.fromkeys([*pairs, *(index for index in spaced if index not in copies)]))[:count]
    return Few(pack, np.array(sorted(chosen)), crop)


def digests(pack: Split, indices: np.ndarray, crop: int) -> Iterator[tuple[int, bytes]]:
    """Yield (index, digest) for images of a pack: of the centre crop."""
    seen = centre(pack.size, crop)
    for start in range(0, len(indices), TOGETHER):
        part = indices[start : start + TOGETHER]
        images = np.empty((len(part), pack.size, pack.size, 3), np.uint8)
        pack.read(part, images)
        for index, image in zip(part.tolist(), images[:, seen, seen], strict=True):
            yield index, hashlib.blake2b(np.ascontiguousarray(image).data, digest_size=DIGEST).digest()


def _contradicting(pack: Split, spaced: list[int], crop: int) -> dict[int, int]:
    """Return equal images of another class for some images of a pack, as far as there are any: {index: index}."""
    most = max(LOOKED_AT // (3 * pack.size**2), 1)
    others = np.unique(np.linspace(0, len(pack) - 1, min(most, len(pack))).astype(int))
    wanted: dict[bytes, int] = {}
    for index, digest in digests(pack, np.array(spaced), crop):
        wanted.setdefault(digest, index)
    copies: dict[int, int] = {}
    for index, digest in digests(pack, others, crop):
        one = wanted.get(digest)
        if one is not None and one not in copies and pack.labels[index] != pack.labels[one]:
            copies[one] = index
    return copies
