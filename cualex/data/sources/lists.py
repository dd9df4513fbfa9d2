"""Read lists of labels and of classes, as people and programs write them.

Text in UTF-8, UTF-16 or Windows' code page, with or without a byte-order mark; lines `image class`, or a table with
commas, semicolons or tabs, with or without a header. Paths of Windows, `./` and absolute paths name the image that they
end in.
"""

import codecs
import csv
import io
import re
import unicodedata
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from cualex.data.image_kinds import ENDINGS, FOREIGN
from cualex.data.sources import split_names
from cualex.errors import DataError

# The names of columns in a header, lower case without separators; of several the first is taken.
IMAGE = (
    *("image", "imageid", "imagename", "imagepath", "imagefile", "imagefilename", "filename", "filepath", "file"),
    *("path", "relativepath", "img", "imgname", "imgpath", "imgid", "fname", "picture", "photo", "id", "name"),
)
CLASS = (
    *("classname", "classlabel", "category", "categoryname", "class", "label", "labels", "labelname", "breed"),
    *("species", "variety", "tag", "target", "diagnosis", "dx", "predictionstring", "expected", "classid", "labelid"),
    *("categoryid", "y"),
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


def text(data: bytes) -> str | None:
    """Decode a text as Windows, Excel and others write it; None for what is no text."""
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return _decoded(data, "utf-16")
    if b"\0" in data:
        return None
    found = _decoded(data, "utf-8-sig")
    # Bytes of the code page are letters with accents: few among many of ASCII.
    if found is None and sum(byte < 128 for byte in data[:4096]) > 0.7 * len(data[:4096]):
        found = _decoded(data, "cp1252")
    return found


def _decoded(data: bytes, encoding: str) -> str | None:
    try:
        return data.decode(encoding)
    except UnicodeDecodeError:
        return None


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
    if (written := text(data)) is None:
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
    """Return a path of a list with "/" between the parts, without `./`, a drive or the root."""
    parts = name.replace("\\", "/").split("/")
    return "/".join(part for part in parts if part not in ("", ".", "..") and not part.endswith(":"))


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
    rows = list(_table(written, mark))
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


def _table(written: str, mark: str) -> Iterator[tuple[int, list[str]]]:
    """Yield (number of the line, cells) of a table, without blank lines and Excel's note on the separator."""
    table = csv.reader(io.StringIO(written), delimiter=mark)
    for row in table:
        cells = [cell.strip() for cell in row]
        if any(cells) and not cells[0].lower().startswith("sep="):
            yield table.line_num, cells


def _delimiter(path: str, written: str) -> str | None:
    """Return the separator of a table, or None for lines of an image, blanks and a class."""
    first = next((line for line in written.splitlines() if line.strip() and not line.lower().startswith("sep=")), "")
    mark = max("\t,;", key=first.count)
    if mark not in first:
        return None
    cell = _cell(next(csv.reader([first], delimiter=mark))[0])
    named = cell.lower().endswith((*ENDINGS, *FOREIGN)) and not _IMAGE_THEN.match(cell)
    blank = any(letter.isspace() for letter in first.strip())
    return (
        mark
        if named or not blank or mark == "\t" or path.lower().endswith((".csv", ".tsv")) or _known(first, mark)
        else None
    )


def _known(first: str, mark: str) -> bool:
    """Return whether a line is a header: it has a column of images and one of classes."""
    cells = {_plain(cell) for cell in next(csv.reader([first], delimiter=mark))}
    return bool(cells.intersection(IMAGE)) and bool(cells.intersection(CLASS))


def _header(path: str, rows: list[tuple[int, list[str]]]) -> Columns | None:
    """Return the columns that a header names; None where the first line is data."""
    number, cells = rows[0]
    named = [_plain(cell) for cell in cells]
    image, group = _column(named, IMAGE), _column(named, CLASS)
    if image is not None and group is not None and image != group:
        return Columns(image, group, _column(named, SPLIT))
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


def _plain(cell: str) -> str:
    return "".join(letter for letter in cell.lower() if letter.isalnum())


def _column(named: Sequence[str], known: Sequence[str]) -> int | None:
    return next((named.index(word) for word in known if word in named), None)


def _pair(path: str, number: int, line: str) -> tuple[str, str]:
    """Split a line behind the name of the image, which may hold blanks, or at its first blank."""
    found = _IMAGE_THEN.match(line.strip())
    parts = list(found.groups()) if found else line.strip().split(None, 1)
    parts = [_cell(part) for part in parts]
    if len(parts) < 2 or not all(parts):
        raise DataError(f"{path}, line {number}: expected `image class`, got {line.strip()[:60]!r}")
    return parts[0], parts[1]


def _cell(part: str) -> str:
    part = part.strip()
    return part[1:-1] if len(part) > 1 and part[0] == part[-1] == '"' else part


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


def classes(path: str, data: bytes) -> list[str] | None:
    """Read class names, one a line, or from the column of a table that names them; None for what is no text."""
    if (written := text(data)) is None:
        return None
    lines = [line.strip() for line in written.splitlines() if line.strip()]
    mark = next((mark for mark in "\t,;" if lines and mark in lines[0]), None)
    numbered = mark is not None and len(lines) > 1 and _cell(lines[-1].split(mark)[0]).isdigit()
    if not lines or mark is None or not (numbered or path.lower().endswith((".csv", ".tsv"))):
        header = len(lines) > 1 and _plain(lines[0]) in CLASS and path.lower().endswith((".csv", ".tsv"))
        return [_cell(line) for line in lines[header:]]
    rows = [cells for _, cells in _table(written, mark)]
    named = [_plain(cell) for cell in rows[0]]
    own = [word for word in (*CLASS, "name", "names") if word != "classid" and word != "labelid"]
    column = _column(named, own)
    if column is not None:
        rows = rows[1:]
    elif numbered:
        column, rows = 1, rows if rows[0][0].isdigit() else rows[1:]
    else:
        column = 0
    return [cells[column] for cells in rows if len(cells) > column]
