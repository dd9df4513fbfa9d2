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
import weakref
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any, BinaryIO, cast

from cualex.data import images
from cualex.data.sources.listing import File, Listing, listed, parents
from cualex.errors import DataError, ImageError
from cualex.system import amounts, cache

# Opens a compressed file for reading; what gzip, bz2 and lzma return have no common type but this.
Opener = Callable[[Path], Any]

_COMPRESSED: dict[bytes, Opener] = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ": lzma.open}
# What damaged archives raise, documented by the modules that read them or not.
_DAMAGES = (
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
        start = file.read(6)
    if start.startswith((b"PK\3\4", b"PK\5\6")):
        return _zip(path)
    opener = next((opener for magic, opener in _COMPRESSED.items() if start.startswith(magic)), None)
    return _tar(path, opener)


def _zip(path: Path) -> Listing:
    """List a zip by its central directory."""
    try:
        source = zipfile.ZipFile(path)
    except _DAMAGES as error:
        raise DataError(f"{path}: not a complete zip ({error}); copy or download it again") from None
    lock = threading.Lock()
    files: list[File] = []
    folders: set[str] = set()
    climbing = 0
    for member in source.infolist():
        if member.flag_bits & 1:
            raise DataError(f"{path}: encrypted; extract it and give the folder")
        name = _label(member.filename.replace("\\", "/"))
        if name is None:
            climbing += 1
        elif member.is_dir():
            folders.update([*parents(name), name])
        else:
            read = functools.partial(_read_zipped, source, lock, member, name)
            files.append(File(name, f"{member.file_size} {member.CRC}", read))
    return listed(path, "", files, folders, _notes(climbing, 0))


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
    except _DAMAGES as error:
        raise ImageError(name, f"cannot be read from the zip ({error})") from None
    return data


def _tar(path: Path, opener: Opener | None) -> Listing:
    """List a tar by its headers.

    A compressed tar cannot be read at an offset: it is first expanded into an unlinked file in the cache directory,
    which exists until its last reader is gone.
    """
    files: list[File] = []
    folders: set[str] = set()
    climbing = special = 0
    try:
        status = path.stat()
        with path.open("rb") if opener is None else _expanded(path, opener) as file:
            source = _Descriptor(file.fileno())
            # Of a file tarfile needs only what _Headers has.
            with tarfile.open(fileobj=cast(IO[bytes], _Headers(file)), mode="r:") as members:
                for member in members:
                    if members.offset <= member.offset:
                        raise tarfile.ReadError("a header points backwards")
                    name = _label(member.name)
                    if name is None:
                        climbing += ".." in member.name
                    elif member.isdir():
                        folders.update([*parents(name), name])
                    elif member.isreg() and not member.issparse():
                        read = functools.partial(_read_at, source, name, member.offset_data, member.size)
                        files.append(File(name, f"{member.size} {member.mtime}", read))
                    else:
                        special += 1
                # tarfile takes a truncated header for the end.
                end = len(os.pread(source.number, 512, members.offset))
                if 0 < end < 512:
                    raise tarfile.ReadError("the file ends inside a header")
    except _DAMAGES as error:
        what = "neither a folder nor a whole .zip or .tar"
        raise DataError(f"{path}: {what} ({error}); copy or download it again") from None
    stamp = f"{status.st_size} {status.st_mtime_ns}"
    notes = _notes(climbing, special)
    if end == 0:
        notes.append("the tar has no end mark: it may have been cut short")
    return listed(path, stamp, files, folders, notes)


def _expanded(path: Path, opener: Opener) -> IO[bytes]:
    directory = cache.directory()
    try:
        file = tempfile.TemporaryFile(dir=directory)  # noqa: SIM115 (the caller closes it)
    except OSError as error:
        raise cache.refused(directory, error) from None
    try:
        most = max(_GROWN, _GROWTH * path.stat().st_size)
        with opener(path) as stream:
            while block := stream.read(1 << 20):
                _write(file, block, directory)
                if file.tell() > most:
                    raise tarfile.ReadError(f"it expands beyond {amounts.size(most)}, too large for a data set")
        file.seek(0)
    except BaseException:
        file.close()
        raise
    return file


def _write(file: IO[bytes], block: bytes, directory: Path) -> None:
    try:
        file.write(block)
        file.flush()
    except OSError as error:
        raise cache.refused(directory, error) from None


class _Headers:
    """A file for tarfile with a limit on reads: tarfile would allocate whatever length a header claims."""

    def __init__(self, file: BinaryIO | IO[bytes]) -> None:
        self.seek, self.tell, self._file = file.seek, file.tell, file

    def read(self, size: int) -> bytes:
        if not 0 <= size <= _HEADER:
            raise tarfile.ReadError(f"a header of {size} bytes")
        return self._file.read(size)


class _Descriptor:
    """A duplicate of a file descriptor, for os.pread without a lock; closed with its last reader."""

    def __init__(self, number: int) -> None:
        self.number = os.dup(number)
        weakref.finalize(self, os.close, self.number)


def _read_at(source: _Descriptor, name: str, offset: int, size: int) -> bytes:
    _check_size(name, size)
    try:
        return os.pread(source.number, size, offset)
    except OSError as error:
        raise ImageError(name, f"cannot be read from the tar ({error.strerror or error})") from None


def _label(name: str) -> str | None:
    """Normalise a member's name; None for the archive's root, and for names that climb out with `..`."""
    parts = [part for part in name.split("/") if part not in ("", ".")]
    return None if ".." in parts else "/".join(parts) or None


def _check_size(name: str, size: int) -> None:
    if size > images.BYTES:
        raise ImageError(name, f"larger than {images.BYTES // 1_000_000} MB, too large for an image")


def _notes(climbing: int, special: int) -> list[str]:
    notes = []
    if climbing:
        notes.append(f"{climbing} files of the archive are left out: their names lead out of it with ..")
    if special:
        notes.append(f"{special} links or special files of the archive are left out")
    return notes
