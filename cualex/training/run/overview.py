"""What runs there are: state, settings, results, size; and what differs between some of them.

running    a process trains in it: it has the lock
finished   it came to its end, and has a verdict
stopped    it has a checkpoint, with which `cualex train --resume` continues
failed     it has neither, or its description cannot be read
"""

import contextlib
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cualex.errors import CualexError, OutputError, UsageError
from cualex.system import locks
from cualex.training.run.directory import CHECKPOINTS, COLUMNS, MEASURED, Run

DEFAULT = "runs"
MARKS = ("run.lock", *CHECKPOINTS)  # files that no other program writes: with one of them args.json may be damaged
# Of args.json: what follows from the data or from the version, or has a row of its own.
NOT_SETTINGS = ("colours", "pictures", "recipe", "split_rule", "decoding", "loss_weights")


@dataclass(frozen=True)
class Overview:
    """A run, read from its directory.

    changed: when it last wrote to its log, in seconds since 1970.  epochs: done.  planned: None where it is not known.
    best: of validation, "epoch", "top1", "top5"; None before the first.  bytes, checkpoints: of all files on disk, and
    of its checkpoints.  images: counts and digest of the data set.  results: results.csv.  problem: what cannot be
    read, or "".
    """

    path: Path
    state: str
    changed: float
    data: str
    network: str
    epochs: int
    planned: int | None
    best: dict[str, float] | None
    bytes: int
    checkpoints: int
    has_best: bool
    settings: dict[str, Any] = field(default_factory=dict, repr=False)
    images: Any = field(default=None, repr=False)
    results: list[dict[str, float]] = field(default_factory=list, repr=False)
    problem: str = ""
    described: bool = False
    measured: bool = False

    def document(self) -> dict[str, Any]:
        """Return plain values, without what --json of a list has no use for."""
        names = ("state", "changed", "data", "network", "epochs", "planned", "best", "bytes", "problem")
        return {"name": self.path.name, "run": str(self.path)} | {name: getattr(self, name) for name in names}


def runs(root: str | Path = DEFAULT) -> list[Overview]:
    """Return the runs in a directory, the one that changed last first; none where there is no directory.

    Raise UsageError for a file, OutputError for a directory that cannot be read.
    """
    root = Path(root)
    if root.exists() and not root.is_dir():
        raise UsageError(f"{root}: a file, expected a directory of runs")
    try:
        found = [read(path) for path in root.iterdir() if is_run(path)] if root.exists() else []
    except OSError as error:
        raise OutputError(f"{root}: cannot be read ({error.strerror}). Name another directory of runs.") from error
    return sorted(found, key=lambda each: (-each.changed, each.path.name))


def find(named: str | Path, root: str | Path = DEFAULT, only: bool = False) -> Path:
    """Return the directory of a run: a path or, where that is no run, a name in `root`.

    Raise UsageError where neither is a run and, with `only`, where a bare name is both.
    """
    path, inside = Path(named), Path(root) / named
    bare = os.fspath(named) == path.name  # ./train is the path, whatever `root` has
    found = [each for each in (path, inside if bare or not path.exists() else path) if is_run(each)]
    if not found:
        known = ", ".join(each.path.name for each in runs(root)[:10]) if Path(root).is_dir() else ""
        there = f" {root} has {known}." if known else " `cualex runs DIR` lists those of a directory."
        exists = path.exists() or inside.exists()
        raise UsageError(f"{named}: {'not a run' if exists else 'no such run'}.{there}")
    if only and not found[0].samefile(found[-1]):
        raise UsageError(f"{named}: two runs, {os.curdir}{os.sep}{path} and {inside}. Name one by its path.")
    return found[0]


def read(path: Path, locked: bool = False) -> Overview:
    """Read a run; what is damaged is a problem of the overview, and no error.

    locked: this process has its lock, so that it is not running.
    """
    run, problems = Run(path), list[str]()

    def tried(read: Any) -> Any:
        try:
            return read()
        except (CualexError, OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            problems.append(str(error) or type(error).__name__)
            return None

    described: dict[str, Any] = (tried(lambda: dict(run.arguments())) if run.begun else None) or {}
    outcome = tried(run.outcome)
    results = (tried(lambda: _results(run)) if (path / "results.csv").exists() else None) or []
    best = tried(lambda: best_of(outcome, results))
    recipe: dict[str, Any] = tried(lambda: dict(described.get("recipe", {}))) or {}
    settings = {name: value for name, value in described.items() if name not in NOT_SETTINGS} | recipe
    sizes = [size for file in path.rglob("*") if (size := _size(file)) is not None]
    held = not locked and locks.is_held(path / "run.lock")
    state = "running" if held else "finished" if outcome else "stopped" if run.resumable and described else "failed"
    return Overview(
        path,
        state,
        max(_changed(path / name) for name in ("log.jsonl", "args.json")) or _changed(path),
        str(described.get("data", "")),
        str(recipe.get("network", "")),
        int(results[-1]["epoch"]) if results else 0,
        recipe.get("epochs") if isinstance(recipe.get("epochs"), int) else None,
        best,
        sum(sizes),
        sum(_size(path / name) or 0 for name in CHECKPOINTS),
        (path / "best.safetensors").exists(),
        settings,
        described.get("pictures"),
        results,
        problems[0] if problems else "",
        described=isinstance(recipe.get("network"), str),
        measured=any((path / name).exists() for name in ("finished.json", MEASURED)),
    )


def different(compared: Sequence[Overview]) -> dict[str, list[Any]]:
    """Return the settings in which runs differ: a value for each run, None where it has none."""
    names = dict.fromkeys(name for each in compared for name in each.settings)
    values = {name: [each.settings.get(name) for each in compared] for name in names}
    return {name: each for name, each in values.items() if any(value != each[0] for value in each)}


def same_images(compared: Sequence[Overview]) -> bool:
    """Return whether runs were trained and validated on the same images."""
    return len({json.dumps(each.images, sort_keys=True) for each in compared}) == 1


def is_run(path: Path) -> bool:
    """Return whether a directory is one of a training; other programs have an args.json too."""
    if not path.is_dir():
        return False
    if any((path / name).exists() for name in MARKS):
        return True
    try:
        recipe = json.loads((path / "args.json").read_bytes())["recipe"]
        return isinstance(recipe, dict) and "network" in recipe
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        return False


def _results(run: Run) -> list[dict[str, float]]:
    """Return results.csv; raise KeyError where a column is missing."""
    return [{name: row[name] for name in COLUMNS} for row in run.results()]


def best_of(outcome: dict[str, Any] | None, results: list[dict[str, float]]) -> dict[str, float] | None:
    """Return the best validation, epoch, top1 and top5: of the outcome, which says whose weights are kept, or of the
    epochs until now, the first of equals.
    """
    if outcome:
        return {"epoch": outcome["best_epoch"], "top1": outcome["top1"], "top5": outcome["top5"]}
    if not results:
        return None
    row = max(results, key=lambda row: row["metrics/accuracy_top1"])
    top1, top5 = (row[f"metrics/accuracy_top{k}"] for k in (1, 5))
    return {"epoch": int(row["epoch"]), "top1": top1, "top5": top5}


def _size(file: Path) -> int | None:
    """Return the bytes of a file; None for what is none, or has gone meanwhile."""
    with contextlib.suppress(OSError):
        return file.lstat().st_size if file.is_file() else None
    return None


def _changed(file: Path) -> float:
    try:
        return file.stat().st_mtime
    except OSError:
        return 0.0
