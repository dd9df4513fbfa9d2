"""Run an experiment: one training after the other, in separate directories, all resumable."""

import contextlib
import json
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cualex.data.split import Split
from cualex.errors import Diverged, OutputError, UsageError
from cualex.experiments.experiment import Trial
from cualex.experiments.metrics import Figures, Measure
from cualex.system import files
from cualex.training import autoencoder, loop
from cualex.training.finetuning import Start
from cualex.training.records import Epoch, Notice, Update
from cualex.training.run import Run, restore
from cualex.training.run.directory import CHECKPOINTS, MEASURED
from cualex.training.state import RECENT

WEIGHTS = (*CHECKPOINTS, "best.safetensors")


@dataclass(frozen=True)
class Begin:
    """A training starts or resumes: number `number` of `total`."""

    trial: Trial
    number: int
    total: int


@dataclass(frozen=True)
class Measured:
    """Result of a training.

    figures: by the measure's columns; None: never reached.  diverged: the error of a non-finite loss, or None.
    epochs, updates, seconds: of the training.  kept: read from an earlier start of the experiment.
    """

    trial: Trial
    figures: Figures
    diverged: str | None
    epochs: int
    updates: int
    seconds: float
    kept: bool = False


def directory(root: str | Path, name: str, description: dict[str, Any]) -> Path:
    """Find the directory of an experiment with the same description below `root`, to resume it, or make one.

    The names are `experiment-NAME`, `experiment-NAME-2`, ...
    """
    root, number = Run.prepare(root), 1
    description = _current(description)
    while True:
        path = root / (f"experiment-{name}" if number == 1 else f"experiment-{name}-{number}")
        about = path / "experiment.json"
        try:
            path.mkdir(exist_ok=True)
            if not about.exists():
                files.replace_text(about, json.dumps(description, indent=2) + "\n")
            if _current(json.loads(about.read_text(encoding="utf-8"))) == description:
                return path
        except ValueError as error:
            raise OutputError(f"{about}: cannot be read ({error}). Remove {path}.") from error
        except OSError as error:
            raise files.cannot_write(path, error) from error
        number += 1


def _current(stored: dict[str, Any]) -> dict[str, Any]:
    """Return a stored description with defaults for the hyperparameters that recipes have got since then.

    So an experiment that an earlier version began goes on, and does not begin anew.
    """
    found = stored.get("recipes", {})
    try:
        recipes = {arm: restore.recipe(described).described() for arm, described in found.items()}
    except UsageError:  # of a later version
        recipes = found
    return json.loads(json.dumps({**stored, **({"recipes": recipes} if found else {})}))


def done(root: Path, trial: Trial, measure: Measure) -> Measured | None:
    """Read the result of a training, or return None if it is unfinished. root: the experiment's directory."""
    path = root / trial.name / MEASURED
    try:
        measured = Measured(trial, **json.loads(path.read_text(encoding="utf-8")), kept=True)
        if set(measured.figures) != set(measure.columns):
            raise ValueError(f"its figures are {', '.join(measured.figures) or 'none'}")
        return measured
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError) as error:
        raise OutputError(f"{path}: cannot be read ({error}). Remove {path.parent}.") from error


def run(
    trials: Sequence[Trial],
    measure: Measure,
    pack: Split,
    tested: Split,
    root: Path,
    settings: dict[str, Any],
    keep_weights: bool = False,
    save_every: float = 600.0,
    unlabelled: Split | None = None,
) -> Generator[Begin | Update | Epoch | Notice | Measured]:
    """Train and measure all trials below the directory `root`, on a pack; `tested` are the validation images.

    settings: device, precision and compiling, keyword arguments of `Parameters`. Earlier results are read, and stopped
    trainings resume, to the same bits. After one that diverges the next starts. Weights of a finished trial are
    removed, unless `keep_weights`. unlabelled: the images for pre-training, whose labels are not read.
    """
    for number, trial in enumerate(trials, 1):
        measured = done(root, trial, measure)
        if measured is None:
            yield Begin(trial, number, len(trials))
            measured = yield from _one(trial, measure, pack, tested, root, settings, save_every, unlabelled)
            if not keep_weights:
                for name in WEIGHTS:
                    (root / trial.name / name).unlink(missing_ok=True)
        yield measured


def _one(
    trial: Trial,
    measure: Measure,
    pack: Split,
    tested: Split,
    root: Path,
    settings: dict[str, Any],
    save_every: float,
    unlabelled: Split | None,
) -> Generator[Update | Epoch | Notice, None, Measured]:
    """Train the rest of a trial, and measure it; return that as Measured."""
    run, classes = Run(root / trial.name), len(pack.classes)
    with contextlib.suppress(FileExistsError):
        run.path.mkdir()
    diverged: str | None = None
    figures: Figures = dict.fromkeys(measure.columns)
    try:
        if not run.outcome() and not (measure.reached and measure.reached(run, classes)):
            start = None
            if unlabelled is not None and trial.pretraining and not run.begun:
                start = yield from _pretrained(trial, pack, unlabelled, settings)
            own: dict[str, Any] = {"description": {}, "save_every": save_every, "start": start}
            records = loop.train(trial.recipe, pack, tested, run, **settings, **own)
            with contextlib.closing(records):
                for record in records:
                    yield record
                    if measure.reached and _logged(record) and measure.reached(run, classes):
                        break
        figures = measure.take(run, pack, {name: settings[name] for name in ("device", "precision")})
    except Diverged as error:
        diverged = str(error)
    log = run.log().records()
    taken: dict[str, Any] = {
        "figures": figures,
        "diverged": diverged,
        "epochs": sum("val_loss" in record for record in log),
        "updates": log[-1]["update"] if log else 0,
        "seconds": log[-1]["time_total"] if log else 0.0,
    }
    files.replace_text(run.path / MEASURED, json.dumps(taken, indent=2) + "\n")
    return Measured(trial, **taken)


def _pretrained(
    trial: Trial, pack: Split, unlabelled: Split, settings: dict[str, Any]
) -> Generator[Notice, None, Start]:
    """Pre-train the hidden layers of a trial's network, and tell what each gives back; return where training starts."""
    own = {name: settings[name] for name in ("device", "precision")}
    work = autoencoder.start(trial.recipe, pack, unlabelled, trial.pretraining, **own)
    while True:
        try:
            learned = next(work)
        except StopIteration as end:
            return end.value
        yield Notice(f"{learned.layer} gives back {1 - learned.left:.0%} of the variance of what it reads")


def _logged(record: Update | Epoch | Notice) -> bool:
    """Return whether the log has a new line."""
    return isinstance(record, Epoch) or (isinstance(record, Update) and record.update % RECENT == 0)
