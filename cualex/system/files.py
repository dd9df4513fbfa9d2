"""Atomic writes: to a file beside, flushed to the disk, then renamed."""

import contextlib
import errno
import os
import stat
import threading
from collections.abc import Callable
from pathlib import Path

from cualex.errors import OutputError

PART = ".part"  # suffix of a file that is being written
BINARY = getattr(os, "O_BINARY", 0)  # on Windows; without it each newline would become two bytes
_seeking = threading.Lock()


def replace(
    path: str | Path,
    write: Callable[[Path], object],
    check: Callable[[Path], object] = lambda part: None,
    previous: str | Path | None = None,
) -> None:
    """Replace `path` by a new file that `write` fills, whole or not at all.

    The file is written beside `path`, flushed, passed to `check`, which raises if it is wrong, renamed, and the
    directory flushed, so that after a kill or a full disk there is the old file or the new one. With `previous` the
    old file is kept under that name; after a kill it may be the only one, and it is whole.
    Raise OutputError where `path` cannot be written.
    """
    path = Path(path)
    _require_file(path)  # before the work
    part = path.with_name(f".{path.name}.{os.getpid()}{PART}")
    try:
        part.touch()
        mode = stat.S_IMODE(part.stat().st_mode)  # as the umask has it; safetensors makes files for their owner alone
        write(part)
        if stat.S_IMODE(part.stat().st_mode) != mode:
            part.chmod(mode)
        flush(part)
        check(part)
        if previous is not None and path.exists():
            os.replace(path, previous)
        os.replace(part, path)
        flush(path.parent)
    except OSError as error:
        raise cannot_write(path, error) from error
    finally:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)


def require_writable(path: str | Path) -> None:
    """Raise OutputError where `path` cannot become a file; called before work that would be lost."""
    path = Path(path)
    _require_file(path)
    try:
        if not stat.S_ISDIR(os.stat(path.parent).st_mode):
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
        if not os.access(path.parent, os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    except OSError as error:
        raise cannot_write(path, error) from error


def _require_file(path: Path) -> None:
    """Raise OutputError for what a rename would replace by a file: a device, or a directory."""
    if os.path.exists(path) and not os.path.isfile(path):
        raise OutputError(f"cannot write {path}: it is a directory or a device. Choose a file.")


def replace_text(path: str | Path, text: str) -> None:
    """Replace `path` by a text, whole or not at all; file names in it that are not UTF-8 keep their bytes."""
    replace(path, lambda part: part.write_text(text, encoding="utf-8", errors="surrogateescape", newline="\n"))


def sweep(directory: str | Path) -> None:
    """Remove the partial files of killed writers from a directory; nobody may be writing there now."""
    for part in Path(directory).glob(f".*{PART}"):
        with contextlib.suppress(OSError):
            part.unlink()


def make_directory(path: str | Path) -> None:
    """Make a directory for output, and those above it, where they are not there; raise OutputError."""
    try:
        Path(path).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise cannot_write(path, error) from error


def cannot_write(path: str | Path, error: OSError) -> OutputError:
    """Return the error for a file that could not be written: one line with the reason and the way out."""
    ways = {
        errno.ENOSPC: "the disk is full. Free some space, or choose a path on another disk.",
        errno.EDQUOT: "the quota is used up. Free some space, or choose another path.",
        errno.EFBIG: "the file would be larger than this system allows. Choose another path.",
        errno.EACCES: "permission denied. Choose a writable path.",
        errno.EROFS: "the file system is read-only. Choose a writable path.",
        errno.ENOENT: "its directory does not exist. Create it first, or choose another path.",
        errno.ENOTDIR: "a part of the path is a file, not a directory. Choose another path.",
        errno.EEXIST: "a file of that name exists. Choose a directory.",
        errno.ENAMETOOLONG: "the name is too long. Choose a shorter one.",
    }
    way = ways.get(error.errno or 0, error.strerror or str(error))
    return OutputError(f"cannot write {path}: {way}")


def read_at(handle: int, view: memoryview, offset: int) -> int:
    """Read into a buffer from an offset of an open file, from any thread; return how many bytes, 0 at the end."""
    if hasattr(os, "preadv"):
        return os.preadv(handle, [view], offset)
    with _seeking:  # Windows
        os.lseek(handle, offset, os.SEEK_SET)
        data = os.read(handle, len(view))
    view[: len(data)] = data
    return len(data)


def bytes_at(handle: int, size: int, offset: int) -> bytes:
    """Return up to so many bytes from an offset of an open file, from any thread; none at the end."""
    if hasattr(os, "pread"):
        return os.pread(handle, size, offset)
    with _seeking:  # Windows
        os.lseek(handle, offset, os.SEEK_SET)
        return os.read(handle, size)


def write_at(handle: int, data: bytes, offset: int) -> int:
    """Write bytes at an offset of an open file, from any thread; return how many."""
    if hasattr(os, "pwrite"):
        return os.pwrite(handle, data, offset)
    with _seeking:  # Windows
        os.lseek(handle, offset, os.SEEK_SET)
        return os.write(handle, data)


def flush(path: Path) -> None:
    """Flush a file, or the entries of a directory, to the disk."""
    if os.name == "nt" and path.is_dir():
        return  # Windows opens no directory, and flushes its entries by itself
    handle = os.open(path, os.O_RDWR if os.name == "nt" else os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
