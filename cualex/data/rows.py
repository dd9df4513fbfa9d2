"""Rows of equal size in a file, read by number into memory that the caller owns.

Read, not mapped: a file that is cut short beneath a mapping ends the process, a mapping's first touch of a page costs
a fault, and a disk that fails has a word for it.
"""

import os
import weakref
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from cualex.errors import DataError


class Rows:
    """Be a file of `count` rows of uint8, open until nobody holds this any more, whatever becomes of its name."""

    def __init__(self, path: str | Path, count: int, shape: Sequence[int]):
        """Open the file; raise OSError where there is none, ValueError where it has another size."""
        self.path, self.count, self.shape = Path(path), count, tuple(shape)
        self._size = int(np.prod(self.shape, dtype=np.int64))
        self._file = os.open(path, os.O_RDONLY)
        weakref.finalize(self, os.close, self._file)
        if (found := os.fstat(self._file).st_size) != self.nbytes:
            raise ValueError(f"{path}: expected {self.nbytes} bytes, got {found}")

    @property
    def nbytes(self) -> int:
        """Count the bytes of all rows."""
        return self.count * self._size

    def read(self, indices: np.ndarray, out: np.ndarray) -> None:
        """Copy the rows `indices` (k,) into `out`, uint8 (k, *shape); threads may do so at once.

        Raise IndexError for a row that is not there, and DataError where the file has been cut short since.
        """
        if len(indices) and not 0 <= indices.min() <= indices.max() < self.count:
            raise IndexError(f"rows {indices.min()} to {indices.max()} of {self.count}")
        for index, row in zip(indices.tolist(), out, strict=True):
            try:
                got = os.preadv(self._file, [row], index * self._size)
            except OSError as error:
                raise DataError(f"{self.path}: cannot be read ({error})") from error
            if got != self._size:
                raise DataError(
                    f"{self.path}: ends in row {index} of {self.count}; it was cut short. Remove {self.path.parent}, "
                    "and it is made again."
                )
