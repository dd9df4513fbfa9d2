"""Remove what runs no longer need: checkpoints, or whole runs.

A run in which a process trains is never touched. Of a directory only the files go that cualex writes there, never what
a link leads to, and the directory itself once it is empty.
"""

import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cualex.errors import CualexError, RunLocked, UsageError
from cualex.training.run import overview
from cualex.training.run.directory import CHECKPOINTS, FILTERS, MEASURED, Run
from cualex.training.run.overview import DEFAULT, Overview

DAY = 86_400.0  # seconds
LOCK = "run.lock"
SAMPLES = "samples"  # an image of each class, as `cualex train` writes them of the demo set
# What else cualex writes into the directory of a run. args.json is the last but one: a run that was removed in part is
# still known as one. The lock is the last: until then nobody resumes it.
FILES = (
    *CHECKPOINTS,
    *("best.safetensors", "log.jsonl", "results.csv", "curves.png", "report.html", MEASURED, FILTERS),
    *("finished.json", "skipped.csv", "classes.txt", "env.json", "args.json", LOCK),
)
PARTS = re.compile(r"\.(.+)\.\d+\.part")  # what killed writers leave, as `files.replace` names it
EVENTS = re.compile(r"events\.out\.tfevents\..+")  # for TensorBoard


@dataclass(frozen=True)
class Removal:
    """What is to be removed of a run: its checkpoints, or all files of cualex. bytes: that this frees."""

    run: Overview
    whole: bool
    bytes: int


@dataclass(frozen=True)
class Removed:
    """What was removed of a run.

    bytes: freed.  left: of a whole run, what stays in its directory.  kept: why all of it or the rest was not removed,
    or "".  failed: whether that is an error of the system.
    """

    removal: Removal
    bytes: int = 0
    left: tuple[Path, ...] = ()
    kept: str = ""
    failed: bool = False

    def document(self) -> dict[str, object]:
        """Return plain values."""
        what = "run" if self.removal.whole else "checkpoints"
        return {"run": str(self.removal.run.path), "removed": what, "bytes": self.bytes, "left": self.left}


def choose(
    root: str | Path = DEFAULT,
    named: Sequence[str | Path] = (),
    older: float | None = None,
    without_result: bool = False,
) -> list[Removal]:
    """Return what would be removed; nothing is yet.

    named: whole runs, with their best weights.  older: days since the last change: the checkpoints of such runs, and
    all of those that stopped or failed without best weights, and without a result of an experiment.  without_result:
    such runs whole, of any age.  Without any of these, the checkpoints of finished runs.

    Raise RunLocked for a named run in which a process trains; UsageError for a link to one, a name of two, or a
    directory whose args.json is not of cualex. All of these are left out where runs are not named.
    """
    if named:
        found = {path.resolve(): path for path in (overview.find(name, root, only=True) for name in named)}
        return [_removal(_named(path), whole=True) for path in found.values()]
    before = time.time() - (older or 0) * DAY
    removals = []
    for each in overview.runs(root):
        if each.state == "running" or each.path.is_symlink() or not each.described:
            continue
        aged = older is not None and each.changed < before
        if not each.has_best and not each.measured and (without_result or aged) and (older is None or aged):
            removals.append(_removal(each, whole=True))
        elif aged or (older is None and not without_result and each.state == "finished"):
            removals.append(_removal(each, whole=False))
    return [each for each in removals if each.whole or each.bytes]


def _named(path: Path) -> Overview:
    """Read a run that is to be removed; raise an error where it must not be."""
    found = overview.read(path)
    if path.is_symlink():
        raise UsageError(f"{path}: a link. Name the run itself, {path.resolve()}.")
    if found.state == "running":
        raise RunLocked(f"{path}: a process is training in it. Wait for it, or stop it.")
    if not found.described:
        raise UsageError(f"{path}: expected an args.json of cualex, which names a network. Remove the files yourself.")
    return found


def _removal(run: Overview, whole: bool) -> Removal:
    return Removal(run, whole, sum(map(_size, _files(run.path, whole))))


def _files(path: Path, whole: bool) -> list[Path]:
    """Return the files of a run to remove, in order: without links, and without what cualex has not written."""
    found = [path / name for name in (FILES if whole else CHECKPOINTS)]
    if whole:
        made = [file for file in path.iterdir() if EVENTS.fullmatch(file.name) or _part_of(file) in FILES]
        found = [*_samples(path), *made, *found]
    return [file for file in found if file.is_file() and not file.is_symlink()]


def _size(file: Path) -> int:
    """Return the bytes of a file; none of the lock, into which this process writes its name."""
    return 0 if file.name == LOCK else file.stat().st_size


def _part_of(file: Path) -> str:
    """Return the name of the file that a partial one was to become, or ""."""
    part = PARTS.fullmatch(file.name)
    return part[1] if part else ""


def _samples(path: Path) -> list[Path]:
    """Return the samples of a run: an image named after a class."""
    directory, classes = path / SAMPLES, path / "classes.txt"
    if directory.is_symlink() or not (directory.is_dir() and classes.is_file()):
        return []
    names = {f"{name}.png" for name in classes.read_text(encoding="utf-8", errors="surrogateescape").splitlines()}
    return [file for file in directory.iterdir() if file.name in names or _part_of(file) in names]


def remove(removals: Sequence[Removal]) -> list[Removed]:
    """Remove, run by run, and return what came of each; one that fails does not end the others.

    Nothing is removed of a run that has changed since it was chosen, or in which a process trains by now.
    """
    return [_remove(removal) for removal in removals]


def _remove(removal: Removal) -> Removed:
    path = removal.run.path
    run = Run(path)
    if path.is_symlink() or not path.is_dir():
        return Removed(removal, kept="it is gone")
    try:
        run.lock()
    except RunLocked:
        return Removed(removal, kept="a process trains in it")
    except CualexError as error:
        return Removed(removal, kept=str(error), failed=True)
    try:
        now = overview.read(path, locked=True)
        if _decided(now) != _decided(removal.run):
            return Removed(removal, kept=f"it has changed since it was listed, and is {now.state} now")
        return _unlink(removal)
    finally:
        run.unlock()


def _decided(run: Overview) -> tuple[object, ...]:
    """Return what the decision to remove a run, and its listing, depend on."""
    return run.state, run.changed, run.epochs, run.has_best, run.measured, run.described, run.checkpoints


def _unlink(removal: Removal) -> Removed:
    """Remove the files of a run, whose lock is held, and its directory if nothing else is in it."""
    path, freed, left = removal.run.path, 0, list[Path]()
    try:
        for file in _files(path, removal.whole):
            size = _size(file)
            file.unlink()
            freed += size
        if removal.whole:
            samples = path / SAMPLES
            if samples.is_dir() and not samples.is_symlink() and not any(samples.iterdir()):
                samples.rmdir()
            left = sorted(path.iterdir())
            if not left:
                path.resolve().rmdir()  # no system removes "."
    except OSError as error:
        why = f"{error.filename or path}: cannot be removed ({error.strerror})"
        return Removed(removal, freed, kept=why, failed=True)
    return Removed(removal, freed, tuple(left))
