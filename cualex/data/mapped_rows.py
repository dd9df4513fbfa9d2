"""Rows of equal size in a memory-mapped file, gathered by index into the caller's array.

Mapping is a fifth faster than reading. But an access beyond the end of a mapped file kills the process, so the file's
length is checked before a copy; a file truncated during the copy, or a failing disk, still kills it.
"""

import mmap
import os
import weakref
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from cualex.errors import DataError


class Rows:
    """A file of `count` rows of uint8, open as long as this object lives, even if the file is renamed or removed."""

    def __init__(self, path: str | Path, count: int, shape: Sequence[int]) -> None:
        """Open the file.

        Raise OSError when it cannot be opened, ValueError when its size is wrong, DataError when it cannot be mapped.
        """
        self.path, self.count = Path(path), count
        self._file = os.open(path, os.O_RDONLY)
        weakref.finalize(self, os.close, self._file)
        self.nbytes = int(np.prod((count, *shape), dtype=np.int64))
        if (got := os.fstat(self._file).st_size) != self.nbytes:
            raise ValueError(f"{path}: expected {self.nbytes} bytes, got {got}")
        try:
            mapping = mmap.mmap(self._file, self.nbytes, access=mmap.ACCESS_READ)
        except OSError as error:
            way = "Allow the process more memory, or keep the cache (--cache, CUALEX_CACHE) on another disk."
            raise DataError(f"{path}: cannot be mapped ({error.strerror}). {way}") from error
        self._rows = np.frombuffer(mapping, np.uint8).reshape(count, *shape)

    def read(self, indices: np.ndarray, out: np.ndarray) -> None:
        """Copy the rows `indices` (k,) into `out`, uint8 (k, *shape); thread-safe.

        Raise IndexError for an index out of range, and DataError when the file has been truncated.
        """
        if len(indices) and not 0 <= indices.min() <= indices.max() < self.count:
            raise IndexError(f"rows {indices.min()} to {indices.max()} of {self.count}")
        if (got := os.fstat(self._file).st_size) < self.nbytes:
            raise DataError(
                f"{self.path}: truncated while it was being read, from {self.nbytes:,} bytes to {got:,}. "
                f"Remove {self.path.parent}, and it is made again."
            )
        # One call for all rows, as fast as memory allows; another mode would copy everything twice.
        np.take(self._rows, indices, axis=0, out=out, mode="clip")
