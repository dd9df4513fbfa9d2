"""Values as strict JSON has them: NaN and Inf, which it lacks, become null."""

from collections.abc import Mapping


def plain(value: object) -> object:
    """Return a value made of plain ones: NumPy's values as Python's, paths as texts, NaN and Inf as None."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, float):
        return value if abs(value) < float("inf") else None  # NaN compares as false
    if isinstance(value, str):
        return _readable(value)
    return value if isinstance(value, int | None) else str(value)


def _readable(text: str) -> str:
    """Return a file's name that the system's encoding lacks (LANG=C) as the UTF-8 that it is, if so."""
    try:
        return text.encode("utf-8", "surrogateescape").decode("utf-8")
    except UnicodeError:
        return text
