"""List the members of a .zip or a .tar, and read each into memory; nothing is ever extracted.

The names inside an archive are labels and no more: none is used as a path, so `../` in a name leads nowhere.
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
from pathlib import Path

from cualex.data import images
from cualex.data.sources.listing import File, Listing, listed, parents
from cualex.errors import DataError, PictureError
from cualex.system import cache

_COMPRESSED = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ": lzma.open}
# What damaged archives bring out: named by the modules that read them, or not.
_DAMAGES = (
    *(OSError, EOFError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, NotImplementedError),
    *(tarfile.TarError, struct.error, ValueError, ArithmeticError),
)
# Of the ways to compress a zip, these can be expanded up to a limit.
_ZIPPED = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
# A tar that grows beyond both is no set of pictures, which are compressed already.
_GROWTH, _GROWN = 200, 2_000_000_000
# The longest that a member's name and notes may be.
_HEADER = 1 << 20


def archive(path: Path) -> Listing:
    """List a zip or a tar, known by its first bytes. Raise DataError when it is neither, or not whole."""
    with path.open("rb") as file:
        start = file.read(6)
    if start.startswith((b"PK\3\4", b"PK\5\6")):
        return _zip(path)
    opener = next((opener for magic, opener in _COMPRESSED.items() if start.startswith(magic)), None)
    return _tar(path, opener)


def _zip(path: Path) -> Listing:
    """List a zip by the directory at its end."""
    try:
        source = zipfile.ZipFile(path)
    except _DAMAGES as error:
        raise DataError(f"{path}: not a complete zip ({error}); copy or download it again") from None
    lock = threading.Lock()
    files, folders, climbing = [], set(), 0
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
        raise PictureError(name, "compressed by an unsupported method, expected deflate: repack the zip")
    try:
        # Opening and closing count the readers of the archive: a lost count would close it under the others.
        with lock:
            file = source.open(member)
        # Without a number it would expand all that there is before it looks at the size that was said.
        data = file.read(max(1, member.file_size))
        with lock:
            file.close()
    except _DAMAGES as error:
        raise PictureError(name, f"cannot be read from the zip ({error})") from None
    return data


def _tar(path: Path, opener) -> Listing:
    """List a tar by walking over its headers.

    The stream of a compressed one has no places to read from: it is first expanded into a file without a name
    in the cache directory, which is gone with its last reader.
    """
    files, folders, climbing, special = [], set(), 0, 0
    try:
        status = path.stat()
        with path.open("rb") if opener is None else _expanded(path, opener) as file:
            source = _Descriptor(file.fileno())
            with tarfile.open(fileobj=_Headers(file), mode="r:") as members:
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
                # tarfile takes a header that is cut short for the end.
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


def _expanded(path: Path, opener):
    place = cache.directory()
    try:
        file = tempfile.TemporaryFile(dir=place)  # noqa: SIM115 (the caller closes it)
    except OSError as error:
        raise cache.refused(place, error) from None
    try:
        most = max(_GROWN, _GROWTH * path.stat().st_size)
        with opener(path) as stream:
            while block := stream.read(1 << 20):
                _write(file, block, place)
                if file.tell() > most:
                    raise tarfile.ReadError(f"it expands beyond {most / 1e9:.3g} GB, too large for a data set")
        file.seek(0)
    except BaseException:
        file.close()
        raise
    return file


def _write(file, block: bytes, place: Path) -> None:
    try:
        file.write(block)
        file.flush()
    except OSError as error:
        raise cache.refused(place, error) from None


class _Headers:
    """Hand a file to tarfile, which would take memory for whatever length a header claims."""

    def __init__(self, file):
        self.seek, self.tell, self._file = file.seek, file.tell, file

    def read(self, size: int) -> bytes:
        if not 0 <= size <= _HEADER:
            raise tarfile.ReadError(f"a header of {size} bytes")
        return self._file.read(size)


class _Descriptor:
    """Hold a file open for os.pread, which needs no lock, until its last reader is gone."""

    def __init__(self, number: int):
        self.number = os.dup(number)
        weakref.finalize(self, os.close, self.number)


def _read_at(source: _Descriptor, name: str, offset: int, size: int) -> bytes:
    _check_size(name, size)
    try:
        return os.pread(source.number, size, offset)
    except OSError as error:
        raise PictureError(name, f"cannot be read from the tar ({error.strerror or error})") from None


def _label(name: str) -> str | None:
    """Clean a member's name: None for the archive's own root, and for one that climbs out with `..`."""
    parts = [part for part in name.split("/") if part not in ("", ".")]
    return None if ".." in parts else "/".join(parts) or None


def _check_size(name: str, size: int) -> None:
    if size > images.BYTES:
        raise PictureError(name, f"larger than {images.BYTES // 1_000_000} MB, too large for an image")


def _notes(climbing: int, special: int) -> list[str]:
    notes = []
    if climbing:
        notes.append(f"{climbing} files of the archive are left out: their names lead out of it with ..")
    if special:
        notes.append(f"{special} links or special files of the archive are left out")
    return notes
