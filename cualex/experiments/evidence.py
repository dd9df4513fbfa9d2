"""What the numbers of an experiment show: which arms learned, which differences are more than chance, and what would.

A difference is shown if it is larger than three deviations of its mean over seeds, and lies outside the 95 % interval
of Student for so few:

    |mean - null| > f s / sqrt(n)        f = 12.7, 4.3, 3.2 for n = 2, 3, 4, and 3 from 5 on

mean, s: of the differences, or ratios, seed by seed.  n: seeds.  null: 0, or 1 for ratios.  One seed shows nothing.
"""

import json
import math
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from cualex.data.split import Split
from cualex.experiments.compare import Row, Spread
from cualex.experiments.experiment import Experiment
from cualex.experiments.runner import Measured
from cualex.training.run import Run

DEVIATIONS = 3.0
STUDENT = {2: 12.71, 3: 4.303, 4: 3.182}  # quantiles at 97.5 % for n - 1 degrees of freedom, where larger than that
MOST = 1_000  # seeds, the largest number that `needed` tries
CHANCE = 5.0  # percent; a share of random halves above it is no sign of a difference


def shown(found: Spread, null: float = 0.0) -> bool:
    """Return whether a difference, or ratio, is more than chance."""
    return found.deviation is not None and _exceeds(found, found.count, null)


def needed(found: Spread, null: float = 0.0) -> int | None:
    """Return how many seeds would show a difference that is as large as the one found, with its deviation.

    None for a single seed, and where more than `MOST` would be needed.
    """
    if found.deviation is None:
        return None
    return next((seeds for seeds in range(2, MOST + 1) if _exceeds(found, seeds, null)), None)


def _exceeds(found: Spread, seeds: int, null: float) -> bool:
    assert found.deviation is not None
    return abs(found.mean - null) > STUDENT.get(seeds, DEVIATIONS) * found.deviation / math.sqrt(seeds)


def learned(
    experiment: Experiment, measured: Sequence[Measured], table: Sequence[Row], directory: Path, tested: Split
) -> dict[str, bool]:
    """Return for each arm whether it learned: at its best rate most seeds are better than guessing (`Measure.learned`).

    tested: the images that the trainings were validated on.  directory: of the experiment.
    """
    best = {row.arm: row.rate for row in table if row.chosen}
    found = {}
    for arm in experiment.arms:
        own = [each for each in measured if each.trial.arm == arm and each.trial.rate == best.get(arm)]
        right = [
            not each.diverged and experiment.measure.learned(Run(directory / each.trial.name), each.figures, tested)
            for each in own
        ]
        found[arm] = 2 * sum(right) > len(right)
    return found


def findings(experiment: Experiment, table: Sequence[Row], learned: Mapping[str, bool]) -> list[str]:
    """Return what the table shows and what it does not, a sentence each."""
    if not any(learned.values()):
        return [
            "Nothing was learned at this scale: no arm is better than guessing, so differences between them say "
            "nothing. More --pictures or --epochs may change that."
        ]
    said = [f"{arm}: nothing was learned at this scale; it is no better than guessing." for arm in learned
            if not learned[arm]]  # fmt: skip
    base = next(iter(experiment.arms))
    for row in table:
        if not row.chosen:
            continue
        if experiment.measure.chance and (found := row.figures[experiment.measure.chance]):
            said.append(_by_chance(row.arm, found))
        if row.against:
            said.append(f"{row.arm} against {base}: {sentence(experiment, row.against)}.")
        elif row.beyond:
            said.append(_beyond(row.arm, base, row.beyond))
    return said


def sentence(experiment: Experiment, found: Spread) -> str:
    """Say what a difference to the first arm shows."""
    ratio = bool(experiment.measure.counts)
    null = 1.0 if ratio else 0.0
    number = f"{found.mean:.3g}" if ratio else f"{found.mean:+.3g}"
    deviation = "" if found.deviation is None else f" ± {found.deviation:.2g}"
    unit = "times" if ratio else "points"
    text = f"{number}{deviation} {unit} over {found.count} seed{'s' if found.count > 1 else ''}"
    if found.deviation is None:
        return f"{text}: one seed has no spread, and shows nothing; --seeds 3 does more"
    if shown(found, null):
        return f"{text}: larger than three deviations of its mean"
    seeds = needed(found, null)
    more = f"if it is as large as here, {seeds} seeds would" if seeds else f"more than {MOST:,} seeds would be needed"
    return f"{text}: not told from chance; {more}"


def _by_chance(arm: str, found: Spread) -> str:
    """Say what a share of random divisions that are as far apart shows."""
    told = f"{arm}: {found.mean:.2g} % of random divisions are as far apart"
    return f"{told}: {'less than chance gives' if found.mean < CHANCE else 'not told from chance'}."


def committed() -> dict[str, Any]:
    """Return the results so far, results.json."""
    text = resources.files("cualex.experiments").joinpath("results.json").read_text(encoding="utf-8")
    return json.loads(text)


def so_far(experiment: Experiment) -> list[str]:
    """Return what the results so far show of each arm against the first, a sentence each."""
    result, base = committed()["results"].get(experiment.name, {}), next(iter(experiment.arms))
    said = []
    for arm, found in result.get("effects", {}).items():
        if "chance" in found:
            said.append(_by_chance(arm, Spread(found["chance"], found["deviation"], found["seeds"])))
        elif "beyond" in found:
            said.append(_beyond(arm, base, found["beyond"]))
        else:
            spread = Spread(found["mean"], found["deviation"], found["seeds"])
            said.append(f"{arm} against {base}: {sentence(experiment, spread)}.")
    return said


def _beyond(arm: str, base: str, times: float) -> str:
    return f"{arm} against {base}: never got there; more than {times:.2g} times."
