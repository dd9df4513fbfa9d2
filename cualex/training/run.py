"""A run: one training, and the directory that holds all there is to know about it.

    args.json             the recipe and the data set
    env.json              machine and versions
    classes.txt           the class names, in order
    skipped.csv           pictures that could not be read, and why
    log.jsonl             a line every few updates and one an epoch; fields named time_* differ from run to run
    results.csv           a line an epoch
    curves.png            loss and error
    last.safetensors      the network where the training is, at most a minute or an epoch ago, with velocities
    best.safetensors      the network with the smallest validation error
    finished.json         the outcome; only there when the training has come to its end
"""

import csv
import errno
import io
import json
import os
from pathlib import Path

from cualex import files, weights
from cualex.errors import UsageError
from cualex.weights import Weights

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
    """Be the directory of one training."""

    def __init__(self, path: str | Path):
        """Name the directory; it is not touched."""
        self.path = Path(path)

    @classmethod
    def create(cls, root: str | Path = "runs", name: str = "train") -> "Run":
        """Make a new directory below `root`: the name, or the name with the first free number behind it.

        Making the directory and finding it free is one act of the system, so two runs never share one.
        """
        number, root = 1, cls.prepare(root, name)
        try:
            while True:
                path = root / (name if number == 1 else f"{name}-{number}")
                try:
                    path.mkdir()
                    return cls(path)
                except FileExistsError:
                    number += 1
        except OSError as error:
            raise files.cannot_write(root / name, error) from error

    @staticmethod
    def prepare(root: str | Path, name: str = "train") -> Path:
        """Make the place where runs are kept, and say now if no run of that name can be made there."""
        root = Path(root)
        if Path(name).name != name:
            raise UsageError(f"the name of a run is one word, got {name!r}; --output says where runs are kept")
        try:
            root.mkdir(parents=True, exist_ok=True)
            if not os.access(root, os.W_OK | os.X_OK):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        except OSError as error:
            raise files.cannot_write(root / name, error) from error
        return root

    def describe(self, arguments: dict, environment: dict, classes: list[str], skipped) -> None:
        """Write what is known before the first update."""
        files.replace_text(self.path / "args.json", json.dumps(arguments, indent=2) + "\n")
        files.replace_text(self.path / "env.json", json.dumps(environment, indent=2) + "\n")
        files.replace_text(self.path / "classes.txt", "".join(f"{name}\n" for name in classes))
        if skipped:
            text = io.StringIO()
            csv.writer(text, lineterminator="\n").writerows([("picture", "reason"), *skipped])
            files.replace_text(self.path / "skipped.csv", text.getvalue())

    def log(self, record: dict) -> None:
        """Append a line to the log; an epoch's goes to the table of results too."""
        self._append("log.jsonl", json.dumps(record) + "\n")
        if "val_loss" in record:
            if not (self.path / "results.csv").exists():
                self._append("results.csv", ",".join(COLUMNS) + "\n")
            row = [record[field] for field in COLUMNS.values()]
            self._append("results.csv", ",".join(f"{value:.6g}" for value in row) + "\n")

    def save(self, name: str, kept: Weights) -> Path:
        """Write a weights file of the run, whole or not at all."""
        path = self.path / f"{name}.safetensors"
        weights.save(path, kept)
        return path

    def finish(self, outcome: dict) -> None:
        """Mark the run as finished."""
        files.replace_text(self.path / "finished.json", json.dumps(outcome, indent=2) + "\n")

    def results(self) -> list[dict[str, float]]:
        """Return the table of results, a row an epoch."""
        with open(self.path / "results.csv", newline="", encoding="utf-8") as file:
            return [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]

    def _append(self, name: str, text: str) -> None:
        try:
            with open(self.path / name, "a", encoding="utf-8") as file:
                file.write(text)
        except OSError as error:
            raise files.cannot_write(self.path / name, error) from error


def newest_weights(root: str | Path = "runs") -> Path:
    """Return best.safetensors of the newest finished run below `root`; say how to get one where there is none."""
    marks = sorted(Path(root).glob("*/finished.json"), key=lambda mark: mark.stat().st_mtime_ns)
    for mark in reversed(marks):
        if (best := mark.with_name("best.safetensors")).exists():
            return best
    raise UsageError(
        f"no finished run below {Path(root)}: train one with `cualex train`, "
        "or name a weights file with --weights"
    )
