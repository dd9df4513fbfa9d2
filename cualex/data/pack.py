"""Packs: a split decoded once and kept on disk, from which a batch is copied as fast as memory allows.

A pack is a directory in the cache: `pictures.uint8` (n, size, size, 3) and `mean.float32` (size, size, 3), both
without a header, and `index.json` with names, labels, classes, skipped images, and the covariance of train's colours.
It is written under another name and renamed when complete. The directory's name follows from the path of the data set,
so a changed set replaces its old pack.

Where there is no room for one, no_pack.py decodes in every epoch.
"""

import contextlib
import errno
import hashlib
import json
import os
import re
import shutil
import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from cualex.data import images
from cualex.data.colour_noise import Components, matrix, vector
from cualex.data.decoding import Decoded, Progress, decode_split, in_order
from cualex.data.image_kinds import DECODING, FIRST_DECODING
from cualex.data.mapped_rows import Rows
from cualex.data.sources import Image, Source
from cualex.errors import ImageError, OutputError
from cualex.system import amounts, locks
from cualex.system import cache as caches
from cualex.system.environment import cores


@dataclass(frozen=True, eq=False)
class Pack(Decoded):
    """A split on disk. images: n rows of uint8 (size, size, 3).  path: the directory."""

    images: Rows
    path: Path

    def read(self, indices: np.ndarray, out: np.ndarray) -> None:
        """Copy the images `indices` (k,) into `out`, uint8 (k, size, size, 3)."""
        self.images.read(indices, out)


def needed(source: Source, split: str, size: int) -> int:
    """Return the bytes that a pack of this split takes on disk."""
    return len(source.splits[split]) * size * size * 3


def free(cache: str | Path | None = None) -> int:
    """Return the free bytes on the disk of the cache."""
    return shutil.disk_usage(caches.directory(cache)).free


def existing(source: Source, split: str, size: int, *, cache: str | Path | None = None) -> Pack | None:
    """Open the pack of this split; return None if there is none or the source has changed since."""
    directory = _directory(source, split, size, cache)
    try:
        inode = directory.stat().st_ino
        index = json.loads((directory / "index.json").read_text("ascii"))
        if index["identity"] != _identity(source, split, size, source.decoding):
            other = _identity(source, split, size, DECODING + FIRST_DECODING - source.decoding)
            if index["identity"] != other or not _same_before(source, split, directory):
                return None
        opened = Pack(
            size=size,
            labels=np.array(index["labels"], np.int32),
            names=tuple(index["names"]),
            classes=tuple(index["classes"]),
            skipped=tuple((name, reason) for name, reason in index["skipped"]),
            noted=tuple((name, note) for name, note in index.get("noted", ())),
            **(_measures(directory, index, size) if split == "train" else _NO_MEASURES),
            images=Rows(directory / "pictures.uint8", len(index["labels"]), (size, size, 3)),
            path=directory,
        )
        # Another process may have replaced the pack in the meantime.
        return opened if directory.stat().st_ino == inode else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


_NO_MEASURES: dict[str, Any] = dict.fromkeys(("mean", "covariance", "components"))


def _measures(directory: Path, index: dict[str, Any], size: int) -> dict[str, Any]:
    """Read mean image, covariance and components, which only train has."""
    colours = index["colours"]
    return {
        "mean": np.fromfile(directory / "mean.float32", np.float32).reshape(size, size, 3),
        "covariance": matrix(colours["covariance"]),
        "components": Components(vector(colours["variances"]), matrix(colours["directions"])),
    }


