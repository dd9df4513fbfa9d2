"""The class names of an imported network, from a text with a name a line or from a CSV.

    rose            class,index         0,rose
    tulip, red      tulip,1             1,tulip
                    rose,0

Of a CSV with a header the column of names is called class, name, label or the like, and the order is that of the
rows, or of a column of numbers 0, 1, ... (or 1, 2, ...), if there is one.
"""

from pathlib import Path

from cualex.data.sources import tables
from cualex.errors import DataError

ONE_A_LINE = "Give a file with one class per line."
MARKS = "\t,;"
NAMES = [word for word in tables.CLASSES if word not in ("classid", "labelid", "categoryid")]


def read(path: str | Path, count: int) -> list[str]:
    """Read class names in order; raise DataError unless there are `count`, as the network has."""
    try:
        written, reason = tables.text(Path(path).expanduser().read_bytes()), "it is no text"
    except OSError as error:
        written, reason = None, error.strerror or str(error)
    if written is None:
        raise DataError(f"{path}: the list of classes cannot be read ({reason}). {ONE_A_LINE}")
    listed = _listed(path, written, count)
    if len(listed) != count:
        raise DataError(f"{path}: {len(listed):,} classes, and the network has {count:,} outputs. {ONE_A_LINE}")
    return listed


def _listed(path: str | Path, written: str, count: int) -> list[str]:
    """Return the names of a table, or the lines of a text, where commas are part of names."""
    lines = [line.strip() for line in written.splitlines() if line.strip()]
    told = lines.pop(0)[-1] if lines and lines[0].lower().startswith("sep=") else None  # Excel's
    mark = told or next((mark for mark in MARKS if lines and mark in lines[0]), None)
    numbered = mark is not None and tables.cell(lines[-1].split(mark)[0]).isdigit()
    if numbered or Path(path).suffix.lower() in (".csv", ".tsv"):
        return _column(path, [cells for _, cells in tables.table(written, mark or ",")], count)
    header = len(lines) == count + 1 and tables.plain(lines[0]) in tables.CLASSES
    return [tables.cell(line) for line in lines[header:]]


def _column(path: str | Path, rows: list[list[str]], count: int) -> list[str]:
    """Return the names of a table in order."""
    wide = max(map(len, rows), default=0)
    rows = [row + [""] * (wide - len(row)) for row in rows]
    header = [tables.plain(cell) for cell in rows[0]] if len(rows) == count + 1 else []
    body = rows[1:] if header else rows
    columns = [[row[column] for row in body] for column in range(wide)]
    numbers = [column for column in columns if _is_order(column)]
    texts = [column for column in columns if all(column) and not _is_order(column)]
    named = [columns[header.index(name)] for name in NAMES if name in header]
    found = [column for column in named if not _is_order(column)] or texts
    if not found or (len(found) > 1 and not named):
        what = f"{len(rows):,} rows of {', '.join(map(repr, rows[0])) if header else f'{wide} columns'}"
        if len(body) != count:
            raise DataError(f"{path}: {what}, and the network has {count:,} outputs. {ONE_A_LINE}")
        raise DataError(
            f"{path}: {what}: which of them has the names of the classes? Call it class, in a first row with the names "
            "of the columns."
        )
    order = numbers[0] if numbers else None
    names = found[0]
    return names if order is None else [name for _, name in sorted(zip(map(int, order), names, strict=True))]


def _is_order(column: list[str]) -> bool:
    """Return whether cells are the numbers from 0 or 1 on, in any order."""
    if not all(cell.isascii() and cell.isdigit() and len(cell) < 7 for cell in column):
        return False
    return sorted(map(int, column)) in ([*range(len(column))], [*range(1, len(column) + 1)])
