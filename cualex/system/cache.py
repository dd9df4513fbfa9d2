"""The cache directory, for what can be made again: packed images, expanded archives, compiled kernels."""

import os
from pathlib import Path

from cualex.errors import OutputError


def directory(cache: str | Path | None = None) -> Path:
    """Make and return the cache directory: `cache`, $CUALEX_CACHE, $XDG_CACHE_HOME/cualex or ~/.cache/cualex.

    Raise OutputError when it cannot be made.
    """
    path = place(cache)
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise refused(path, error) from None
    return path.resolve()


def place(cache: str | Path | None = None) -> Path:
    """Return the cache directory without making it."""
    if cache is None:
        cache = os.environ.get("CUALEX_CACHE")
    if not cache:
        cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "cualex"
    return Path(cache).expanduser()


def refused(path: Path, error: OSError, details: str = "", way: str = "") -> OutputError:
    """Return the error for a cache that cannot be written, with the way to another."""
    reason = (error.strerror or str(error)) + details
    return OutputError(f"{path}: the cache cannot be written ({reason}); set CUALEX_CACHE to another directory{way}")
