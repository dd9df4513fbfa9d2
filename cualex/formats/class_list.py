"""The class names of an imported network, from a text with a name a line or from a CSV.

    rose            class,index         0,rose
    tulip, red      tulip,1             1,tulip
                    rose,0

Of a CSV with a header the column of names is called class, name, label or the like, and the order is that of the
rows, or of a column of numbers 0, 1, ... (or 1, 2, ...), if there is one.
"""

import csv
from pathlib import Path

from cualex.errors import DataError

NAMES = ("class", "name", "label", "class_name", "classname", "class name", "category", "species", "title")
ONE_A_LINE = "Give a file with one class per line."
TABLES = {".csv": ",", ".tsv": "\t"}


def read(path: str | Path, count: int) -> list[str]:
    """Read class names in order; raise DataError unless there are `count`, as the network has."""
    try:
        text = Path(path).expanduser().read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(
            f"{path}: the list of classes cannot be read ({getattr(error, 'strerror', None) or 'it is no text'}). "
            f"{ONE_A_LINE}"
        ) from None
    separator = TABLES.get(Path(path).suffix.lower())
    listed = [line.strip() for line in text.splitlines() if line.strip()]
    if separator:
        listed = _column(path, [row for row in csv.reader(text.splitlines(), delimiter=separator) if any(row)], count)
    if len(listed) != count:
        raise DataError(f"{path}: {len(listed)} classes, expected {count}. {ONE_A_LINE}")
    return listed


def _column(path: str | Path, rows: list[list[str]], count: int) -> list[str]:
    """Return the names of a table in order."""
    rows = [[cell.strip() for cell in row] for row in rows]
    wide = max(map(len, rows), default=0)
    rows = [row + [""] * (wide - len(row)) for row in rows]
    header = [cell.lower() for cell in rows[0]] if len(rows) == count + 1 else []
    body = rows[1:] if header else rows
    columns = [[row[column] for row in body] for column in range(wide)]
    numbers = [column for column in columns if _is_order(column)]
    texts = [column for column in columns if all(column) and not _is_order(column)]
    named = [columns[header.index(name)] for name in NAMES if name in header]
    found = [column for column in named if not _is_order(column)] or texts
    if not found or (len(found) > 1 and not named):
        what = ", ".join(header) or f"{wide} columns"
        raise DataError(f"{path}: {len(rows)} rows ({what}), expected {count} classes in a column called class.")
    order = numbers[0] if numbers else None
    names = found[0]
    return names if order is None else [name for _, name in sorted(zip(map(int, order), names, strict=True))]


def _is_order(column: list[str]) -> bool:
    """Return whether cells are the numbers from 0 or 1 on, in any order."""
    if not all(cell.isascii() and cell.isdigit() and len(cell) < 7 for cell in column):
        return False
    return sorted(map(int, column)) in ([*range(len(column))], [*range(1, len(column) + 1)])
