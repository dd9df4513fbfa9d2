"""A part of an open file, read as a file of its own: an archive, or one that lies inside of another."""

import os
import weakref

from cualex.system import files


class Descriptor:
    """A duplicate of a file descriptor, read at offsets; closed with its last reader."""

    def __init__(self, number: int) -> None:
        self.number = os.dup(number)
        weakref.finalize(self, os.close, self.number)


class Span:
    """A part of a file, read as a file of its own: an archive, or one that lies inside of another."""

    def __init__(self, source: Descriptor, start: int, size: int) -> None:
        self._source, self._start, self.size, self._position = source, start, size, 0

    def part(self, start: int, size: int) -> "Span":
        """Return a part of this part; like a file, it ends where this one does."""
        return Span(self._source, self._start + start, max(0, min(size, self.size - start)))

    def read(self, size: int = -1) -> bytes:
        """Read on, to the end by default."""
        left = max(0, self.size - self._position)
        data = files.bytes_at(self._source.number, left if size < 0 else min(size, left), self._start + self._position)
        self._position += len(data)
        return data

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Move to an offset from the start, the position or the end."""
        base = (0, self._position, self.size)[whence]
        if base + offset < 0:
            raise ValueError(f"offset {base + offset} before the start")
        self._position = base + offset
        return self._position

    def tell(self) -> int:
        """Return the position."""
        return self._position

    def seekable(self) -> bool:
        """Return True."""
        return True

    def close(self) -> None:
        """Do nothing: the descriptor is closed with its last reader."""
