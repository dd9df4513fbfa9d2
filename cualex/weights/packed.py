"""Packed weights in the cache: the CPU engine's arrays of a large weights file, mapped instead of read and reordered.

    <cache>/weights/<key>.packed      a header: shapes, offsets, checksums; then the arrays, each at a whole `PIECE`

The key is a SHA-256 of the layout's version, the digest in the weights file's header, and the file's device, inode,
size, and times of modification and of change in nanoseconds. So an entry is of a file whose digest was verified when it
was written, and that has not changed since: a write, a copy over it or `touch` gives another key, and the file is read
and verified again. For a file that changed less than `RACE` seconds ago no entry is made, as a second change could
have the same time. An entry is used when its size, its header's SHA-256 and the sums of all its pieces are right; else,
or where the cache cannot be written, weights are loaded from the file as ever. CUALEX_WEIGHTS_CACHE=0 turns it off.

Entries are replaced and removed, never truncated, since others may have them mapped.
"""

import contextlib
import hashlib
import json
import mmap
import os
import shutil
import struct
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from cualex import pretrained
from cualex.devices.placement import placement
from cualex.errors import OutputError
from cualex.networks import Network
from cualex.system import cache, files
from cualex.weights import file
from cualex.weights.file import MEAN, Weights
from cualex.weights.parameters import Parameters

LAYOUT = 1  # of the engine's order of weights and of these files: change it with either
LEAST = 32_000_000  # bytes of a weights file; smaller ones load in no time
MOST = 2_000_000_000  # bytes of all entries; the least recently used go
RACE = 2.0  # seconds
PIECE = 1 << 20  # bytes that have a sum; arrays begin at whole ones, and the holes behind small ones take no disk
SWITCH = "CUALEX_WEIGHTS_CACHE"


def load(
    path: str | Path, device: str, precision: str | None, compiling: Callable[[int, int], None] | None = None
) -> tuple[Weights, Parameters]:
    """Return a weights file and its parameters on the devices; `tensors` are empty where they came from the cache.

    Raise what `weights.load` and `Parameters` raise.
    """
    path = pretrained.located(path)
    identity = _identity(path)
    described = file.describe(path)
    network, placed = described.network, str(placement(device, described.network.towers))
    entry = None
    if identity and placed == "cpu" and precision in (None, "fp32") and os.environ.get(SWITCH) != "0":
        entry = _entry(described.digest, identity)
    if entry and (found := _read(entry, network)):
        mean = found.pop((MEAN, 0))
        parameters = Parameters(network, placed, precision=precision, arrays=found)
        return Weights(network, {}, described.classes, mean), parameters
    kept = file.load(path)
    parameters = Parameters(network, placed, precision=precision, compiling=compiling, tensors=kept.tensors)
    if entry and identity and _identity(path) == identity and _age(identity) > RACE:
        with contextlib.suppress(OSError, OutputError):
            _write(entry, {**parameters.arrays, (MEAN, 0): kept.mean})
    return kept, parameters


def _identity(path: Path) -> tuple[int, ...] | None:
    """Return what changes when a file does, the time of its last change at the end; None for a small file."""
    try:
        found = path.stat()
    except (OSError, ValueError):
        return None  # loading says why
    if found.st_size < LEAST:
        return None
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


def _age(identity: tuple[int, ...]) -> float:
    """Return the seconds since a file changed."""
    return time.time() - identity[-1] / 1e9


def _entry(digest: str, identity: tuple[int, ...]) -> Path | None:
    """Return the path of a file's entry; None where there is no place for a cache."""
    key = hashlib.sha256(json.dumps([LAYOUT, digest, *identity]).encode()).hexdigest()
    try:
        return cache.place() / "weights" / f"{key}.packed"
    except OutputError:
        return None


def _read(entry: Path, network: Network) -> dict[tuple[str, int], np.ndarray] | None:
    """Map an entry; None where there is none that is whole."""
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError, struct.error), entry.open("rb") as opened:
        length, sha256 = struct.unpack("<Q32s", opened.read(40))
        text = opened.read(length if length < PIECE else 0)
        if hashlib.sha256(text).digest() != sha256:
            return None
        header = json.loads(text)
        if os.fstat(opened.fileno()).st_size != header["size"]:
            return None
        # A private copy of what is written, so that a caller's update stays in its own memory.
        mapped = mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_COPY)
        if _sums(np.frombuffer(mapped, "<u8", offset=header["begin"])) != header["sums"]:
            return None
        found = {
            (name, 0): np.frombuffer(mapped, "<f4", int(np.prod(shape)), offset).reshape(shape)
            for name, (shape, offset) in header["arrays"].items()
        }
        if found.keys() != {(name, 0) for name in (*network.tensors(), MEAN)}:
            return None
        with contextlib.suppress(OSError):  # another user's cache
            os.utime(entry)
        return found
    return None


def _write(entry: Path, arrays: dict[tuple[str, int], np.ndarray]) -> None:
    """Write an entry, whole or not at all, and remove the least recently used ones beyond `MOST` bytes."""
    described, sums, end = {}, list[int](), PIECE
    for (name, _), array in arrays.items():
        described[name] = array.shape, end
        sums += _sums(_words(array)) + _sums(_words(array, rest=True))
        end = PIECE * (1 + len(sums))
    folder = cache.directory() / "weights"
    folder.mkdir(exist_ok=True)
    if end > MOST or shutil.disk_usage(folder).free < 2 * end:
        return
    header = {"size": end, "begin": PIECE, "sums": sums, "arrays": described}
    text = json.dumps(header).encode()
    if 40 + len(text) > PIECE:
        return  # a network of thousands of layers
    part = entry.with_name(f".{entry.name}.{os.getpid()}{files.PART}")
    try:
        with part.open("wb") as opened:
            opened.write(struct.pack("<Q32s", len(text), hashlib.sha256(text).digest()) + text)
            for (name, _), array in arrays.items():
                opened.seek(described[name][1])
                opened.write(array.data)
            opened.truncate(end)
        # Not flushed to the disk: after a loss of power the sums tell.
        os.replace(part, entry)
    finally:
        part.unlink(missing_ok=True)
    _trim(folder)


def _words(array: np.ndarray, rest: bool = False) -> np.ndarray:
    """Return the 64-bit words of an array's whole pieces, or of the `rest` behind them, zeros added."""
    data = array.reshape(-1).view(np.uint8)
    whole = len(data) // PIECE * PIECE
    return (np.pad(data[whole:], (0, -len(data) % PIECE)) if rest else data[:whole]).view("<u8")


def _sums(words: np.ndarray) -> list[int]:
    """Return the sum of each piece's 64-bit words, modulo 2**64."""
    return words.reshape(-1, PIECE // 8).sum(axis=1, dtype=np.uint64).tolist()


def _trim(folder: Path) -> None:
    total = 0
    for used, size, entry in sorted(_entries(folder), reverse=True):
        total += size
        if total > MOST or (entry.suffix == files.PART and time.time() - used > 3600):  # of a killed writer
            with contextlib.suppress(OSError):
                entry.unlink()


def _entries(folder: Path) -> Iterator[tuple[float, int, Path]]:
    for entry in folder.iterdir():
        with contextlib.suppress(OSError):
            found = entry.stat()
            yield found.st_mtime, found.st_size, entry
