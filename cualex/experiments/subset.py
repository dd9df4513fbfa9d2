"""The first pictures of a split, as many of each class; several times over where they are few."""

import numpy as np

from cualex.errors import UsageError


class First:
    """Be the first `count` pictures of a pack, in equal shares of its classes and in its order; all for None.

    A class that has fewer gives all it has. Mean picture and components of colour stay those of the whole pack.
    Where these are fewer than `least`, all of them are there again, as often as it takes; `different` counts them once.
    """

    def __init__(self, pack, count: int | None, least: int = 0):
        """Choose the pictures; raise UsageError where a class would have none."""
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
        """Count the pictures."""
        return len(self.labels)

    def __getattr__(self, name: str):
        """Give what all pictures share: size, classes, mean, components, what was left out."""
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(self._pack, name)

    def read(self, indices: np.ndarray, out: np.ndarray) -> None:
        """Copy the pictures `indices` (k,) into `out`, uint8 (k, size, size, 3)."""
        self._pack.read(self._chosen[indices], out)
