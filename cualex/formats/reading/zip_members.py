"""The files in a zip that stores them as they are: where their bytes are, and what they should sum up to."""

import struct
import zipfile
from typing import IO, cast

from cualex.errors import WeightsError
from cualex.formats.reading.contents import Contents, Damaged
from cualex.formats.reading.tensors import Sum, short

ZIP = b"PK\3\4"
PIECE = 1 << 24  # bytes that are read at once
_DAMAGES = (
    zipfile.BadZipFile,
    ValueError,
    LookupError,
    NotImplementedError,
    struct.error,
    OverflowError,
    EOFError,
)


def listing(contents: Contents) -> list[zipfile.ZipInfo]:
    """Return the entries of the zip's directory."""
    try:
        # Of a file zipfile needs only what Raw has.
        with zipfile.ZipFile(cast(IO[bytes], Raw(contents))) as archive:
            return archive.infolist()
    except _DAMAGES as error:
        raise Damaged(f"zip: {short(error)}") from None


def members(contents: Contents, listed: list[zipfile.ZipInfo] | None = None) -> dict[str, Sum]:
    """Return ranges and CRC-32 of the files in the zip; its central directory and local headers must agree."""
    members: dict[str, Sum] = {}
    for entry in listing(contents) if listed is None else listed:
        if entry.compress_type != zipfile.ZIP_STORED or entry.flag_bits & 1 or entry.file_size != entry.compress_size:
            what = f"{short(entry.filename)} is compressed"
            raise WeightsError(f"{what}, expected stored. Save it again with torch.save.")
        head = contents.bytes(entry.header_offset, 30)
        name, extra = struct.unpack("<HH", head[26:])
        called = contents.bytes(entry.header_offset + 30, name)
        if head[:4] != ZIP or called != entry.filename.encode() or entry.filename in members:
            raise Damaged(f"{short(entry.filename)} does not match the zip's directory")
        start = entry.header_offset + 30 + name + extra
        contents.check(start, entry.file_size)
        members[entry.filename] = Sum(start, entry.file_size, entry.CRC)
    end = 0
    for sum in sorted(members.values(), key=lambda sum: sum.start):
        if sum.start < end:
            raise Damaged("two of its files share bytes")
        end = sum.start + sum.count
    return members


class Raw:
    """A range of the contents as a file object for `zipfile` and h5py."""

    def __init__(self, contents: Contents, start: int = 0, count: int | None = None) -> None:
        """By default all of the file."""
        self.contents, self.start, self.position = contents, start, 0
        self.size = contents.size - start if count is None else count

    def seekable(self) -> bool:
        """Return True."""
        return True

    def seek(self, position: int, whence: int = 0) -> int:
        """Move the position; return it."""
        self.position = position + (0, self.position, self.size)[whence]
        if self.position < 0:
            raise ValueError("an offset before the file")
        return self.position

    def tell(self) -> int:
        """Return the position."""
        return self.position

    def read(self, count: int = -1) -> bytes:
        """Read bytes, to the end by default."""
        left = max(0, self.size - self.position)
        count = left if count is None or count < 0 else min(count, left)
        if count > PIECE:
            raise ValueError(f"a list of {count} bytes")
        self.position += count
        return self.contents.bytes(self.start + self.position - count, count)

    def readinto(self, buffer: memoryview) -> int:
        """Fill a buffer; return the count of bytes."""
        data = self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)
