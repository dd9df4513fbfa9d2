"""How long an experiment will take, from a few updates of each of its arms."""

from collections.abc import Sequence

from cualex.experiments.experiment import Trial
from cualex.training import estimate


def seconds(trials: Sequence[Trial], pack, tested, settings: dict) -> float:
    """Return the time of trials if none ends early; settings: as `Parameters` takes them."""
    known: dict[str, estimate.Speed] = {}
    total = 0.0
    for trial in trials:
        if trial.arm not in known:
            known[trial.arm] = estimate.measure(trial.recipe, len(pack.classes), **settings)
        total += known[trial.arm].seconds(trial.recipe, len(pack), len(tested))
    return total
