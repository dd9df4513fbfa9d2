"""Bytes of an untrusted file: read at an offset, never beyond the end."""

import hashlib
import os
import stat
import struct
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import numpy as np

from cualex.errors import WeightsError
from cualex.system import files

AHEAD = 4096  # bytes a cursor fetches at once
PIECE = 1 << 20  # bytes of a longer pass over the file


class Damaged(WeightsError):
    """Bytes that make no sense in their format. detail: which, in the terms of the format."""

    def __init__(self, detail: str, kind: str = "") -> None:
        """kind: the format, as a user knows it."""
        super().__init__(f"damaged or incomplete{kind and f' {kind}'} ({detail}). Copy or download it again.")
        self.detail = detail


class Contents:
    """An open file, read by offset; raises WeightsError for a range outside of it."""

    def __init__(self, path: str | Path) -> None:
        """Open a regular file; a pipe or a device may never end."""
        try:
            self.handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            raise WeightsError(f"cannot be read ({reason}). Give a file of weights.") from None
        self.path, self.others = Path(path), dict[str, Contents]()
        status = os.fstat(self.handle)
        self.size = status.st_size
        if not stat.S_ISREG(status.st_mode):
            os.close(self.handle)
            what = "a directory" if stat.S_ISDIR(status.st_mode) else "not a file, but a device or pipe"
            raise WeightsError(f"{what}. Give a file of weights.")

    def __enter__(self) -> "Contents":
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self.handle)
        for other in self.others.values():
            os.close(other.handle)

    def beside(self, location: str) -> "Contents":
        """Open a file that this one names, and return it; it is closed with this one, and one of `others` until then.

        location: a path relative to this file's folder; what leads out of the folder, by links too, is refused.
        """
        if location not in self.others:
            parts = PurePosixPath(location).parts
            folder = os.path.realpath(self.path.parent)
            try:
                real = os.path.realpath(os.path.join(folder, location))
            except ValueError:  # a zero byte
                real = ""
            if ".." in parts or PurePosixPath(location).is_absolute() or not real.startswith(os.path.join(folder, "")):
                raise WeightsError(
                    f"names a file outside of its folder ({_printed(location)}), which is not opened. "
                    "Put that file beside it, and save it with this name alone."
                )
            try:
                self.others[location] = Contents(real)
            except WeightsError as error:
                raise WeightsError(f"{_printed(location)}, the file of its numbers: {error}") from None
        return self.others[location]

    def check(self, start: int, count: int) -> None:
        """Raise WeightsError unless there are `count` bytes at `start`."""
        if not (0 <= start <= self.size and 0 <= count <= self.size - start):
            raise Damaged(f"expected {count} bytes at offset {start}, and it has {self.size} in all")

    def bytes(self, start: int, count: int) -> bytes:
        """Return `count` bytes at `start`."""
        return self.array(start, count).tobytes()

    def array(self, start: int, count: int) -> np.ndarray:
        """Return `count` bytes at `start` as a new array: uint8 (count,)."""
        self.check(start, count)
        made = np.empty(count, np.uint8)
        self._fill(made.data, start)
        return made

    def pieces(self, start: int = 0, count: int | None = None) -> Iterator[memoryview]:
        """Yield a range of bytes in pieces, all in the same buffer."""
        count = self.size - start if count is None else count
        self.check(start, count)
        buffer = memoryview(bytearray(min(PIECE, count)))
        for first in range(start, start + count, PIECE):
            piece = buffer[: min(PIECE, start + count - first)]
            self._fill(piece, first)
            yield piece

    def _fill(self, view: memoryview, start: int) -> None:
        """Fill a buffer; the range has been checked."""
        done = 0
        while done < len(view):
            got = files.read_at(self.handle, view[done:], start + done)
            if not got:
                raise Damaged("truncated while being read")
            done += got

    def sha256(self) -> str:
        """Return the SHA-256 of the whole file."""
        total = hashlib.sha256()
        for piece in self.pieces():
            total.update(piece)
        return total.hexdigest()


def _printed(location: str) -> str:
    """Return a path from an untrusted file as a short text."""
    return ascii(location[:60])[1:-1] if not location.isprintable() else location[:60]


class Cursor:
    """A read position in a part of a file."""

    def __init__(self, contents: Contents, start: int, end: int) -> None:
        contents.check(start, end - start)
        self.contents, self.position, self.end = contents, start, end
        self._held, self._at = b"", start

    @property
    def left(self) -> int:
        """Number of bytes after the position."""
        return self.end - self.position

    def skip(self, count: int) -> int:
        """Advance without reading; return the offset of the skipped bytes."""
        if not 0 <= count <= self.left:
            raise Damaged(f"expected {count} bytes at offset {self.position}, found {self.left}")
        self.position += count
        return self.position - count

    def take(self, count: int) -> bytes:
        """Read bytes."""
        start = self.skip(count)
        first = start - self._at
        if first < 0 or first + count > len(self._held):
            self._held = self.contents.bytes(start, min(max(count, AHEAD), self.end - start))
            self._at, first = start, 0
        return self._held[first : first + count]

    def number(self, form: str) -> int:
        """Read an integer in a format of `struct`: "<I" and so on."""
        (value,) = struct.unpack(form, self.take(struct.calcsize(form)))
        return value
