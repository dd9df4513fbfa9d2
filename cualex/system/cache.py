"""The cache directory, for what can be made again: packed images, expanded archives, compiled kernels."""

import os
import tempfile
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
        cache = Path(os.environ.get("XDG_CACHE_HOME") or home() / ".cache") / "cualex"
    return expanded(cache)


def home() -> Path:
    """Return the home directory; without one (no HOME, an unknown user) a directory of this user for what passes.

    Raise OutputError where another user has made that.
    """
    try:
        return Path.home()
    except RuntimeError:
        user = getattr(os, "getuid", lambda: "user")()
        path = Path(tempfile.gettempdir()) / f"cualex-{user}"
        try:
            path.mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            raise refused(path, error) from None
        if path.is_symlink() or (hasattr(os, "getuid") and path.stat().st_uid != os.getuid()):
            raise OutputError(f"{path}: belongs to another user; set CUALEX_CACHE, or HOME.") from None
        return path


def expanded(path: str | Path) -> Path:
    """Return a path with ~ for the home directory; without one as it is."""
    try:
        return Path(path).expanduser()
    except RuntimeError:
        return Path(path)


def refused(path: Path, error: OSError, details: str = "", way: str = "") -> OutputError:
    """Return the error for a cache that cannot be written, with the way to another."""
    reason = (error.strerror or str(error)) + details
    return OutputError(f"{path}: the cache cannot be written ({reason}); set CUALEX_CACHE to another directory{way}")
