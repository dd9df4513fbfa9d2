"""Estimate the time of an experiment from a few updates of every arm."""

from collections.abc import Sequence
from typing import Any

from cualex.data.split import Split
from cualex.experiments.experiment import Trial
from cualex.training import estimate


def seconds(trials: Sequence[Trial], pack: Split, tested: Split, settings: dict[str, Any]) -> float:
    """Return the seconds of trials if none ends early. settings: keyword arguments of `Parameters`."""
    known: dict[str, estimate.Speed] = {}
    total = 0.0
    for trial in trials:
        if trial.arm not in known:
            known[trial.arm] = estimate.measure(trial.recipe, len(pack.classes), **settings)
        total += known[trial.arm].seconds(trial.recipe, len(pack), len(tested))
    return total
