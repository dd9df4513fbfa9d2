"""The result of an experiment as files: result.json with all conditions, and the plot."""

import json
import math
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from cualex.experiments import metrics
from cualex.experiments.compare import Row
from cualex.experiments.experiment import Experiment, Scale
from cualex.experiments.runner import Measured
from cualex.plots import experiments as plots
from cualex.plots.experiments import Line
from cualex.system import files
from cualex.training.run import Run
from cualex.training.run.directory import FILTERS


def document(
    experiment: Experiment,
    scale: Scale,
    measured: Sequence[Measured],
    table: Sequence[Row],
    about: dict[str, Any],
    conditions: dict[str, Any],
    learned: dict[str, bool],
    findings: Sequence[str],
) -> dict[str, Any]:
    """Return question, table, trainings and conditions as plain values.

    about: the data.  learned, findings: what `evidence` says of the arms and of the table.
    """
    return {
        "experiment": experiment.name,
        "question": experiment.question,
        "section": experiment.section,
        "paper": experiment.paper,
        "differs": scale.differs,
        "reading": experiment.reading,
        "about": about,
        "table": [asdict(row) for row in table],
        "learned": learned,
        "findings": list(findings),
        "runs": [
            {"run": each.trial.name, "arm": each.trial.arm, "rate": each.trial.rate, "seed": each.trial.seed}
            | {"figures": each.figures, "diverged": each.diverged}
            | {"epochs": each.epochs, "updates": each.updates, "seconds": each.seconds}
            | {"recipe": each.trial.recipe.described()}
            for each in measured
        ],
        "conditions": conditions,
    }


def write(directory: Path, result: dict[str, Any]) -> Path:
    """Write result.json; return its path."""
    files.replace_text(directory / "result.json", json.dumps(result, indent=2) + "\n")
    return directory / "result.json"


def draw(
    experiment: Experiment, measured: Sequence[Measured], table: Sequence[Row], directory: Path, classes: int
) -> Path:
    """Draw the plot of an experiment: filters of both towers, losses by update, or errors by epoch."""
    path = directory / f"{experiment.name}.png"
    drawn = [each for each in measured if each.diverged is None]
    if experiment.measure is metrics.COLOURS and drawn:
        paths = {f"seed {each.trial.seed}": directory / each.trial.name / FILTERS for each in drawn}
        plots.draw_filters({seed: np.load(file) for seed, file in paths.items()}, path)
        return path
    best = {(row.arm, row.rate) for row in table if row.chosen}
    by_update = experiment.measure is metrics.UPDATES
    lines = []
    for each in measured:
        run = Run(directory / each.trial.name)
        points = metrics.losses(run) if by_update else list(enumerate(metrics.errors(run), 1))
        strong = (each.trial.arm, each.trial.rate) in best
        lines.append(Line(each.trial.arm, points, strong))
    if by_update:
        plots.draw_lines(lines, path, ("update", "cross-entropy"), ("ln C", math.log(classes)))
    elif goal := experiment.measure.goal:
        level = (f"{goal:g} %", goal)
        plots.draw_lines(lines, path, ("epoch", "training error, %"), level)
    else:
        plots.draw_lines(lines, path, ("epoch", "test error, %"))
    return path
