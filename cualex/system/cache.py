"""Where cualex keeps what it can make again: packed images, streams while they are read, compiled kernels."""

import os
from pathlib import Path

from cualex.errors import OutputError


def directory(cache: str | Path | None = None) -> Path:
    """Choose the cache directory and make it: `cache`, $CUALEX_CACHE, $XDG_CACHE_HOME/cualex or ~/.cache/cualex.

    Raise OutputError when it cannot be made.
    """
    path = place(cache)
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise refused(path, error) from None
    return path.resolve()


def place(cache: str | Path | None = None) -> Path:
    """Return the directory that `directory` would make."""
    if cache is None:
        cache = os.environ.get("CUALEX_CACHE")
    if not cache:
        cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "cualex"
    return Path(cache).expanduser()


def refused(path: Path, error: OSError, details: str = "", way: str = "") -> OutputError:
    """Say that the cache cannot be written, and how to use another."""
    reason = (error.strerror or str(error)) + details
    return OutputError(f"{path}: the cache cannot be written ({reason}); set CUALEX_CACHE to another directory{way}")
