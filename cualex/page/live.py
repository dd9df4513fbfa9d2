"""The weights of a file or a run, read again whenever a training has saved new ones."""

import json
from pathlib import Path
from typing import Any

from cualex import weights as weights_file
from cualex.errors import UsageError
from cualex.pretrained import located
from cualex.training.run import Run
from cualex.weights import Weights

COLUMNS = ("epoch", "loss", "val_loss", "top1")  # of a record that the page plots


class Live:
    """A weights file, or the directory of a run, which may still be training."""

    def __init__(self, path: str | Path) -> None:
        """Note where the weights are; raise UsageError for a run that has none yet."""
        given = Path(path)
        self.run = given if (given / "args.json").is_file() else None
        self._given, self._stamp = given, 0
        self.loaded = 0  # the stamp of the weights that were read last
        if self.run and not self.file.is_file():
            raise UsageError(
                f"{path}: this run has no weights yet. It saves them at the end of its first epoch: try again then."
            )

    @property
    def training(self) -> bool:
        """Whether it is a run that is not finished."""
        return self.run is not None and not (self.run / "finished.json").exists()

    @property
    def file(self) -> Path:
        """The weights: those of the last checkpoint while the run is training, else its best."""
        if self.run is None:
            return Path(located(self._given))
        last = self.run / "last.safetensors"
        return last if self.training and last.exists() else self.run / "best.safetensors"

    @property
    def stamp(self) -> int:
        """A number that is another one after each save; of the last that could be seen, while a file is replaced."""
        try:
            self._stamp = self.file.stat().st_mtime_ns
        except OSError:
            return self._stamp
        return self._stamp

    def weights(self) -> Weights:
        """Read the weights."""
        stamp = self.stamp  # before they are read: a save meanwhile is seen the next time
        found = weights_file.load(self.file)
        self.loaded = stamp
        return found

    def curves(self) -> dict[str, Any] | None:
        """Return the run so far: whether it is training, the epochs planned, and a record an epoch; None for a file."""
        if self.run is None:
            return None
        records = _records(self.run / "log.jsonl")
        epochs = [{key: each.get(key) for key in COLUMNS} for each in records if "val_loss" in each]
        planned = Run(self.run).arguments().get("recipe", {}).get("epochs")
        return {"training": self.training, "epochs": epochs, "planned": planned}


def _records(path: Path) -> list[dict[str, Any]]:
    """Read a log that another process may be writing: its last line may be cut short."""
    try:
        lines = path.read_text("utf-8").splitlines()
    except OSError:
        return []
    records = []
    for line in lines:
        try:
            records.append(json.loads(line))
        except ValueError:
            break
    return records
