"""The first images of a split, equally many of all classes; repeated if they are few."""

from typing import Any

import numpy as np

from cualex.data.split import Split
from cualex.errors import UsageError


class First:
    """A view of the first `count` images of a split, in equal numbers by class and in its order; None: all.

    A class that has fewer gives all. Mean image and components of colour are those of the whole split.
    If there are fewer than `least`, they are repeated; `different` counts them once.
    """

    def __init__(self, pack: Split, count: int | None, least: int = 0) -> None:
        """Choose the images; raise UsageError when a class would have none."""
        classes = len(pack.classes)
        if count is not None and count < classes:
            raise UsageError(f"{count} images of {classes} classes: expected at least one of each class")
        share = len(pack) if count is None else count // classes
        kept = [np.flatnonzero(pack.labels == label)[:share] for label in range(classes)]
        first = np.sort(np.concatenate(kept))
        self.different = len(first)
        self._chosen = np.tile(first, max(1, -(-least // len(first))))
        self._pack, self.labels = pack, pack.labels[self._chosen]
        self.names = tuple(pack.names[index] for index in self._chosen)

    def __len__(self) -> int:
        """Count the images."""
        return len(self.labels)

    def __getattr__(self, name: str) -> Any:
        """Return an attribute of the split: size, classes, mean, components, skipped."""
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(self._pack, name)

    def read(self, indices: np.ndarray, out: np.ndarray) -> None:
        """Copy the images `indices` (k,) into `out`, uint8 (k, size, size, 3)."""
        self._pack.read(self._chosen[indices], out)
