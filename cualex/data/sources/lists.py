"""Read lists of labels: lines `image class`, or a table with commas, semicolons or tabs, with or without a header.

Paths of Windows, `./` and absolute paths name the image that they end in.
"""

import csv
import re
import unicodedata
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from cualex.data.image_kinds import ENDINGS, FOREIGN
from cualex.data.sources import split_names, tables
from cualex.errors import DataError

# The names of columns in a header, lower case without separators; of several the first is taken.
IMAGE = (
    *("image", "imageid", "imagename", "imagepath", "imagefile", "imagefilename", "filename", "filepath", "file"),
    *("path", "relativepath", "img", "imgname", "imgpath", "imgid", "fname", "picture", "photo", "id", "name"),
)
SPLIT = ("split", "set", "subset", "partition", "datasplit", "usage", "dataset")

# An image, whose name may hold blanks, and its class; a class of Kaggle's ImageNet with its box.
_IMAGE_THEN = re.compile(rf'("?.+?(?:{"|".join(map(re.escape, (*ENDINGS, *FOREIGN)))})"?)\s+(\S.*)', re.IGNORECASE)
_BOXED = re.compile(r"(n\d{8})(?: -?\d+){4}")


class Columns(NamedTuple):
    """Columns of a table: of the image, of its class, and of its split, if there is one."""

    image: int
    group: int
    split: int | None


class Labels:
    """Labels of images by name: {name: (class, split or None)}, found by whatever part of the path a list gives."""

    def __init__(self, path: str, rows: dict[str, tuple[str, str | None]]) -> None:
        self.path, self.rows = path, rows
        self.split = any(split for _, split in rows.values())
        self._parts: dict[str, tuple[str, str | None] | None] = {}
        for name, label in rows.items():
            for part in (*_endings_of(name), *_endings_of(_bare(name))):
                known = self._parts.setdefault(part, label)
                if known != label:
                    self._parts[part] = None  # of several images: no label is sure

    def get(self, name: str) -> tuple[str, str | None] | None:
        """Return class and split of an image, by the longest part of its path that the list has, or None."""
        parts = [*_endings_of(name), *_endings_of(_bare(name))]
        exact = next((self.rows[part] for part in parts if part in self.rows), None)
        return exact or next((found for part in parts if (found := self._parts.get(part))), None)

    def covers(self, names: Sequence[str]) -> bool:
        """Return whether all but a few of the images are listed."""
        return bool(names) and sum(self.get(name) is not None for name in names) >= 0.9 * len(names)


def _bare(name: str) -> str:
    """Return a name without the suffix of an image: some lists leave it out."""
    stem, dot, ending = name.rpartition(".")
    return stem if dot and f".{ending.lower()}" in (*ENDINGS, *FOREIGN) else name


def _endings_of(name: str) -> list[str]:
    """Return "a/b/c.jpg", "b/c.jpg" and "c.jpg"."""
    return [name, *(name[end + 1 :] for end, letter in enumerate(name) if letter == "/")]


def parse(path: str, data: bytes) -> Labels:
    """Read a list of labels; raise DataError, with the line, for one that is none, and for an image of two classes."""
    if (written := tables.text(data)) is None:
        raise DataError(f"{path}: not a text file; expected lines `image class` in UTF-8")
    rows: dict[str, tuple[str, str | None]] = {}
    for number, name, group, split in _rows(path, written):
        name, group = normal(name), unicodedata.normalize("NFC", group)
        if rows.setdefault(name, (group, split))[0] != group:
            first = rows[name][0]
            raise DataError(f"{path}, line {number}: {name} is {group} here and {first} before; remove a line")
    _check_counted(path, rows)
    return Labels(path, rows)


def normal(name: str) -> str:
    """Return a path of a list with "/" between the parts, without `./` and the root."""
    parts = name.replace("\\", "/").split("/")
    return "/".join(part for part in parts if part not in ("", ".", ".."))


