"""Write features, the output of a layer, as a file for other programs.

    out.npy     float32 (images, channels, rows, columns), or (images, features); the names in out.names.txt
    out.csv     a line an image: its name, then its features in the same order

Section 6.1 of the paper compares images by the last hidden layer.
"""

import csv
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np

from cualex.errors import DataError, UsageError
from cualex.system import files

Rows = Iterable[tuple[str, np.ndarray]]


def write(path: str | Path, rows: Rows, layer: str) -> tuple[int, ...]:
    """Write rows of (name, features) one by one, whole or not at all; return the shape of all together.

    The suffix determines the format. Raise UsageError for an unknown suffix, DataError when there are no rows, and
    OutputError when the path cannot be written.
    """
    fill = _writer(path)
    shape: tuple[int, ...] = ()

    def make(part: Path) -> None:
        nonlocal shape
        shape = fill(part, Path(path), rows, layer)

    files.replace(path, make)
    return shape


def check(path: str | Path) -> None:
    """Raise the errors of `write` for its path, before there are any rows."""
    _writer(path)
    files.require_writable(path)


def _writer(path: str | Path) -> Callable[[Path, Path, Rows, str], tuple[int, ...]]:
    """Return the function that writes files with that suffix."""
    known = {".npy": _npy, ".csv": _csv}
    ending = Path(path).suffix.lower()
    if ending not in known:
        raise UsageError(f"{path}: expected a name that ends in {' or '.join(known)}")
    return known[ending]


def names_beside(path: str | Path) -> Path:
    """Return the path of the list of names that goes with an .npy file."""
    return Path(path).with_suffix(".names.txt")


def _npy(part: Path, path: Path, rows: Rows, layer: str) -> tuple[int, ...]:
    """Write an .npy file; the header twice, as the number of readable images is known at the end."""
    names: list[str] = []
    shape: tuple[int, ...] = (0,)
    with part.open("wb") as file:
        for name, features in rows:
            if not names:
                shape = features.shape
                _header(file, (0, *shape))
            file.write(np.ascontiguousarray(features, "<f4").data)
            names.append(name)
        _some(len(names))
        file.seek(0)
        _header(file, (len(names), *shape))
    # The file of features is renamed after this one, so that new features are never beside old names.
    lines = (name.replace("\n", "\\n") + "\n" for name in names)
    files.replace_text(names_beside(path), "".join(lines))
    return (len(names), *shape)


def _header(file: BinaryIO, shape: tuple[int, ...]) -> None:
    np.lib.format.write_array_header_1_0(file, {"descr": "<f4", "fortran_order": False, "shape": shape})


def _csv(part: Path, path: Path, rows: Rows, layer: str) -> tuple[int, ...]:
    """Write a CSV file with nine digits, from which every float32 can be read back."""
    count = 0
    shape: tuple[int, ...] = (0,)
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
    """Return the names of the columns: fc7.0, fc7.1, ... or conv1.channel.row.column."""
    return (".".join([layer, *map(str, index)]) for index in np.ndindex(shape))


def _some(count: int) -> None:
    if not count:
        raise DataError("no image could be read, so there are no features to write")
