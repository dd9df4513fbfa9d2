"""`cualex report`: a training as one HTML file, which needs no network, no JavaScript and no other file.

Everything is text, CSS, inline SVG and data: URIs, so no template engine is needed, only `html.escape`, and the extra
`page` is not: the file is written wherever cualex runs. What a report lacks (a data set that has gone, weights without
a run) leaves a sentence in its section. Paths are cut to their last part, so that a file that is passed on does not
tell where its author keeps images.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from cualex import pretrained
from cualex import weights as weights_file
from cualex.benchmark import problem
from cualex.data import opening
from cualex.data.opening import Packing
from cualex.data.sources import Source
from cualex.data.split import Split
from cualex.errors import CualexError
from cualex.evaluation import Evaluation, check_classes, evaluate
from cualex.explain import Explanation
from cualex.explain.explanation import explain
from cualex.model import Model
from cualex.plots.gallery import mistaken
from cualex.profiling.profile import profile
from cualex.profiling.table import Profile
from cualex.training.debugging.overfit_images import Few
from cualex.training.run import Run
from cualex.training.verdict import Verdict
from cualex.weights import Weights

NAME = "report.html"
EXPLAINED = 12  # images with heat maps
QUICK = 1000  # images that are evaluated at the end of a training
BATCH, REPEAT, SIDE, COPIED = 8, 3, 512, 2**24  # of the profile, and of its roofline, which the report does not show


@dataclass(frozen=True)
class Explained:
    """An image with its name, true and predicted class, probability of the latter, and what speaks for it."""

    name: str
    true: str
    named: str
    probability: float
    explanation: Explanation


@dataclass
class Report:
    """What a report is about: a model, its run if it is in one, and the images that it is evaluated on.

    path: of the weights file.  split: the images, `called` val, test or all; None where there are none, and `why` says
    why.  left_out: how many images of the split are not evaluated.  mode: of the profile, "train" or "infer".
    arguments, outcome, environment: args.json, finished.json and env.json of the run; {} where they are missing.
    """

    path: Path
    weights: Weights
    model: Model
    run: Run | None = None
    split: Split | None = None
    called: str = ""
    why: str = ""
    left_out: int = 0
    mode: str = "train"
    arguments: dict[str, Any] = field(default_factory=dict)
    outcome: dict[str, Any] = field(default_factory=dict)
    environment: dict[str, Any] = field(default_factory=dict)

    @cached_property
    def evaluation(self) -> Evaluation | None:
        """The evaluation of the images."""
        return None if self.split is None else evaluate(self.model, self.split)

    @cached_property
    def verdict(self) -> Verdict | None:
        """The verdict on the training; None before its end, and for old runs without one."""
        return Verdict.read(self.outcome)

    @cached_property
    def mistakes(self) -> np.ndarray:
        """Indices of the images that are classified wrongly, the most confident first."""
        return mistaken(self.evaluation) if self.evaluation else np.zeros(0, np.int64)

    @cached_property
    def explained(self) -> list[Explained]:
        """The most confident mistakes; without any the least confident images."""
        if self.split is None or self.evaluation is None:
            return []
        found = self.evaluation
        chosen = self.mistakes if len(self.mistakes) else np.argsort(found.probabilities, kind="stable")
        maps = any(layer.kind == "conv" for layer in self.model.network.layers.values())
        made, pixels = [], np.empty((1, self.split.size, self.split.size, 3), np.uint8)
        for index in chosen[:EXPLAINED].tolist():
            self.split.read(np.array([index]), pixels)
            named = int(found.named[index])
            if named < 0:
                continue
            passes, classes = self.model._passes, self.model.classes
            heat = explain(passes, classes, pixels[0], named, "grad-cam" if maps else "saliency")
            name, true = found.names[index], classes[found.labels[index]]
            made.append(Explained(name, true, classes[named], float(found.probabilities[index]), heat))
        return made

    @cached_property
    def profile(self) -> Profile:
        """A short profile of a step on random images."""
        made = problem.make(self.model.network, BATCH)
        placed, precision = str(self.model.parameters.placement), self.model.parameters.devices[0].precision
        *_, found = profile(made, self.mode, placed, REPEAT, precision=precision, side=SIDE, copied=COPIED)
        assert isinstance(found, Profile)
        return found


Opening = Callable[[Source, str, int], Split]


def read(
    named: str | Path | Run,
    data: str | Path | None = None,
    *,
    device: str = "auto",
    precision: str | None = None,
    opened: Opening | None = None,
    compiling: Callable[[int, int], None] | None = None,
) -> Report:
    """Read a run or a weights file, and find the images to evaluate.

    named: a run directory, a weights file, or "cifar10" for the bundled network.  data: a data set; by default the
    run's own.  opened: returns a split of a set at a stored size; by default it is packed without a word.

    Raise WeightsError as `cualex.load` does, and DataError for a data set that was named and cannot be read; that of
    the run may be gone.
    """
    report = _without_images(named, device, precision, compiling)
    own = str(report.arguments.get("data", ""))
    if not data and not own:
        report.why = "A weights file does not name its images: cualex report WEIGHTS FOLDER evaluates a data set."
        return report
    size, classes = report.model.network.stored, report.model.classes
    try:
        source = opening.find_evaluated(data, report.path, classes)
        split, report.called = opening.choose(source, None)
        found = opened(source, split, size) if opened else Packing().opened(source, [split], size)[split]
        check_classes(classes, found.classes)
        report.split = found
    except CualexError:
        if data:
            raise
        report.why = (
            f"The data set {shown(own)} is gone, or has changed: cualex report RUN FOLDER names one of the same "
            "classes."
        )
    return report


def quick(run: Run, split: Split, called: str, device: str, precision: str | None) -> Report:
    """Return the report of a run that has just ended, which takes a few seconds.

    Of more than `QUICK` images a random part is evaluated, and inference is profiled, which needs no second set of
    gradients and velocities.
    """
    report = _without_images(run, device, precision, None)
    report.split, report.called, report.mode = split, called, "infer"
    if len(split) > QUICK:
        report.left_out = len(split) - QUICK
        chosen = np.sort(np.random.default_rng(0).permutation(len(split))[:QUICK])
        report.split = Few(split, chosen, report.model.network.crop)
    return report


def target(named: str | Path | Run) -> Path:
    """Return where a report is written by default: into the run directory, or beside the weights file.

    That of the bundled network is written into the current directory.
    """
    path = pretrained.located(os.fspath(named))
    if path == pretrained.FILE:
        return Path(NAME)
    return path.with_name(NAME) if _in_run(path) else path.with_name(f"{path.stem}-{NAME}")


def shown(path: str | os.PathLike[str]) -> str:
    """Return the last part of a path."""
    return Path(path).name or str(path)


def _without_images(
    named: str | Path | Run, device: str, precision: str | None, compiling: Callable[[int, int], None] | None
) -> Report:
    path = pretrained.located(os.fspath(named))
    weights = weights_file.load(path)
    report = Report(path, weights, Model(weights, device, precision, compiling=compiling))
    if _in_run(path):
        report.run = run = Run(path.parent)
        report.arguments, report.outcome = _tried(run.arguments), _tried(run.outcome)
        report.environment = _tried(run.environment)
    return report


def _in_run(path: Path) -> bool:
    """Return whether weights lie in the directory of a run, be its files damaged."""
    return any((path.parent / name).exists() for name in ("args.json", "run.lock", "log.jsonl"))


def _tried(read: Callable[[], Any]) -> dict[str, Any]:
    """Return what is read; {} where it is damaged or missing."""
    try:
        found = read()
    except CualexError:
        return {}
    return found if isinstance(found, dict) else {}
