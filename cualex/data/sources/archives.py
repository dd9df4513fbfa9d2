"""List the members of a .zip or a .tar, and read them into memory; nothing is extracted.

The names inside an archive are labels: none is used as a path, so `../` in a name is harmless.
"""

import bz2
import functools
import gzip
import lzma
import os
import struct
import tarfile
import tempfile
import threading
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any, cast

from cualex.data import images
from cualex.data.sources.listing import File, Listing, listed, parents
from cualex.data.sources.spans import Descriptor, Span
from cualex.errors import DataError, ImageError
from cualex.system import amounts, cache

# Opens a compressed file for reading; what gzip, bz2 and lzma return have no common type but this.
Opener = Callable[[Any], Any]
# The suffixes of archives inside of archives or folders.
SUFFIXES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz")

_COMPRESSED: dict[bytes, Opener] = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ": lzma.open}
# What damaged archives raise, documented by the modules that read them or not.
DAMAGES = (
    *(OSError, EOFError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, NotImplementedError),
    *(tarfile.TarError, struct.error, ValueError, ArithmeticError),
)
# The compression methods of a zip that can be expanded up to a limit.
_ZIPPED = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
# A tar that expands beyond both, by ratio and in bytes, is no set of images, which are compressed already.
_GROWTH, _GROWN = 200, 2_000_000_000
# The longest header of a member, with its name and metadata, in bytes.
_HEADER = 1 << 20


def archive(path: Path) -> Listing:
    """List a zip or a tar, recognised by its first bytes. Raise DataError when it is neither, or damaged."""
    with path.open("rb") as file:
        status = os.fstat(file.fileno())
        return _listed(str(path), Span(Descriptor(file.fileno()), 0, status.st_size), f"{status.st_mtime_ns}")


def _listed(path: str, span: Span, date: str) -> Listing:
    """List an archive; path: what errors call it.  date: of the file that it is, or lies in."""
    start = span.read(6)
    span.seek(0)
    if start.startswith((b"PK\3\4", b"PK\5\6")):
        return _zip(path, span)
    return _tar(
        path, span, date, next((opener for magic, opener in _COMPRESSED.items() if start.startswith(magic)), None)
    )


def inside(path: str, name: str, date: str, span: Callable[[], Span]) -> Callable[[], Listing] | None:
    """Return what lists a file that is an archive by its suffix, None for any other; span: opens it."""
    if not name.lower().endswith(SUFFIXES):
        return None
    return lambda: _listed(f"{path}/{name}", span(), date)


def _zip(path: str, span: Span) -> Listing:
    """List a zip by its central directory."""
    try:
        source = zipfile.ZipFile(cast(IO[bytes], span))
    except DAMAGES as error:
        raise DataError(f"{path}: not a complete zip ({error}); copy or download it again") from None
    lock = threading.Lock()
    files: list[File] = []
    folders: set[str] = set()
    climbing = encrypted = 0
    for member in source.infolist():
        name = _label(member.filename.replace("\\", "/"))
        if member.flag_bits & 1:
            encrypted += 1
        elif name is None:
            climbing += 1
        elif member.is_dir():
            folders.update([*parents(name), name])
        else:
            read = functools.partial(_read_zipped, source, lock, member, name)
            stamp = f"{member.file_size} {member.CRC}"
            expand = functools.partial(_unzipped, source, member)
            files.append(File(name, stamp, read, inside(path, name, stamp, expand)))
    if encrypted and not files:
        raise DataError(f"{path}: encrypted; extract it and give the folder")
    return listed(path, "", files, folders, _notes(climbing, 0, encrypted))


def _unzipped(source: zipfile.ZipFile, member: zipfile.ZipInfo) -> Span:
    """Expand an archive inside of a zip, as a compressed tar is."""
    return expanded(lambda _: source.open(member), member.compress_size)


def _read_zipped(source: zipfile.ZipFile, lock: threading.Lock, member: zipfile.ZipInfo, name: str) -> bytes:
    _check_size(name, member.file_size)
    if member.compress_type not in _ZIPPED:
        raise ImageError(name, "compressed by an unsupported method, expected deflate: repack the zip")
    try:
        # Opening and closing change the archive's count of readers: a lost update would close it under the others.
        with lock:
            file = source.open(member)
        # Without a size it would expand everything before it checks the size in the header.
        data = file.read(max(1, member.file_size))
        with lock:
            file.close()
    except DAMAGES as error:
        raise ImageError(name, f"cannot be read from the zip ({error})") from None
    return data


