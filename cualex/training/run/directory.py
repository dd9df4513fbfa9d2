"""The directory of a run.

args.json             the recipe and the data set
env.json              machine and versions
classes.txt           the class names, in order
skipped.csv           images that could not be read, and why
log.jsonl             a line every few updates and one an epoch; fields named time_* differ from run to run
results.csv           a line an epoch, from the log
curves.png            loss and error
report.html           the training as a page: what was trained, results, mistakes
last.safetensors      the last checkpoint: weights, velocities and the state of the training
previous.safetensors  the checkpoint before; both are removed at the end, unless they are to be kept
best.safetensors      the weights with the smallest validation error
finished.json         the outcome and the verdict, written at the end of the training
run.lock              locked by the process that trains, which it names; the system unlocks it when that ends
"""

import csv
import errno
import io
import json
import os
import weakref
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from cualex import weights
from cualex.data.opening import skipped_images
from cualex.errors import OutputError, RunLocked, UsageError, WeightsError, one_line
from cualex.system import files, locks
from cualex.training.run.log import Log
from cualex.weights import Weights

CHECKPOINTS = ("previous.safetensors", "last.safetensors")  # the older first
MEASURED, FILTERS = "measured.json", "filters.npy"  # of a run in an experiment: its result, and conv1's filters
COLUMNS = {
    "epoch": "epoch",
    "time": "time_total",
    "train/loss": "loss",
    "val/loss": "val_loss",
    "metrics/accuracy_top1": "top1",
    "metrics/accuracy_top5": "top5",
    "lr": "rate",
    "img/s": "time_images_per_s",
}


