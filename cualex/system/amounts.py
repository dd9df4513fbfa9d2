"""Amounts as texts: durations, bytes, lists of names; and whether a text can be printed."""

import sys
from collections.abc import Sequence

UNITS = ("B", "kB", "MB", "GB", "TB")


def duration(seconds: float) -> str:
    """Format a duration: 45 s, 3 min 20 s, 2 h 05 min."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02} min"
    return f"{minutes} min {seconds:02} s" if minutes else f"{seconds} s"


def size(number: float, digits: int = 2) -> str:
    """Format a number of bytes, in powers of 1000, to at least so many digits: 812 B, 244 MB, 1.9 GB."""
    power = 0
    while round(number) >= 1000 and power < len(UNITS) - 1:
        number, power = number / 1000, power + 1
    decimals = digits - len(f"{number:.0f}") if power else 0
    return f"{number:.{max(0, decimals)}f} {UNITS[power]}"


def some(names: Sequence[str], most: int = 5) -> str:
    """List the first names, and the number of the others: a, b and 3 more. Names with commas are set apart by ;."""
    between = "; " if any("," in name for name in names[:most]) else ", "
    return between.join(names[:most]) + (f" and {len(names) - most:,} more" if len(names) > most else "")


def written(text: str) -> bool:
    """Return whether stdout's encoding, such as Windows' code page, has all letters of a text."""
    try:
        text.encode(getattr(sys.stdout, "encoding", None) or "utf-8")
    except UnicodeEncodeError:
        return False
    return True