def _rows(path: str, written: str) -> Iterator[tuple[int, str, str, str | None]]:
    """Yield (number of the line, image, class, split or None)."""
    mark = _delimiter(path, written)
    if mark is None:
        lines = [(number, line) for number, line in enumerate(written.splitlines(), 1) if line.strip()]
        if lines and _known(" ".join(lines[0][1].split()), " "):
            lines = lines[1:]
        for number, line in lines:
            yield number, *_pair(path, number, line), None
        return
    rows = list(tables.table(written, mark))
    columns = _header(path, rows) if rows else None
    if columns is None:
        columns = Columns(0, 1, None)
    else:
        rows = rows[1:]
    for number, cells in rows:
        if len(cells) <= max(columns.image, columns.group) or not cells[columns.image] or not cells[columns.group]:
            raise DataError(f"{path}, line {number}: expected `image class`, got {mark.join(cells)[:60]!r}")
        split = None if columns.split is None else split_names.bare(cells[columns.split])
        # Kaggle's ImageNet gives a box behind each class: the first counts.
        boxed = _BOXED.match(cells[columns.group])
        yield number, cells[columns.image], boxed[1] if boxed else cells[columns.group], split


def _delimiter(path: str, written: str) -> str | None:
    """Return the separator of a table, or None for lines of an image, blanks and a class."""
    first = next((line for line in written.splitlines() if line.strip() and not line.lower().startswith("sep=")), "")
    mark = max("\t,;", key=first.count)
    if mark not in first:
        return None
    cell = tables.cell(next(csv.reader([first], delimiter=mark))[0])
    named = cell.lower().endswith((*ENDINGS, *FOREIGN)) and not _IMAGE_THEN.match(cell)
    blank = any(letter.isspace() for letter in first.strip())
    return (
        mark
        if named or not blank or mark == "\t" or path.lower().endswith((".csv", ".tsv")) or _known(first, mark)
        else None
    )


def _known(first: str, mark: str) -> bool:
    """Return whether a line is a header: it has a column of images and one of classes."""
    cells = {tables.plain(cell) for cell in next(csv.reader([first], delimiter=mark))}
    return bool(cells.intersection(IMAGE)) and bool(cells.intersection(tables.CLASS))


def _header(path: str, rows: list[tuple[int, list[str]]]) -> Columns | None:
    """Return the columns that a header names; None where the first line is data."""
    number, cells = rows[0]
    named = [tables.plain(cell) for cell in cells]
    image, group = tables.column(named, IMAGE), tables.column(named, tables.CLASS)
    if image is not None and group is not None and image != group:
        return Columns(image, group, tables.column(named, SPLIT))
    if len(cells) == 2:
        # A header in other words, before lines whose names have the suffix of an image.
        suffixed = [row[0].lower().endswith((*ENDINGS, *FOREIGN)) for _, row in rows]
        return Columns(0, 1, None) if suffixed[0] < all(suffixed[1:]) and len(rows) > 1 else None
    if cells[0].lower().endswith((*ENDINGS, *FOREIGN)):
        return None
    raise DataError(
        f"{path}, line {number}: no column of images and of classes, got {', '.join(cells)[:80]!r}; "
        "name two columns `image` and `class`"
    )


def _pair(path: str, number: int, line: str) -> tuple[str, str]:
    """Split a line behind the name of the image, which may hold blanks, or at its first blank."""
    found = _IMAGE_THEN.match(line.strip())
    parts = list(found.groups()) if found else line.strip().split(None, 1)
    parts = [tables.cell(part) for part in parts]
    if len(parts) < 2 or not all(parts):
        raise DataError(f"{path}, line {number}: expected `image class`, got {line.strip()[:60]!r}")
    return parts[0], parts[1]


def _check_counted(path: str, rows: dict[str, tuple[str, str | None]]) -> None:
    """Refuse ImageNet's ImageSets lists, which number the images: each would be a class of its own."""
    labels = [label for label, _ in rows.values()]
    if (
        len(rows) > 2
        and next(iter(rows)).startswith("ILSVRC2012_")
        and labels == [str(n + 1) for n in range(len(rows))]
    ):
        raise DataError(
            f"{path}: it numbers the images and names no classes; give --names LOC_val_solution.csv, "
            "the devkit's folder, or Caffe's val.txt"
        )