def pack(
    source: Source, split: str, size: int, *, cache: str | Path | None = None, workers: int | None = None
) -> Generator[Progress, None, Pack]:
    """Decode a split into a pack, or open the existing one: yield Progress, return the Pack.

    size: the network's stored size.  cache: see cache.directory.  workers: threads, by default one a core.

    Images that cannot be read are left out and listed in `skipped`. When another process packs the same split, wait
    for it and open its pack.

    Raise DataError when no image of the split, or none of a class of train, can be read, and OutputError when the
    cache cannot be written or is full; no partial pack is left.
    """
    opened = existing(source, split, size, cache=cache)
    if opened is not None:
        return opened
    directory = _directory(source, split, size, cache)
    try:
        directory.parent.mkdir(exist_ok=True)
        with contextlib.ExitStack() as stack:
            while (unlock := _lock(directory)) is None:
                yield Progress(0, len(source.splits[split]), 0, waiting=True)
                time.sleep(0.2)
            stack.callback(unlock)
            opened = existing(source, split, size, cache=cache)
            if opened is None:
                yield from _write(source, split, size, directory, workers)
                opened = existing(source, split, size, cache=cache)
    except OSError as error:
        room = ""
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            room = f"; {amounts.size(needed(source, split, size))} needed, {amounts.size(free(cache))} free"
        way = ", or use --no-pack if the command has it"
        raise caches.refused(directory.parent, error, room, way) from None
    if opened is None:
        raise OutputError(f"{directory}: was changed while it was being packed. Try again.")
    return opened


def _directory(source: Source, split: str, size: int, cache: str | Path | None) -> Path:
    stem = re.sub(r"[^\w.-]+", "-", Path(source.name).stem)[:40]
    key = hashlib.sha256(os.fsencode(source.name)).hexdigest()[:12]
    return caches.directory(cache) / "packs" / f"{stem}-{split}-{size}-{key}"


def _identity(source: Source, split: str, size: int, decoding: int) -> str:
    """Return what changes with the pixels of a pack: a pack of another identity is made anew."""
    return f"{source.identity} {split} {size} {decoding}"


def _same_before(source: Source, split: str, directory: Path) -> bool:
    """Return whether both versions of decoding give the same pixels for a split, so that a pack of either serves.

    All images are read for that, once: a file beside the pack's own keeps the answer.
    """
    kept = directory / "same_decoding"
    if kept.exists():
        return True

    def same(image: Image) -> bool:
        try:
            return images.same_before(image.read())
        except ImageError:  # skipped in either version
            return True

    found = all(same for task in in_order(source.splits[split], cores(), same) for _, same in task)
    if found:
        with contextlib.suppress(OSError):  # a cache that is read-only is asked again
            kept.touch()
    return found


def _lock(directory: Path) -> Callable[[], None] | None:
    """Lock a pack against other processes; None while one of them has it."""
    try:
        return locks.lock(Path(f"{directory}.lock"))
    except locks.Held:
        return None


def _write(
    source: Source, split: str, size: int, directory: Path, workers: int | None
) -> Generator[Progress, None, None]:
    """Write the pack beside `directory`, then rename it. The caller holds the lock.

    An old pack is removed first, since the set has changed and two packs may not fit on the disk.
    """
    part = directory.with_name(f"{directory.name}.part")
    for old in (directory, part):
        if old.exists():
            shutil.rmtree(old)
    try:
        part.mkdir()
        # Written, not mapped: a full disk is then an exception, not the end of the process.
        with _flushed(part / "pictures.uint8") as file:
            decoded, _ = yield from decode_split(source, split, size, workers, lambda made: file.write(made.data))
        if decoded.mean is not None:
            with _flushed(part / "mean.float32") as file:
                file.write(decoded.mean.data)
        index = {
            "identity": _identity(source, split, size, source.decoding),
            "source": source.name,
            "classes": decoded.classes,
            "skipped": decoded.skipped,
            "noted": decoded.noted,
            "labels": decoded.labels.tolist(),
            "names": decoded.names,
            "colours": decoded.components and {"covariance": decoded.covariance, **vars(decoded.components)},
        }
        with _flushed(part / "index.json") as file:
            file.write(json.dumps(index).encode("ascii"))
        part.rename(directory)
    finally:
        shutil.rmtree(part, ignore_errors=True)


@contextlib.contextmanager
def _flushed(path: Path) -> Iterator[BinaryIO]:
    """Open a new file, and flush it to the disk at the end."""
    with open(path, "wb") as file:
        yield file
        file.flush()
        os.fsync(file.fileno())
