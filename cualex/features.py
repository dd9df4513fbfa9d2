"""Features: what a layer makes of pictures, in a file that other programs read.

    out.npy     float32 (pictures, channels, rows, columns), or (pictures, features); the names in out.names.txt
    out.csv     a line a picture: its name, then its features in the same order

The last hidden layer, the network without its output layer, is what section 6.1 of the paper compares pictures by.
"""

import csv
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np

from cualex.errors import DataError, UsageError
from cualex.system import files

Rows = Iterable[tuple[str, np.ndarray]]


def write(path: str | Path, rows: Rows, layer: str) -> tuple[int, ...]:
    """Write (name, features) of each picture as they come, whole or not at all; return the shape of them all.

    The ending of the name says the format. Raise UsageError for one that is not known, DataError where there is no
    row, and OutputError where the place cannot be written.
    """
    fill = writer(path)
    shape: tuple[int, ...] = ()

    def make(part: Path) -> None:
        nonlocal shape
        shape = fill(part, Path(path), rows, layer)

    files.replace(path, make)
    return shape


def writer(path: str | Path) -> Callable[[Path, Path, Rows, str], tuple[int, ...]]:
    """Return what writes a file with that ending."""
    known = {".npy": _npy, ".csv": _csv}
    ending = Path(path).suffix.lower()
    if ending not in known:
        raise UsageError(f"{path}: expected a name that ends in {' or '.join(known)}")
    return known[ending]


def names_beside(path: str | Path) -> Path:
    """Name the file that holds the names of the pictures in an .npy file, a line each."""
    return Path(path).with_suffix(".names.txt")


def _npy(part: Path, path: Path, rows: Rows, layer: str) -> tuple[int, ...]:
    """Write the header twice: how many pictures can be read is known at the end, and NumPy leaves room for it."""
    names, shape = [], (0,)
    with part.open("wb") as file:
        for name, features in rows:
            if not names:
                shape = features.shape
                _header(file, (0, *shape))
            file.write(np.ascontiguousarray(features, "<f4").data)
            names.append(name)
        _some(names)
        file.seek(0)
        _header(file, (len(names), *shape))
    # The file of features is put in its place after this one, so that new features never stand by old names.
    lines = (name.replace("\n", "\\n") + "\n" for name in names)
    files.replace_text(names_beside(path), "".join(lines))
    return (len(names), *shape)


def _header(file, shape: tuple[int, ...]) -> None:
    np.lib.format.write_array_header_1_0(file, {"descr": "<f4", "fortran_order": False, "shape": shape})


def _csv(part: Path, path: Path, rows: Rows, layer: str) -> tuple[int, ...]:
    """Write nine digits, from which every float32 can be read back."""
    count, shape = 0, (0,)
    with part.open("w", newline="", encoding="utf-8", errors="surrogateescape") as file:
        lines = csv.writer(file, lineterminator="\n")
        for name, features in rows:
            if not count:
                shape = features.shape
                lines.writerow(["picture", *_columns(layer, shape)])
            lines.writerow([name, *(f"{number:.9g}" for number in features.ravel().tolist())])
            count += 1
        _some(count)
    return (count, *shape)


def _columns(layer: str, shape: tuple[int, ...]) -> Iterator[str]:
    """Name the columns: fc7.0, fc7.1, ... or conv1.channel.row.column."""
    return (".".join([layer, *map(str, place)]) for place in np.ndindex(shape))


def _some(rows) -> None:
    if not rows:
        raise DataError("no image could be read, so there are no features to write")
