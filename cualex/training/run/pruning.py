"""Remove what runs no longer need: checkpoints, or whole runs. A run in which a process trains is never touched."""

import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cualex.errors import OutputError, RunLocked, UsageError
from cualex.training.run import overview
from cualex.training.run.directory import Run
from cualex.training.run.overview import DEFAULT, Overview

DAY = 86_400.0  # seconds


@dataclass(frozen=True)
class Removal:
    """What is removed of a run: all of it, or its checkpoints. bytes: that this frees."""

    run: Overview
    whole: bool

    @property
    def bytes(self) -> int:
        """Bytes that are freed."""
        return self.run.bytes if self.whole else self.run.checkpoints

    def document(self) -> dict[str, object]:
        """Return plain values."""
        return {"run": str(self.run.path), "removed": "run" if self.whole else "checkpoints", "bytes": self.bytes}


def choose(
    root: str | Path = DEFAULT,
    named: Sequence[str | Path] = (),
    older: float | None = None,
    without_result: bool = False,
) -> list[Removal]:
    """Return what would be removed; nothing is yet.

    named: whole runs, with their best weights.  older: days since the last change: the checkpoints of such runs, and
    all of those that have no best weights.  without_result: whole runs without best weights.  Without any of these, the
    checkpoints of finished runs.

    Raise RunLocked for a named run in which a process trains, UsageError for a link to one; others are left out.
    """
    if named:
        chosen = [overview.read(path) for path in dict.fromkeys(overview.find(name, root) for name in named)]
        for each in chosen:
            if each.path.is_symlink():
                raise UsageError(f"{each.path}: a link. Name the run itself, {each.path.resolve()}.")
            if each.state == "running":
                raise RunLocked(f"{each.path}: a process is training in it. Wait for it, or stop it.")
        return [Removal(each, whole=True) for each in chosen]
    found = [each for each in overview.runs(root) if each.state != "running" and not each.path.is_symlink()]
    before = time.time() - (older or 0) * DAY
    removals = []
    for each in found:
        aged = older is not None and each.changed < before
        if not each.has_best and (without_result or aged) and (older is None or aged):
            removals.append(Removal(each, whole=True))
        elif each.checkpoints and (aged or (older is None and not without_result and each.state == "finished")):
            removals.append(Removal(each, whole=False))
    return removals


def remove(removals: Sequence[Removal]) -> list[Removal]:
    """Remove, run by run, and return what was removed: not what a process has begun to train in meanwhile."""
    return [removal for removal in removals if _remove(removal)]


def _remove(removal: Removal) -> bool:
    run = Run(removal.run.path)
    try:
        run.lock()
    except RunLocked:
        return False
    try:
        if not removal.whole:
            run.remove_checkpoints()
        else:
            # The lock goes last, with the directory: until then nobody resumes what is half gone.
            for file in sorted(run.path.iterdir(), key=lambda file: file.name == "run.lock"):
                if file.is_dir() and not file.is_symlink():
                    shutil.rmtree(file)
                else:
                    file.unlink()
            run.path.rmdir()
    except OSError as error:
        raise OutputError(f"{error.filename or run.path}: cannot be removed ({error.strerror}).") from error
    finally:
        run.unlock()
    return True
