"""The log of a run: a JSON object a line. A checkpoint records its length in bytes."""

import json
import os
from pathlib import Path
from typing import Any

from cualex.system import files


class Log:
    """A log file that records are appended to, and that is truncated when a run resumes.

    Records that a full disk refuses are kept in memory and written before the next; no partial line is left.
    """

    def __init__(self, path: Path) -> None:
        """Keep the path; an existing file is continued."""
        self.path = path
        self.size = path.stat().st_size if path.exists() else 0  # bytes, whole lines
        self._waiting = b""

    def append(self, record: dict[str, Any]) -> None:
        """Append a record; raise OutputError when it cannot be written now, and keep it for `flush`."""
        self._waiting += json.dumps(record).encode() + b"\n"
        self._write()

    def flush(self) -> None:
        """Write pending records, and flush the file to the disk."""
        try:
            self._write()
            if self.size:
                files.flush(self.path)
        except OSError as error:
            raise files.cannot_write(self.path, error) from error

    def cut(self, size: int) -> None:
        """Truncate to `size` bytes: a killed run wrote lines after its last checkpoint."""
        self._waiting = b""
        try:
            if self.size > size:
                os.truncate(self.path, size)
                self.size = size
        except OSError as error:
            raise files.cannot_write(self.path, error) from error

    def records(self) -> list[dict[str, Any]]:
        """Return all records, pending ones included."""
        data = self.path.read_bytes() if self.path.exists() else b""
        return [json.loads(line) for line in (data[: self.size] + self._waiting).splitlines()]

    def _write(self) -> None:
        if not self._waiting:
            return
        try:
            # At an explicit offset, so that a line that a full disk has truncated is overwritten.
            handle = os.open(self.path, os.O_WRONLY | os.O_CREAT | files.BINARY, 0o666)
            try:
                written = 0
                while written < len(self._waiting):
                    written += files.write_at(handle, self._waiting[written:], self.size + written)
            except OSError:
                os.ftruncate(handle, self.size)
                raise
            finally:
                os.close(handle)
        except OSError as error:
            raise files.cannot_write(self.path, error) from error
        self.size += written
        self._waiting = b""
