"""List the files of a folder, each with what tells a changed file from an old one."""

import functools
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from cualex.data import images
from cualex.errors import DataError


@dataclass(frozen=True, slots=True)
class File:
    """One file: its name inside ("/" between the parts), its stamp, and a call that gives its bytes.

    The stamp (size and date, or a checksum) changes when the file does. `read` raises ImageError and may be
    called by any number of threads at once.
    """

    name: str
    stamp: str
    read: Callable[[], bytes]


@dataclass(frozen=True)
class Listing:
    """What a folder or an archive holds, in the byte order of the names; empty folders are there too."""

    place: str
    stamp: str
    files: tuple[File, ...]
    folders: tuple[str, ...]
    notes: tuple[str, ...]


def order(name: str) -> bytes:
    """Order names by their bytes: the same in every country, and defined for names that are no UTF-8."""
    return name.encode("utf-8", "surrogateescape")


def listed(place: Path, stamp: str, files: list[File], folders: set[str], notes: list[str]) -> Listing:
    """Put the files in order; of two with one name the later counts, as when an archive is unpacked."""
    latest = {file.name: file for file in files}
    if len(latest) < len(files):
        notes = [*notes, f"{len(files) - len(latest)} files are there twice: the later one of each counts"]
    for name in {name.rpartition("/")[0] for name in latest} - {""}:
        folders.update([*parents(name), name])
    ordered = tuple(latest[name] for name in sorted(latest, key=order))
    return Listing(str(place), stamp, ordered, tuple(sorted(folders, key=order)), tuple(notes))


def parents(name: str) -> list[str]:
    """Name the folders above: "a/b/c.jpg" lies in "a" and "a/b"."""
    return [name[:end] for end, letter in enumerate(name) if letter == "/"]


def folder(root: Path) -> Listing:
    """List a folder and all below it, through symbolic links as well, but not in circles.

    Raise DataError when a folder cannot be read.
    """
    files, folders, notes = [], set(), []
    waiting = [("", frozenset())]
    while waiting:
        inside, above = waiting.pop()
        try:
            status = os.stat(root / inside)
            found = list(os.scandir(root / inside))
        except OSError as error:
            raise DataError(f"{root / inside}: cannot be read ({error.strerror or error})") from None
        identity = (status.st_dev, status.st_ino)
        if identity in above:
            notes.append(f"{inside} links to a folder above itself and is left out")
            continue
        folders.add(inside)
        for entry in found:
            name = f"{inside}/{entry.name}" if inside else entry.name
            if entry.is_dir():
                waiting.append((name, above | {identity}))
            else:
                files.append(File(name, _stamp(entry), functools.partial(_read, root, name)))
    return listed(root, "", files, folders - {""}, notes)


def _stamp(entry: os.DirEntry) -> str:
    try:
        status = entry.stat()
    except OSError:
        return "a link to nothing"
    return f"{status.st_size} {status.st_mtime_ns}"


def _read(root: Path, name: str) -> bytes:
    return images.read(root / name, name)
