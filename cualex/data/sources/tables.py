"""Read text and tables as people, Windows and Excel write them, and lists of classes.

Text is in UTF-8, UTF-16 or Windows' code page, with or without a byte-order mark; a table has commas, semicolons or
tabs, and perhaps a line before it that names the separator.
"""

import codecs
import csv
import io
from collections.abc import Iterator, Sequence

# The names of columns of classes in a header, lower case without separators; of several the first is taken.
CLASS = (
    *("classname", "classlabel", "category", "categoryname", "class", "label", "labels", "labelname", "breed"),
    *("species", "variety", "tag", "target", "diagnosis", "dx", "predictionstring", "expected", "classid", "labelid"),
    *("categoryid", "y"),
)
_CLASSES = (*CLASS, "name", "names", "classes")


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


def table(written: str, mark: str) -> Iterator[tuple[int, list[str]]]:
    """Yield (number of the line, cells) of a table, without blank lines and Excel's note on the separator."""
    rows = csv.reader(io.StringIO(written), delimiter=mark)
    for row in rows:
        cells = [each.strip() for each in row]
        if any(cells) and not cells[0].lower().startswith("sep="):
            yield rows.line_num, cells


def plain(text: str) -> str:
    """Return the letters and digits of a heading in lower case: `File_Name` and `file name` are one."""
    return "".join(letter for letter in text.lower() if letter.isalnum())


def column(named: Sequence[str], known: Sequence[str]) -> int | None:
    """Return the column of the first of the known headings that there is, or None."""
    return next((named.index(word) for word in known if word in named), None)


def cell(part: str) -> str:
    """Return a cell without blanks and quotes around it."""
    part = part.strip()
    return part[1:-1] if len(part) > 1 and part[0] == part[-1] == '"' else part


def classes(path: str, data: bytes, count: int) -> list[str] | None:
    """Read class names, one a line, or from the column of a table that names them; None for what is no text.

    count: how many are expected; one line more, with the heading of a column, is a header.
    """
    if (written := text(data)) is None:
        return None
    lines = [line.strip() for line in written.splitlines() if line.strip()]
    mark = next((mark for mark in "\t,;" if lines and mark in lines[0]), None)
    numbered = mark is not None and cell(lines[-1].split(mark)[0]).isdigit()
    if mark is None or not (numbered or path.lower().endswith((".csv", ".tsv"))):
        header = len(lines) == count + 1 and plain(lines[0]) in _CLASSES
        return [cell(line) for line in lines[header:]]
    rows = [cells for _, cells in table(written, mark)]
    named = column([plain(each) for each in rows[0]], [word for word in _CLASSES if word not in ("classid", "labelid")])
    if named is not None or (numbered and not rows[0][0].isdigit()):
        rows = rows[1:]
    chosen = named if named is not None else int(numbered)
    return [cells[chosen] for cells in rows if len(cells) > chosen]