class Run:
    """The directory of one training, which is given wherever a path is.

    >>> run = cualex.Run("runs/train")
    >>> run.outcome()["epochs"], run.resumable
    (3, False)
    >>> run.results()[-1]["metrics/accuracy_top1"]
    1.0
    >>> cualex.load(run).classes
    ['cat', 'dog']
    """

    def __init__(self, path: str | Path) -> None:
        """Keep the path; nothing is opened."""
        self.path = Path(path)
        self._free: weakref.finalize[[], Run] | None = None

    def __fspath__(self) -> str:
        """Return the path, so that a run can be given wherever a path can."""
        return os.fspath(self.path)

    def __repr__(self) -> str:
        return f"Run({str(self.path)!r})"

    def _repr_html_(self) -> str:
        import cualex  # whose notebook stands above this class, and is imported when Jupyter asks

        return cualex.notebook.run(self)

    @classmethod
    def create(cls, root: str | Path = "runs", name: str = "train") -> "Run":
        """Make and lock a new directory below `root`: the name, or the name with the first free number.

        mkdir is atomic, so two runs never share a directory.
        """
        number, root = 1, cls.prepare(root, name)
        try:
            while True:
                path = root / (name if number == 1 else f"{name}-{number}")
                try:
                    path.mkdir()
                    break
                except FileExistsError:
                    number += 1
        except OSError as error:
            raise files.cannot_write(root / name, error) from error
        run = cls(path)
        run.lock()
        return run

    @classmethod
    def reopen(cls, path: str | Path) -> "Run":
        """Lock a stopped run; raise RunLocked while a process trains in it."""
        run = cls(path)
        if not run.begun:
            raise UsageError(f"{path}: not a run directory, since it has no args.json. Give one in runs/.")
        run.lock()
        return run

    @staticmethod
    def prepare(root: str | Path, name: str = "train") -> Path:
        """Make the directory of runs; raise an error if no run of that name can be made there."""
        root = Path(root)
        if Path(name).name != name:
            raise UsageError(f"--name: expected one directory name, got {name!r}; --output sets where runs are saved")
        try:
            root.mkdir(parents=True, exist_ok=True)
            if not os.access(root, os.W_OK | os.X_OK):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        except OSError as error:
            raise files.cannot_write(root / name, error) from error
        return root

    @property
    def begun(self) -> bool:
        """Whether the run has args.json, so that it can be resumed."""
        return (self.path / "args.json").is_file()

    def lock(self) -> None:
        """Lock the run against other processes, until `unlock` or the end of this process."""
        if self._free:
            return
        path = self.path / "run.lock"
        try:
            self._free = weakref.finalize(self, locks.lock(path))
        except locks.Held as held:
            holder = str(held) or "another process"
            raise RunLocked(f"{self.path}: {holder} is training in it. Wait for it, or stop it.") from None
        except OSError as error:
            raise files.cannot_write(path, error) from error

    def unlock(self) -> None:
        """Unlock the run."""
        if self._free:
            self._free()
            self._free = None

    def describe(
        self,
        arguments: dict[str, Any],
        environment: dict[str, Any],
        classes: Iterable[str],
        skipped: Iterable[tuple[str, str]],
    ) -> None:
        """Write env.json, classes.txt, skipped.csv and, last, args.json, with which a run has begun."""
        files.replace_text(self.path / "env.json", json.dumps(environment, indent=2) + "\n")
        files.replace_text(self.path / "classes.txt", "".join(f"{one_line(name)}\n" for name in classes))
        if rows := list(skipped):
            text = io.StringIO()
            csv.writer(text, lineterminator="\n").writerows([("picture", "reason"), *rows])
            files.replace_text(self.path / "skipped.csv", text.getvalue())
        files.replace_text(self.path / "args.json", json.dumps(arguments, indent=2) + "\n")

    def skipped(self) -> list[tuple[str, str]]:
        """Read skipped.csv: (image, reason) of those that could not be read; [] where there were none."""
        return skipped_images(self.path)

    def arguments(self) -> dict[str, Any]:
        """Read args.json."""
        return self._read("args.json")

    def environment(self) -> dict[str, Any]:
        """Read env.json."""
        return self._read("env.json")

    def log(self) -> Log:
        """Open the log."""
        return Log(self.path / "log.jsonl")

    def write_results(self, log: Log) -> None:
        """Write results.csv from the log."""
        epochs = [record for record in log.records() if "val_loss" in record]
        rows = [",".join(f"{epoch[field]:.6g}" for field in COLUMNS.values()) for epoch in epochs]
        files.replace_text(self.path / "results.csv", "".join(f"{row}\n" for row in (",".join(COLUMNS), *rows)))

    def save_best(self, kept: Weights) -> None:
        """Write best.safetensors, whole or not at all."""
        weights.save(self.path / "best.safetensors", kept)

    def save(self, kept: Weights) -> None:
        """Write a checkpoint, whole or not at all, and keep the previous one."""
        weights.save(self._last, kept, self._previous)

    def checkpoint(self) -> Weights | None:
        """Read the last checkpoint or, if it is missing or damaged, the one before; None: there is none."""
        if not self._last.exists():
            return weights.load(self._previous) if self._previous.exists() else None
        try:
            return weights.load(self._last)
        except WeightsError:
            if not self._previous.exists():
                raise
            return weights.load(self._previous)

    @property
    def resumable(self) -> bool:
        """Whether there is a checkpoint."""
        return self._last.exists() or self._previous.exists()

    def remove_checkpoints(self) -> None:
        """Remove both checkpoints, the older first, so that a kill leaves the newer; raise OSError if one stays."""
        for path in (self._previous, self._last):
            path.unlink(missing_ok=True)

    def weights(self) -> Weights | None:
        """Read the last checkpoint or, without one, the best weights; None: there are neither."""
        if self.resumable:
            return self.checkpoint()
        best = self.path / "best.safetensors"
        return weights.load(best) if best.exists() else None

    def finish(self, outcome: dict[str, Any]) -> None:
        """Write finished.json."""
        files.replace_text(self.path / "finished.json", json.dumps(outcome, indent=2) + "\n")

    def outcome(self) -> dict[str, Any] | None:
        """Read finished.json, or return None for an unfinished run."""
        return self._read("finished.json") if (self.path / "finished.json").exists() else None

    def go_on(self) -> None:
        """Remove finished.json, as the run is resumed."""
        (self.path / "finished.json").unlink(missing_ok=True)

    def results(self) -> list[dict[str, float]]:
        """Read results.csv: a row an epoch."""
        with open(self.path / "results.csv", newline="", encoding="utf-8") as file:
            return [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]

    @property
    def _last(self) -> Path:
        return self.path / CHECKPOINTS[1]

    @property
    def _previous(self) -> Path:
        return self.path / CHECKPOINTS[0]

    def _read(self, name: str) -> Any:
        try:
            return json.loads((self.path / name).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise OutputError(f"{self.path / name}: cannot be read ({error}). Start a new run.") from error
