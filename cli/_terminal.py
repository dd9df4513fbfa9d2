"""What a terminal has room for: lines that are chosen or wrapped so that they fit; off a terminal they stay long."""

import io
import sys
import textwrap
from collections.abc import Collection, Mapping, Sequence

GAP = 2  # columns between those of a table


def columns(stream) -> int | None:
    """Return how many columns the terminal has that a stream goes to; None where it is none, and lines may be long."""
    from rich.console import Console

    return Console(file=stream).width if stream is not None and stream.isatty() else None


def never_refuse() -> None:
    """Let stdout and stderr write what their encoding lacks as escapes, in the place of an error."""
    for stream in (sys.stdout, sys.stderr):
        if getattr(stream, "errors", None) == "strict" and isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def fitting(lines: Sequence[str]) -> str:
    """Return the first line that stderr's terminal has room for, or the last; off a terminal the first."""
    width = columns(sys.stderr)
    return next((line for line in lines if width is None or len(line) <= width), lines[-1])


def wrapped(text: str, stream) -> str:
    """Wrap the lines of a text that are longer than the terminal that a stream goes to; off a terminal none is.

    A command at the end of a wrapped line has a line of its own, which only the terminal wraps, so that it can be
    copied.
    """
    width = columns(stream)
    return text if width is None else "\n".join(_line(line, width) for line in text.split("\n"))


def _line(text: str, width: int) -> str:
    """Wrap a line at words, with a hanging indent."""
    if len(text) <= width:
        return text
    indent = " " * (len(text) - len(text.lstrip()) + 2)
    sentence, colon, command = text.partition(": cualex ")
    filled = textwrap.fill(
        sentence + colon[:1], width, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    )
    return f"{filled}\n{indent}cualex {command}" if colon else filled


def layout(
    texts: Mapping[str, Sequence[str]], whole: Collection[str], spare: Sequence[str], width: int
) -> dict[str, int]:
    """Return the widths of the columns that a table keeps on a terminal, in which no word of a cell is cut.

    texts: the cells of each column, and its name.  whole: columns that are not wrapped, the first among them; it stays.
    spare: columns that go first; after these, texts are wrapped at words, the last column first; then the last go.
    """
    full = {key: max(map(len, each)) for key, each in texts.items()}
    least = {
        key: full[key] if key in whole else max(len(word) for text in each for word in (text.split() or [""]))
        for key, each in texts.items()
    }
    left_out = too_wide(full, spare, width)
    kept = [key for key in full if key not in left_out]
    left_out = too_wide({key: least[key] for key in kept}, kept[:0:-1], width)
    widths = {key: full[key] for key in kept if key not in left_out}
    over = sum(widths.values()) + GAP * (len(widths) - 1) - width
    for key in reversed(widths):
        less = max(0, min(over, widths[key] - least[key]))
        widths[key], over = widths[key] - less, over - less
    return widths


def too_wide(widths: Mapping[str, int], spare: Sequence[str], width: int) -> list[str]:
    """Return the spare columns, the first ones, that a table has to do without to be at most `width` wide."""
    over = sum(widths.values()) + GAP * (len(widths) - 1) - width
    left_out: list[str] = []
    for key in spare:
        if over <= 0:
            break
        left_out.append(key)
        over -= widths[key] + GAP
    return left_out
