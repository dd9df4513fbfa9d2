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
CLASSES = (*CLASS, "name", "names", "classes")


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
