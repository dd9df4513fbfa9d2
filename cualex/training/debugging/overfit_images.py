"""A few images of a pack, from all over it, to be learned by heart; among them copies with contradicting labels.

Labels that contradict each other can only be seen in images that the network cannot tell apart. A few images of a
large set would hardly ever hold two copies of the same, so those of the few are looked for in the whole set: where one
has another class, both are among the few, and no network can learn them.
"""

import hashlib
from collections import Counter
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from cualex.evaluation import entropy

LOOKED_AT = 1_000_000_000  # bytes of images in which copies are looked for: 5,000 of 256 pixels a side
TOGETHER = 64  # images that are read at a time
DIGEST = 16  # bytes


@dataclass(frozen=True, eq=False)
class Few:
    """Some images of a pack, read as a pack is.  chosen: int (n,), which.  crop: the pixels a side that are seen."""

    pack: object
    chosen: np.ndarray
    crop: int

    def __len__(self) -> int:
        """Count the images."""
        return len(self.chosen)

    def __getattr__(self, name: str):
        """Return what is the same for all images: size, classes, mean."""
        return getattr(self.pack, name)

    @property
    def labels(self) -> np.ndarray:
        """Return their labels."""
        return self.pack.labels[self.chosen]

    @property
    def names(self) -> tuple[str, ...]:
        """Return their names."""
        return tuple(self.pack.names[index] for index in self.chosen)

    def read(self, indices: np.ndarray, out: np.ndarray) -> None:
        """Copy the images `indices` (k,) into `out`."""
        self.pack.read(self.chosen[indices], out)

    @cached_property
    def groups(self) -> list[list[int]]:
        """Return the images that are the same to the network together: their indices, a list an image."""
        found: dict[bytes, list[int]] = {}
        for index, digest in digests(self, np.arange(len(self)), self.crop):
            found.setdefault(digest, []).append(index)
        return list(found.values())

    @property
    def contradictions(self) -> list[list[int]]:
        """Return the groups of equal images that have more than one label."""
        return [group for group in self.groups if len(set(self.labels[group])) > 1]

    @property
    def most_right(self) -> int:
        """Count the images that a network can name right at the most: of equal ones those with the same label."""
        return sum(max(Counter(self.labels[group].tolist()).values()) for group in self.groups)

    @property
    def least_loss(self) -> float:
        """Return the smallest mean loss that a network can have: the entropy of the labels of equal images."""
        return sum(len(group) * entropy(np.bincount(self.labels[group])) for group in self.groups) / len(self)


def choose(pack, count: int, crop: int) -> Few:
    """Choose so many images at equal distances; where a copy of one has another class, both.

    crop: the pixels a side that the network sees, at the centre.
    """
    spaced = np.linspace(0, len(pack) - 1, count).astype(int).tolist()
    copies = _contradicting(pack, spaced, crop)
    pairs = [index for one, other in copies.items() for index in (one, other)]
    chosen = list(dict.fromkeys([*pairs, *(index for index in spaced if index not in copies)]))[:count]
    return Few(pack, np.array(sorted(chosen)), crop)


def digests(pack, indices: np.ndarray, crop: int):
    """Yield (index, digest) for images of a pack: of the pixels that the network sees at their centre."""
    first = (pack.size - crop) // 2
    seen = slice(first, first + crop)
    for start in range(0, len(indices), TOGETHER):
        part = indices[start : start + TOGETHER]
        images = np.empty((len(part), pack.size, pack.size, 3), np.uint8)
        pack.read(part, images)
        for index, image in zip(part.tolist(), images[:, seen, seen], strict=True):
            yield index, hashlib.blake2b(np.ascontiguousarray(image), digest_size=DIGEST).digest()


def _contradicting(pack, spaced: list[int], crop: int) -> dict[int, int]:
    """Return for some images of a pack one that is the same and has another class, where there is one."""
    most = max(LOOKED_AT // (3 * pack.size**2), 1)
    others = np.unique(np.linspace(0, len(pack) - 1, min(most, len(pack))).astype(int))
    wanted: dict[bytes, int] = {}
    for index, digest in digests(pack, np.array(spaced), crop):
        wanted.setdefault(digest, index)
    found: dict[int, int] = {}
    for index, digest in digests(pack, others, crop):
        one = wanted.get(digest)
        if one is not None and one not in found and pack.labels[index] != pack.labels[one]:
            found[one] = index
    return found
