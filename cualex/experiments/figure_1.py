"""The search for the conditions of the paper's figure 1: all trainings, figure_1.csv, and a table of conditions.

A row of the file is a training of a four-layer network (three 5x5 convolutions and a dense layer) by SGD with momentum
0.9 at one rate, without regularisation: `engine` PyTorch has 32, 32 and 64 filters on crops of 24, bias rates doubled,
and the running error of an epoch; `engine` cualex is cifar-relu or cifar-tanh with width=0.5 and norm=none on crops of
27, and the error of 2,500 of the training images after an epoch (tests/figure_1.py). Both are on CIFAR-10 as JPEGs.
`epochs_to_40` is blank where a training never got there: it ended at its goal ("goal"), after its epochs ("over"), when
another rate was there before ("later") or was 5 points ahead ("behind"), at chance, or diverged.
"""

import csv
import statistics
from importlib import resources
from typing import Any

CONDITION = ("engine", "inputs", "pools", "initial", "batch", "images")
GOALS = ("40", "25")
ARMS = ("relu", "tanh", "sigmoid")
READING = (
    "Best rate: epochs to 40 / 25 % training error; ratios are of tanh to ReLU. ReLU is two to three times sooner "
    "only where images are raw and pool2 and pool3 take averages; six was never seen. *: the best rate is the smallest "
    "or largest tried. All trainings, with their conditions: cualex/experiments/figure_1.csv and figure_1.py."
)


def trainings() -> list[dict[str, str]]:
    """Return the rows of figure_1.csv."""
    file = resources.files("cualex.experiments").joinpath("figure_1.csv")
    return list(csv.DictReader(file.read_text(encoding="utf-8").splitlines()))


def table(rows: list[dict[str, str]] | None = None) -> list[dict[str, str]]:
    """Return a row for each condition: each activation at its best rate, and how many times longer tanh took.

    The best rate is that which came first to 25 % on seed 0, else to 40 %, else lowest. A star marks the
    smallest or largest rate tried. "> 1.8" is a bound: tanh had not arrived when it was stopped. Ratios are
    means over seeds, with their standard deviation where there are several.
    """
    rows = trainings() if rows is None else rows
    made = []
    for condition in dict.fromkeys(tuple(row[name] for name in CONDITION) for row in rows):
        own = [row for row in rows if tuple(row[name] for name in CONDITION) == condition]
        best = {arm: _best([row for row in own if row["activation"] == arm and row["seed"] == "0"]) for arm in ARMS}
        cells = dict(zip(CONDITION, condition, strict=True))
        for arm in ARMS:
            cells[arm] = _cell(own, arm, best[arm])
        for goal in GOALS:
            cells[f"ratio at {goal} %"] = _ratio(own, best, goal)
        made.append(cells)
    return made


def _best(rows: list[dict[str, str]]) -> dict[str, str] | None:
    """Return the training at the best rate."""

    def order(row: dict[str, str]) -> tuple[float, ...]:
        return (*(float(row[f"epochs_to_{goal}"] or "inf") for goal in ("25", "40")), float(row["lowest_error"] or 100))

    return min(rows, key=order) if rows else None


def _cell(rows: list[dict[str, str]], arm: str, best: dict[str, str] | None) -> str:
    """Write the best rate of an activation and its epochs."""
    if best is None:
        return ""
    rates = [float(row["rate"]) for row in rows if row["activation"] == arm and row["seed"] == "0"]
    star = "" if min(rates) < float(best["rate"]) < max(rates) else "*"
    if best["ended"] == "chance":
        return f"{best['rate']}{star}: chance"
    reached = " / ".join(_rounded(best[f"epochs_to_{goal}"]) for goal in GOALS)
    return f"{best['rate']}{star}: {reached}"


def _rounded(epochs: str) -> str:
    return f"{float(epochs):.1f}" if epochs else "-"


def _ratio(rows: list[dict[str, str]], best: dict[str, Any], goal: str) -> str:
    """Write how many times as many epochs tanh took as ReLU, over the seeds that have both at their best rates."""
    if not (best["relu"] and best["tanh"]):
        return ""
    found: dict[str, dict[str, dict[str, str]]] = {}
    for row in rows:
        arm = row["activation"]
        if arm in ("relu", "tanh") and row["rate"] == best[arm]["rate"]:
            found.setdefault(row["seed"], {}).setdefault(arm, row)
    column, exact, bounds = f"epochs_to_{goal}", [], []
    for pair in found.values():
        if len(pair) == 2 and pair["relu"][column]:
            first, second = float(pair["relu"][column]), pair["tanh"]
            if second[column]:
                exact.append(float(second[column]) / first)
            elif second["ended"] != "goal" and float(second["goal"]) <= float(goal):
                bounds.append(float(second["epochs"]) / first)
    if exact:
        spread = f" ± {statistics.stdev(exact):.2f}" if len(exact) > 1 else ""
        return f"{statistics.fmean(exact):.2f}{spread}"
    return f"> {min(bounds):.2f}" if bounds else ""
