"""From trainings to a table: means and spreads over seeds, the best rate of each arm, and how arms differ."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from cualex.experiments.experiment import Experiment
from cualex.experiments.runner import Measured


@dataclass(frozen=True)
class Spread:
    """Hold the mean of some values, their sample deviation (None for a single one), and how many there are."""

    mean: float
    deviation: float | None
    count: int


@dataclass(frozen=True)
class Row:
    """Compare one rate of one arm.

    figures: the spread of each column over the seeds that reached it, None where none did.  missing: how many seeds
    never reached the first column.  diverged: how many of these for their loss was no number.  chosen: it is the best
    rate of its arm.  against: how the chosen rate differs from the first arm's, seed by seed: a difference, or a ratio.
    beyond: where no seed got there and others of the first arm did, what that ratio is above.
    """

    arm: str
    rate: float
    seeds: int
    figures: dict[str, Spread | None]
    missing: int
    diverged: int
    chosen: bool = False
    against: Spread | None = None
    beyond: float | None = None
    paper: str = ""


def spread(values: Sequence[float]) -> Spread | None:
    """Return the spread of values, None where there are none."""
    if not values:
        return None
    deviation = statistics.stdev(values) if len(values) > 1 else None
    return Spread(statistics.fmean(values), deviation, len(values))


def rows(experiment: Experiment, measured: Sequence[Measured]) -> list[Row]:
    """Return a row for each arm and rate, in the order of the arms and of their rates."""
    grouped = {
        (arm, rate): [each for each in measured if (each.trial.arm, each.trial.rate) == (arm, rate)]
        for arm, rate in dict.fromkeys((each.trial.arm, each.trial.rate) for each in measured)
    }
    best = {arm: _best(experiment, grouped, arm) for arm in experiment.arms}
    base = next(iter(experiment.arms))
    made = []
    for arm in experiment.arms:
        for (_, rate), group in ((key, group) for key, group in grouped.items() if key[0] == arm):
            chosen = rate == best[arm]
            other = grouped.get((base, best[base])) if chosen and arm != base else None
            made.append(_row(experiment, arm, rate, group, chosen, other))
    return made


def edges(experiment: Experiment, table: Sequence[Row]) -> list[str]:
    """Name the arms whose best rate is the smallest or the largest of three or more: a better one may lie beyond."""
    found = []
    for arm in experiment.arms:
        own = [row for row in table if row.arm == arm]
        rates = sorted(row.rate for row in own)
        if len(rates) > 2 and any(row.chosen and row.rate in (rates[0], rates[-1]) for row in own):
            found.append(arm)
    return found


def _row(experiment: Experiment, arm: str, rate: float, group: list, chosen: bool, other: list | None) -> Row:
    columns = experiment.measure.columns
    values = {column: _values(group, column) for column in columns}
    return Row(
        arm=arm,
        rate=rate,
        seeds=len(group),
        figures={column: spread(found) for column, found in values.items()},
        missing=len(group) - len(values[columns[0]]),
        diverged=sum(each.diverged is not None for each in group),
        chosen=chosen,
        against=_against(experiment, group, other) if other else None,
        beyond=_beyond(experiment, group, other) if other else None,
        paper=experiment.arms[arm].paper if chosen else "",
    )


def _values(group: list[Measured], column: str) -> list[float]:
    return [each.figures[column] for each in group if each.figures[column] is not None]


def _best(experiment: Experiment, grouped: dict, arm: str) -> float | None:
    """Return the rate that the most seeds got there with, of equals that with the smallest mean.

    Where none ever did, that with the smallest mean of the second column; None where all have diverged.
    """
    first, second = experiment.measure.columns[:2]
    standings = {}
    for (own, rate), group in grouped.items():
        if own == arm and (values := _values(group, first) or _values(group, second)):
            standings[rate] = (-len(_values(group, first)), statistics.fmean(values))
    return min(standings, key=standings.get) if standings else None


def _against(experiment: Experiment, group: list[Measured], other: list[Measured]) -> Spread | None:
    """Compare the first column of two groups, seed by seed, where both got there."""
    column = experiment.measure.columns[0]
    pairs = [
        (own.figures[column], base) for own, base in _pairs(column, group, other) if own.figures[column] is not None
    ]
    return spread([own / base if experiment.measure.counts else own - base for own, base in pairs])


def _beyond(experiment: Experiment, group: list[Measured], other: list[Measured]) -> float | None:
    """Return what the ratio is above: the mean of what each had, over what the first arm needed with that seed."""
    column, counts = experiment.measure.columns[0], experiment.measure.counts
    if not counts or _values(group, column):
        return None
    ratios = [getattr(own, counts) / base for own, base in _pairs(column, group, other) if own.diverged is None]
    return statistics.fmean(ratios) if ratios else None


def _pairs(column: str, group: list[Measured], other: list[Measured]) -> list[tuple[Measured, float]]:
    """Pair each training with the figure of the first arm's of its seed, where that got there."""
    theirs = {each.trial.seed: each.figures[column] for each in other}
    return [(own, base) for own in group if (base := theirs.get(own.trial.seed)) is not None]
