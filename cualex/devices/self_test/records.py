"""Results of self-tests, kept in the cache: a JSON file for each type of GPU, driver and CuPy.

A file is replaced as a whole, so that any process may read it at any time; one that cannot be read counts as empty.
What two processes write at the same moment may be lost, and is then tested again.
"""

import contextlib
import hashlib
import json
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from cualex.errors import OutputError
from cualex.system import files

MOST_ENTRIES, MOST_FILES = 4096, 32


@dataclass(frozen=True)
class Record:
    """The result of a self-test: what was tested, whether it passed, why not, and when (seconds since 1970)."""

    what: str
    passed: bool
    why: str = ""
    when: float = 0.0

    @classmethod
    def now(cls, what: str, why: str) -> "Record":
        """Make the record of a test that has just ended; without a fault it passed."""
        return cls(what, not why, why, time.time())


class Records:
    """The results under some conditions: type of GPU, driver, CuPy."""

    def __init__(self, folder: Path, conditions: Mapping[str, str]) -> None:
        """Read what the folder has for these conditions."""
        self.folder, self.conditions = folder, dict(conditions)
        name = json.dumps(self.conditions, sort_keys=True)
        self.path = folder / f"{hashlib.sha256(name.encode()).hexdigest()[:24]}.json"
        self._found = _read(self.path)[1]

    def find(self, key: str) -> Record | None:
        """Return the result of a key, or None."""
        return self._found.get(key)

    def add(self, new: Mapping[str, Record]) -> None:
        """Keep results, beside those that other processes have written; in memory alone where the cache is refused."""
        merged = {**_read(self.path)[1], **self._found, **new}
        newest = sorted(merged.items(), key=lambda item: item[1].when)[-MOST_ENTRIES:]
        self._found = dict(newest)
        document = {"conditions": self.conditions, "results": {key: asdict(each) for key, each in newest}}
        with contextlib.suppress(OSError, OutputError):
            self.folder.mkdir(parents=True, exist_ok=True)
            files.replace_text(self.path, json.dumps(document, indent=1) + "\n")
            _bound(self.folder)


def every(folder: Path) -> list[tuple[dict[str, str], dict[str, Record]]]:
    """Return the conditions and the results of all files of a folder."""
    found = [_read(path) for path in sorted(folder.glob("*.json"))]
    return [each for each in found if each[1]]


def _bound(folder: Path) -> None:
    """Remove the oldest files where there are too many."""
    paths = sorted(folder.glob("*.json"), key=lambda path: path.stat().st_mtime)
    for path in paths[:-MOST_FILES]:
        path.unlink(missing_ok=True)


def _read(path: Path) -> tuple[dict[str, str], dict[str, Record]]:
    """Read a file; what is not there or is broken is empty."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        results = {str(key): Record(**each) for key, each in document["results"].items()}
        if not all(isinstance(each.when, float) and isinstance(each.passed, bool) for each in results.values()):
            return {}, {}
        return dict(document["conditions"]), results
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return {}, {}
