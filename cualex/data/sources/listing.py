"""List the files of a folder, with stamps that change when the files do."""

import functools
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from cualex.data import images
from cualex.errors import DataError


@dataclass(frozen=True, slots=True)
class File:
    """One file: its name inside ("/" between the parts), its stamp, and a function that reads its bytes.

    The stamp (size and date, or a checksum) changes when the file does. `read` raises ImageError and is thread-safe.
    listing: of an archive that lies inside, lists its files; None for any other file.
    """

    name: str
    stamp: str
    read: Callable[[], bytes]
    listing: "Callable[[], Listing] | None" = None


@dataclass(frozen=True)
class Listing:
    """Files and folders, empty ones too, of a folder or an archive, in the byte order of their names."""

    path: str
    stamp: str
    files: tuple[File, ...]
    folders: tuple[str, ...]
    notes: tuple[str, ...]


def order(name: str) -> bytes:
    """Return the sort key of a name, its bytes: the same in every locale, and defined for names that are not UTF-8."""
    return name.encode("utf-8", "surrogateescape")


def listed(path: str | Path, stamp: str, files: list[File], folders: set[str], notes: list[str]) -> Listing:
    """Return a Listing of the files in order; of two with one name the later counts, as when an archive is unpacked."""
    latest = {file.name: file for file in files}
    if len(latest) < len(files):
        notes = [*notes, f"{len(files) - len(latest)} files are there twice: the later one of each counts"]
    for name in {name.rpartition("/")[0] for name in latest} - {""}:
        folders.update([*parents(name), name])
    ordered = tuple(latest[name] for name in sorted(latest, key=order))
    return Listing(str(path), stamp, ordered, tuple(sorted(folders, key=order)), tuple(notes))


def parents(name: str) -> list[str]:
    """Return the folders above a name: "a" and "a/b" for "a/b/c.jpg"."""
    return [name[:end] for end, letter in enumerate(name) if letter == "/"]


def folder(root: Path, deep: bool = True) -> Listing:
    """List a folder, following symbolic links, but not in circles.

    deep: recursively.
    Raise DataError when a folder cannot be read.
    """
    files: list[File] = []
    folders: set[str] = set()
    notes: list[str] = []
    waiting: list[tuple[str, frozenset[tuple[int, int]]]] = [("", frozenset())]
    while waiting:
        inside, above = waiting.pop()
        try:
            status = os.stat(root / inside)
            entries = list(os.scandir(root / inside))
        except OSError as error:
            if not inside:
                raise DataError(f"{root}: cannot be read ({error.strerror or error})") from None
            notes.append(f"{inside} cannot be read ({error.strerror or error}) and is left out")
            continue
        identity = (status.st_dev, status.st_ino)
        if identity in above:
            notes.append(f"{inside} links to a folder above itself and is left out")
            continue
        folders.add(inside)
        for entry in entries:
            name = f"{inside}/{entry.name}" if inside else entry.name
            kind = _kind(entry)
            if kind == "folder":
                if not deep:
                    continue
                waiting.append((name, above | {identity}))
            elif kind == "special":
                notes.append(f"{name} is a pipe, socket or device and is left out")
            else:
                files.append(File(name, _stamp(entry), functools.partial(_read, root, name)))
    return listed(root, "", files, folders - {""}, notes)


def _kind(entry: os.DirEntry[str]) -> str:
    """Return "folder", "file", or "special" for what may block its reader; a link is what it leads to."""
    try:
        if entry.is_dir():
            return "folder"
        return "file" if entry.is_file() or not os.path.exists(entry.path) else "special"
    except OSError:  # a link in circles
        return "file"


def _stamp(entry: os.DirEntry[str]) -> str:
    try:
        status = entry.stat()
    except OSError:
        return "a link to nothing"
    return f"{status.st_size} {status.st_mtime_ns}"


def _read(root: Path, name: str) -> bytes:
    return images.read(root / name, name)
