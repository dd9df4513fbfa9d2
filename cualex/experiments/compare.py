"""The table of an experiment: means and standard deviations over seeds, the best rate of every arm, differences."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from cualex.experiments.experiment import Experiment
from cualex.experiments.runner import Measured


@dataclass(frozen=True)
class Spread:
    """Mean, sample standard deviation (None for a single value) and count of some values."""

    mean: float
    deviation: float | None
    count: int


@dataclass(frozen=True)
class Row:
    """One rate of one arm.

    figures: the spread of the columns over the seeds that reached them; None: no seed did.  missing: number of seeds
    that never reached the first column.  diverged: of these, with a non-finite loss.  chosen: the best rate of its arm.
    against: difference to the first arm, or ratio, seed by seed, for the chosen rate.  beyond: a lower bound of that
    ratio, if no seed reached the first column and seeds of the first arm did.
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
    """Return a row for every arm and rate, in the order of the arms and of their rates."""
    grouped = {
        (arm, rate): [each for each in measured if (each.trial.arm, each.trial.rate) == (arm, rate)]
        for arm, rate in dict.fromkeys((each.trial.arm, each.trial.rate) for each in measured)
    }
    best = {arm: _best(experiment, grouped, arm) for arm in experiment.arms}
    base = next(iter(experiment.arms))
    first = best[base]
    made = []
    for arm in experiment.arms:
        for (_, rate), group in ((key, group) for key, group in grouped.items() if key[0] == arm):
            chosen = rate == best[arm]
            other = grouped.get((base, first)) if chosen and arm != base and first is not None else None
            made.append(_row(experiment, arm, rate, group, chosen, other))
    return made


def edges(experiment: Experiment, table: Sequence[Row]) -> list[str]:
    """Return the arms whose best rate is the smallest or the largest of three or more: there may be a better one."""
    found = []
    for arm in experiment.arms:
        tried = [row for row in table if row.arm == arm]
        rates = sorted(row.rate for row in tried)
        if len(rates) > 2 and any(row.chosen and row.rate in (rates[0], rates[-1]) for row in tried):
            found.append(arm)
    return found


def _row(
    experiment: Experiment, arm: str, rate: float, group: list[Measured], chosen: bool, other: list[Measured] | None
) -> Row:
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
    return [value for each in group if (value := each.figures[column]) is not None]


def _best(experiment: Experiment, grouped: dict[tuple[str, float], list[Measured]], arm: str) -> float | None:
    """Return the rate with which most seeds reached the first column, of ties the one with the smallest mean.

    If no seed did, the rate with the smallest mean of the second column; None if all diverged.
    """
    first, second = experiment.measure.columns[:2]
    standings: dict[float, tuple[int, float]] = {}
    for (name, rate), group in grouped.items():
        if name == arm and (values := _values(group, first) or _values(group, second)):
            standings[rate] = (-len(_values(group, first)), statistics.fmean(values))
    return min(standings, key=standings.__getitem__) if standings else None


def _against(experiment: Experiment, group: list[Measured], other: list[Measured]) -> Spread | None:
    """Compare the first column of two groups, seed by seed, if both reached it."""
    column = experiment.measure.columns[0]
    pairs = [
        (value, base) for each, base in _pairs(column, group, other) if (value := each.figures[column]) is not None
    ]
    return spread([value / base if experiment.measure.counts else value - base for value, base in pairs])


def _beyond(experiment: Experiment, group: list[Measured], other: list[Measured]) -> float | None:
    """Return the lower bound of the ratio: the mean of all epochs or updates over the first arm's with that seed."""
    column, counts = experiment.measure.columns[0], experiment.measure.counts
    if not counts or _values(group, column):
        return None
    ratios = [getattr(each, counts) / base for each, base in _pairs(column, group, other) if each.diverged is None]
    return statistics.fmean(ratios) if ratios else None


def _pairs(column: str, group: list[Measured], other: list[Measured]) -> list[tuple[Measured, float]]:
    """Pair trainings with the figures of the first arm's of the same seed, if that reached the column."""
    theirs = {each.trial.seed: each.figures[column] for each in other}
    return [(each, base) for each in group if (base := theirs.get(each.trial.seed)) is not None]
