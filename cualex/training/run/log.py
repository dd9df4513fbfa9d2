"""The log of a run: a JSON object a line, of which a checkpoint knows how many bytes belong to it."""

import json
import os
from pathlib import Path

from cualex.system import files


class Log:
    """Append records to a file, and cut it back to where a checkpoint was.

    What a full disk refuses is kept in memory and goes in before the next record; half of a line never stays.
    """

    def __init__(self, path: Path):
        """Name the file; what it holds stays."""
        self.path = path
        self.size = path.stat().st_size if path.exists() else 0  # bytes, all of them whole lines
        self._waiting = b""

    def append(self, record: dict) -> None:
        """Add a line; raise OutputError where it cannot be written now, and keep it for `flush`."""
        self._waiting += json.dumps(record).encode() + b"\n"
        self._write()

    def flush(self) -> None:
        """Write what waits, and wait until all is on the disk."""
        try:
            self._write()
            if self.size:
                files.flush(self.path)
        except OSError as error:
            raise files.cannot_write(self.path, error) from error

    def cut(self, size: int) -> None:
        """Forget all but the first `size` bytes: a run that was killed wrote lines after its last checkpoint."""
        self._waiting = b""
        try:
            if self.size > size:
                os.truncate(self.path, size)
                self.size = size
        except OSError as error:
            raise files.cannot_write(self.path, error) from error

    def records(self) -> list[dict]:
        """Return the whole lines, with those that wait."""
        data = self.path.read_bytes() if self.path.exists() else b""
        return [json.loads(line) for line in (data[: self.size] + self._waiting).splitlines()]

    def _write(self) -> None:
        if not self._waiting:
            return
        try:
            # The place is said and not left to the system, so that what a full disk has cut short is overwritten.
            handle = os.open(self.path, os.O_WRONLY | os.O_CREAT, 0o666)
            try:
                written = 0
                while written < len(self._waiting):
                    written += os.pwrite(handle, self._waiting[written:], self.size + written)
            except OSError:
                os.ftruncate(handle, self.size)
                raise
            finally:
                os.close(handle)
        except OSError as error:
            raise files.cannot_write(self.path, error) from error
        self.size += written
        self._waiting = b""
