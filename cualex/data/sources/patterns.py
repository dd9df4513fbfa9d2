"""Patterns of several files, as shells and WebDataset write them: train-{0000..0255}.tar."""

import re
from collections.abc import Callable

from cualex.errors import DataError
from cualex.system.amounts import some

_MOST = 100_000  # files of a pattern


def several(pattern: str, exists: Callable[[str], bool]) -> list[str] | None:
    """Return the files of a pattern as a-{000..255}.tar or {train,val}.tar, or None where it has no braces.

    Raise DataError for files that are missing.
    """
    names = _braces(pattern)
    if names == [pattern]:
        return None
    if missing := [name for name in names if not exists(name)]:
        raise DataError(f"{pattern}: {len(missing):,} of {len(names):,} files are missing: {some(missing)}")
    return names


def _braces(pattern: str) -> list[str]:
    """Expand braces as a shell does: a range of numbers, with the zeros of its start, or words between commas."""
    found = re.search(r"\{(?:(\d+)\.\.(\d+)|([^{},]+(?:,[^{},]+)+))\}", pattern)
    if found is None:
        return [pattern]
    if found[3]:
        parts = found[3].split(",")
    else:
        first, last = int(found[1]), int(found[2])
        if not 0 <= last - first < _MOST:
            raise DataError(f"{pattern}: expected a range from a smaller to a larger number, of up to {_MOST:,}")
        parts = [f"{number:0{len(found[1])}}" for number in range(first, last + 1)]
    return [pattern[: found.start()] + part + rest for part in parts for rest in _braces(pattern[found.end() :])]