def _tar(path: str, span: Span, date: str, opener: Opener | None) -> Listing:
    """List a tar by its headers.

    A compressed tar cannot be read at an offset: it is first expanded into an unlinked file in the cache directory,
    which exists until its last reader is gone.
    """
    files: list[File] = []
    folders: set[str] = set()
    climbing = special = 0
    stamp = f"{span.size} {date}"
    try:
        if opener is not None:
            span = expanded(opener, span.size, span)
        # Of a file tarfile needs only what _Headers has.
        with tarfile.open(fileobj=cast(IO[bytes], _Headers(span)), mode="r:") as members:
            for member in members:
                if members.offset <= member.offset:
                    raise tarfile.ReadError("a header points backwards")
                name = _label(member.name)
                if name is None:
                    climbing += ".." in member.name
                elif member.isdir():
                    folders.update([*parents(name), name])
                elif member.isreg() and not member.issparse():
                    part = functools.partial(span.part, member.offset_data, member.size)
                    read, dated = functools.partial(_read_at, part, name), f"{member.size} {member.mtime}"
                    files.append(File(name, dated, read, inside(path, name, date, part)))
                else:
                    special += 1
            # tarfile takes a truncated header for the end.
            span.seek(members.offset)
            end = len(span.read(512))
            if 0 < end < 512:
                raise tarfile.ReadError("the file ends inside a header")
    except DAMAGES as error:
        what = "neither a folder nor a whole .zip or .tar"
        raise DataError(f"{path}: {what} ({error}); copy or download it again") from None
    notes = _notes(climbing, special, 0)
    if end == 0:
        notes.append("the tar has no end mark: it may have been cut short")
    return listed(path, stamp, files, folders, notes)


def expanded(opener: Opener, compressed: int, source: Any = None) -> Span:
    """Expand into an unlinked file in the cache directory; compressed: bytes, which limit what it may expand to."""
    directory = cache.directory()
    try:
        file = tempfile.TemporaryFile(dir=directory)  # noqa: SIM115 (closed below; the span keeps a duplicate)
    except OSError as error:
        raise cache.refused(directory, error) from None
    with file:
        most = max(_GROWN, _GROWTH * compressed)
        with opener(source) as stream:
            while block := stream.read(1 << 20):
                _write(file, block, directory)
                if file.tell() > most:
                    raise tarfile.ReadError(f"it expands beyond {amounts.size(most)}, too large for a data set")
        return Span(Descriptor(file.fileno()), 0, file.tell())


def _write(file: IO[bytes], block: bytes, directory: Path) -> None:
    try:
        file.write(block)
        file.flush()
    except OSError as error:
        raise cache.refused(directory, error) from None


class _Headers:
    """A file for tarfile with a limit on reads: tarfile would allocate whatever length a header claims."""

    def __init__(self, file: Span) -> None:
        self.seek, self.tell, self._file = file.seek, file.tell, file

    def read(self, size: int) -> bytes:
        if not 0 <= size <= _HEADER:
            raise tarfile.ReadError(f"a header of {size} bytes")
        return self._file.read(size)


def _read_at(part: Callable[[], Span], name: str) -> bytes:
    span = part()
    _check_size(name, span.size)
    try:
        return span.read()
    except OSError as error:
        raise ImageError(name, f"cannot be read from the tar ({error.strerror or error})") from None


def _label(name: str) -> str | None:
    """Normalise a member's name; None for the archive's root, and for names that climb out with `..`."""
    parts = [part for part in name.split("/") if part not in ("", ".")]
    return None if ".." in parts else "/".join(parts) or None


def _check_size(name: str, size: int) -> None:
    if size > images.BYTES:
        raise ImageError(name, f"larger than {images.BYTES // 1_000_000} MB, too large for an image")


def _notes(climbing: int, special: int, encrypted: int) -> list[str]:
    notes = []
    if encrypted:
        notes.append(f"{encrypted} files of the archive are left out: they are encrypted")
    if climbing:
        notes.append(f"{climbing} files of the archive are left out: their names lead out of it with ..")
    if special:
        notes.append(f"{special} links or special files of the archive are left out")
    return notes
