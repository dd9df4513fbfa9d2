"""Rows of equal size in a file, copied by number into memory that the caller owns.

The file is mapped, which is a fifth faster than reading it. But to touch a mapping beyond the end of its file ends the
process, so the file's length is looked at before each copy; what happens to it in the very moment of one, and a disk
that fails, still do.
"""

import mmap
import os
import weakref
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from cualex.errors import DataError


class Rows:
    """Be a file of `count` rows of uint8, open until nobody holds this any more, whatever becomes of its name."""

    def __init__(self, path: str | Path, count: int, shape: Sequence[int]):
        """Open the file.

        Raise OSError where there is none, ValueError where it has another size, DataError where it cannot be mapped.
        """
        self.path, self.count = Path(path), count
        self._file = os.open(path, os.O_RDONLY)
        weakref.finalize(self, os.close, self._file)
        self.nbytes = int(np.prod((count, *shape), dtype=np.int64))
        if (found := os.fstat(self._file).st_size) != self.nbytes:
            raise ValueError(f"{path}: expected {self.nbytes} bytes, got {found}")
        try:
            mapping = mmap.mmap(self._file, self.nbytes, access=mmap.ACCESS_READ)
        except OSError as error:
            way = "Allow the process more memory, or keep the cache (--cache, CUALEX_CACHE) on another disk."
            raise DataError(f"{path}: cannot be mapped ({error.strerror}). {way}") from error
        self._rows = np.frombuffer(mapping, np.uint8).reshape(count, *shape)

    def read(self, indices: np.ndarray, out: np.ndarray) -> None:
        """Copy the rows `indices` (k,) into `out`, uint8 (k, *shape); threads may do so at once.

        Raise IndexError for a row that is not there, and DataError where the file has been cut short since.
        """
        if len(indices) and not 0 <= indices.min() <= indices.max() < self.count:
            raise IndexError(f"rows {indices.min()} to {indices.max()} of {self.count}")
        if (found := os.fstat(self._file).st_size) < self.nbytes:
            raise DataError(
                f"{self.path}: truncated while it was being read, from {self.nbytes:,} bytes to {found:,}. "
                f"Remove {self.path.parent}, and it is made again."
            )
        # One call for all rows, as fast as memory allows; with another mode it would copy everything twice.
        np.take(self._rows, indices, axis=0, out=out, mode="clip")
