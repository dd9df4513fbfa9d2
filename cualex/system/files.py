"""Atomic writes: to a file beside, flushed to the disk, then renamed; and sizes as people read them."""

import contextlib
import errno
import os
from collections.abc import Callable
from pathlib import Path

from cualex.errors import OutputError

PART = ".part"  # suffix of a file that is being written
UNITS = ("B", "kB", "MB", "GB", "TB")


def size(number: float, digits: int = 2) -> str:
    """Format a number of bytes, in powers of 1000, to at least so many digits: 812 B, 244 MB, 1.9 GB."""
    power = 0
    while round(number) >= 1000 and power < len(UNITS) - 1:
        number, power = number / 1000, power + 1
    decimals = digits - len(f"{number:.0f}") if power else 0
    return f"{number:.{max(0, decimals)}f} {UNITS[power]}"


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
    if os.path.exists(path) and not os.path.isfile(path):
        # Refused before the work; and a rename would replace a device by a file.
        raise OutputError(f"cannot write {path}: it is a directory or a device. Choose a file.")
    part = path.with_name(f".{path.name}.{os.getpid()}{PART}")
    try:
        write(part)
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


def replace_text(path: str | Path, text: str) -> None:
    """Replace `path` by a text, whole or not at all; file names in it that are not UTF-8 keep their bytes."""
    replace(path, lambda part: part.write_text(text, encoding="utf-8", errors="surrogateescape", newline="\n"))


def sweep(directory: str | Path) -> None:
    """Remove the partial files of killed writers from a directory; nobody may be writing there now."""
    for part in Path(directory).glob(f".*{PART}"):
        with contextlib.suppress(OSError):
            part.unlink()


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


def flush(path: Path) -> None:
    """Flush a file, or the entries of a directory, to the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
