"""Decode a split once and keep it: a pack, from which a batch is copied as fast as memory allows.

A pack is a directory in the cache: `pictures.uint8` (n, size, size, 3) and `mean.float32` (size, size, 3), both
without a header, and `index.json` with names, labels, classes, what could not be read, and how the colours of train
vary. It is written under another name and renamed when it is whole. The directory's name follows from where the set
is, so a changed set replaces its old pack.

Where there is no room for one, no_pack.py decodes each time.
"""

import contextlib
import errno
import fcntl
import hashlib
import json
import os
import re
import shutil
import time
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cualex.data.colour_noise import Components, Matrix
from cualex.data.decoding import Decoded, Progress, decode_split
from cualex.data.mapped_rows import Rows
from cualex.data.sources import Source
from cualex.errors import OutputError
from cualex.system import cache as caches

# Counts up when the same file is decoded to other pixels, or a pack is laid out otherwise: older packs are rebuilt.
RECIPE = 2


@dataclass(frozen=True, eq=False)
class Pack(Decoded):
    """A split on disk. pictures: n rows of uint8 (size, size, 3).  path: its directory."""

    pictures: Rows
    path: Path

    def read(self, indices: np.ndarray, out: np.ndarray) -> None:
        """Copy the pictures `indices` (k,) into `out`, uint8 (k, size, size, 3)."""
        self.pictures.read(indices, out)


def needed(source: Source, split: str, size: int) -> int:
    """Count the bytes that a pack of this split takes on disk."""
    return len(source.splits[split]) * size * size * 3


def free(cache: str | Path | None = None) -> int:
    """Count the bytes that are free where packs are kept."""
    return shutil.disk_usage(caches.directory(cache)).free


def existing(source: Source, split: str, size: int, *, cache: str | Path | None = None) -> Pack | None:
    """Open the pack of this split if there is one and the source has not changed since, else return None."""
    place = _place(source, split, size, cache)
    try:
        directory = place.stat().st_ino
        index = json.loads((place / "index.json").read_text("ascii"))
        if index["identity"] != _identity(source, split, size):
            return None
        held = Pack(
            size=size,
            labels=np.array(index["labels"], np.int32),
            names=tuple(index["names"]),
            classes=tuple(index["classes"]),
            skipped=tuple((name, reason) for name, reason in index["skipped"]),
            **(_measures(place, index, size) if split == "train" else _NO_MEASURES),
            pictures=Rows(place / "pictures.uint8", len(index["labels"]), (size, size, 3)),
            path=place,
        )
        # Another process may have put another pack there in the meantime.
        return held if place.stat().st_ino == directory else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


_NO_MEASURES = dict.fromkeys(("mean", "covariance", "components"))


def _measures(place: Path, index: dict, size: int) -> dict:
    """Read what is known of train alone."""
    colours = index["colours"]
    return {
        "mean": np.fromfile(place / "mean.float32", np.float32).reshape(size, size, 3),
        "covariance": _rows(colours["covariance"]),
        "components": Components(tuple(colours["variances"]), _rows(colours["directions"])),
    }


def _rows(matrix: list[list[float]]) -> Matrix:
    return tuple(tuple(row) for row in matrix)


def pack(
    source: Source, split: str, size: int, *, cache: str | Path | None = None, workers: int | None = None
) -> Generator[Progress, None, Pack]:
    """Decode a split into a pack, or open the one that is there: yield Progress, return the Pack.

    size: the network's stored size.  cache: see cache.directory.  workers: threads, by default one a core.

    A picture that cannot be read is left out and listed in `skipped`. When another process packs the same split,
    wait for it and take its pack.

    Raise DataError when no picture of the split, or none of a class of train, can be read, and OutputError when
    the cache cannot be written or is full; nothing half written stays there.
    """
    held = existing(source, split, size, cache=cache)
    if held is not None:
        return held
    place = _place(source, split, size, cache)
    try:
        place.parent.mkdir(exist_ok=True)
        with open(f"{place}.lock", "w") as lock:
            while not _locked(lock):
                yield Progress(0, len(source.splits[split]), 0, waiting=True)
                time.sleep(0.2)
            held = existing(source, split, size, cache=cache)
            if held is None:
                yield from _write(source, split, size, place, workers)
                held = existing(source, split, size, cache=cache)
    except OSError as error:
        room = ""
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            room = f"; {needed(source, split, size) / 1e9:.3g} GB needed, {free(cache) / 1e9:.3g} GB free"
        way = ", or use --no-pack if the command has it"
        raise caches.refused(place.parent, error, room, way) from None
    if held is None:
        raise OutputError(f"{place}: was changed while it was being packed. Try again.")
    return held


def _place(source: Source, split: str, size: int, cache: str | Path | None) -> Path:
    stem = re.sub(r"[^\w.-]+", "-", Path(source.name).stem)[:40]
    key = hashlib.sha256(os.fsencode(source.name)).hexdigest()[:12]
    return caches.directory(cache) / "packs" / f"{stem}-{split}-{size}-{key}"


def _identity(source: Source, split: str, size: int) -> str:
    return f"{source.identity} {split} {size} {RECIPE}"


def _locked(lock) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _write(source: Source, split: str, size: int, place: Path, workers: int | None) -> Generator[Progress, None, None]:
    """Write the pack beside its place, then put it there. The caller holds the lock.

    What was there goes first, since the set has changed and two packs may not fit.
    """
    part = place.with_name(f"{place.name}.part")
    for old in (place, part):
        if old.exists():
            shutil.rmtree(old)
    try:
        part.mkdir()
        # Written, not mapped: a full disk is then an error to report, and not the end of the process.
        with _flushed(part / "pictures.uint8") as file:
            decoded, _ = yield from decode_split(source, split, size, workers, lambda made: file.write(made.data))
        if decoded.mean is not None:
            with _flushed(part / "mean.float32") as file:
                file.write(decoded.mean.data)
        index = {
            "identity": _identity(source, split, size),
            "source": source.name,
            "classes": decoded.classes,
            "skipped": decoded.skipped,
            "labels": decoded.labels.tolist(),
            "names": decoded.names,
            "colours": decoded.components and {"covariance": decoded.covariance, **vars(decoded.components)},
        }
        with _flushed(part / "index.json") as file:
            file.write(json.dumps(index).encode("ascii"))
        part.rename(place)
    finally:
        shutil.rmtree(part, ignore_errors=True)


@contextlib.contextmanager
def _flushed(path: Path):
    """Open a new file, and have it on the disk at the end."""
    with open(path, "wb") as file:
        yield file
        file.flush()
        os.fsync(file.fileno())
