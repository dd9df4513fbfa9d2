"""Locks between processes: a file that one of them has locked, on any system (portalocker).

The system unlocks the file when the process ends, however that happens.
"""

import contextlib
import os
import platform
import time
from collections.abc import Callable
from pathlib import Path

PATIENCE, AGAIN = 0.2, 0.005  # seconds: until a lock counts as held by another process; between attempts


class Held(Exception):
    """Another process has the lock; `str` says which, where it is known."""


def lock(path: Path) -> Callable[[], None]:
    """Lock a file, which is made where it is missing, and write into it who has it; return what unlocks it.

    Raise Held while another process has it, OSError where the file cannot be made or locked.
    """
    until = time.monotonic() + PATIENCE  # since `is_held`, in another process, has the lock for a moment
    while (handle := _attempt(path)) is None:
        if time.monotonic() >= until:
            raise Held(_holder(path))
        time.sleep(AGAIN)
    with contextlib.suppress(OSError):  # it is locked, even if a full disk refuses the name
        os.truncate(handle, 0)
        os.lseek(handle, 0, os.SEEK_SET)
        os.write(handle, f"process {os.getpid()} on {platform.node()}\n".encode())

    def unlock() -> None:
        os.close(handle)

    return unlock


def is_held(path: Path) -> bool:
    """Return whether a process has a lock, which is not taken; a file that is missing or cannot be read has none.

    For a moment the file has a shared lock, for which `lock` waits in another process.
    """
    import portalocker

    try:
        handle = os.open(path, os.O_RDONLY)
    except OSError:
        return False
    try:
        portalocker.lock(handle, portalocker.LockFlags.SHARED | portalocker.LockFlags.NON_BLOCKING)
    except portalocker.AlreadyLocked:
        return True
    except portalocker.LockException:
        return False
    finally:
        os.close(handle)
    return False


def _attempt(path: Path) -> int | None:
    """Lock a file now, and return its handle; None where another process has it."""
    import portalocker  # here, so that what locks nothing does not need it

    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        portalocker.lock(handle, portalocker.LockFlags.EXCLUSIVE | portalocker.LockFlags.NON_BLOCKING)
        if os.path.samestat(os.fstat(handle), path.stat()):
            return handle
    except (portalocker.AlreadyLocked, FileNotFoundError):
        pass
    except portalocker.LockException as error:
        os.close(handle)
        raise error.__cause__ if isinstance(error.__cause__, OSError) else OSError(str(error)) from error
    os.close(handle)  # held, or of a file that was removed meanwhile, whose lock nobody else would meet
    return None


def _holder(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:  # on Windows nobody else reads what is locked
        return ""
