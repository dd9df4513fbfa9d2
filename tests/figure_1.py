"""Search for the conditions of figure 1: `python -m tests.figure_1 CONDITION... --data cifar10.zip --output FILE`.

The network is cifar-relu or its twin at half width without normalisation, trained without augmentation and weight decay
at one rate. A condition says how images are scaled, how pool2 and pool3 pool, how weights begin, batch and images. For
each activation the rate is searched on seed 0 along a grid of factor 2 (sigmoid: 4), from a guess on in both directions
as long as it gets better; further seeds take the best. The error is that of 2,500 of the training images after each
epoch, and the epochs to 40 and 25 % are interpolated. Every training ends at its condition's goal or after `epochs`;
one that searches ends when it is later than the best so far, or from the fourth epoch on 5 points behind it.

A line a training goes to --output, and trainings that are there are not repeated. The results so far are
cualex/experiments/figure_1.csv, with those of an earlier search in PyTorch; cualex/experiments/figure_1.py has its
columns, and `cualex experiment relu-against-tanh --results` the table.
"""

import argparse
import csv
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from cualex.data import sources
from cualex.data.opening import Packing
from cualex.errors import Diverged
from cualex.experiments.catalogue import BARE
from cualex.experiments.metrics import crossing
from cualex.experiments.subset import First
from cualex.training.loop import train
from cualex.training.records import Epoch
from cualex.training.run import Run

GOALS = (50, 40, 30, 25)
KEY = ("engine", "inputs", "pools", "initial", "batch", "images", "activation", "rate", "seed", "goal")
RESULT = (*(f"epochs_to_{goal}" for goal in GOALS), "epochs", "lowest_error", "ended", "cpu_seconds")
TESTED, LEAST, BEHIND, CHANCE = 2_500, 4, 5.0, 88.0
FACTOR = {"sigmoid": 4.0}


@dataclass(frozen=True)
class Condition:
    """What is the same for all activations."""

    inputs: str = "raw"
    pools: str = "average"
    initial: str = "even"
    batch: int = 32
    images: int = 5_000
    goal: float = 40.0
    epochs: int = 22


CONDITIONS = {
    "raw": Condition(),
    "scaled": Condition(inputs="scaled"),
    "raw-max": Condition(pools="max"),
    "scaled-max": Condition(inputs="scaled", pools="max"),
    "raw-cuda-convnet": Condition(initial="cuda-convnet"),
    "raw-batch-128": Condition(batch=128),
    "raw-10000": Condition(images=10_000, goal=25.0),
    "scaled-10000": Condition(inputs="scaled", images=10_000, goal=25.0),
}


def training(condition, arm, rate, seed, pack, tested, lead):
    """Train once; return the figures of a row. lead: the row of the best so far, or None."""
    variant = {"norm": "none", "width": 0.5, "inputs": condition.inputs}
    variant |= {"pools": condition.pools, "initial": condition.initial}
    network = "cifar-relu" if arm == "relu" else "cifar-tanh"
    variant |= {} if arm == "relu" else {"function": arm}
    recipe = BARE.but(network=network, variant=variant, rate=rate, seed=seed, batch=condition.batch)
    recipe = recipe.but(epochs=condition.epochs)
    errors, ended, began = [], "", time.process_time()
    with tempfile.TemporaryDirectory() as directory:
        records = train(recipe, pack, tested, Run.create(directory, "run"), save_every=1e9)
        try:
            for record in records:
                if isinstance(record, Epoch):
                    errors.append(round(100 * (1 - record.validation.top1), 2))
                    if ended := stop(errors, condition, lead):
                        break
        except Diverged:
            ended = "diverged"
        records.close()
    reached = [crossing(errors, goal, 90.0) for goal in GOALS]
    figures = ["" if epochs is None else round(epochs, 2) for epochs in reached]
    figures += [len(errors), min(errors, default=""), ended or "over", round(time.process_time() - began, 1)]
    return dict(zip(RESULT, map(str, figures), strict=True)) | {"errors": errors}


def stop(found, condition, lead):
    """Return why a training ends after the errors `found`, or ""."""
    at, error = len(found), found[-1]
    if error <= condition.goal:
        return "goal"
    if at >= 6 and min(found) > CHANCE:
        return "chance"
    if lead and at >= len(lead) and lead[-1] <= condition.goal:
        return "later"
    if lead and LEAST <= at <= len(lead) and error > lead[at - 1] + BEHIND:
        return "behind"
    return ""


def standing(row):
    """Return what orders trainings: the epochs to the goal, else the lowest error; divergence is last."""
    reached = row[f"epochs_to_{row['goal']}"]
    failed = row["ended"] in ("diverged", "chance")
    return (not reached, float(reached or 0), failed, float(row["lowest_error"] or 100))


def search(name, arm, start, attempt):
    """Climb the grid on seed 0 from a guess on; return the best rate."""
    tried = {start: attempt(name, arm, start, 0, None)}
    factor = FACTOR.get(arm, 2.0)
    for step in (factor, 1 / factor):
        rate = start
        while True:
            best = min(tried.values(), key=standing)
            rate *= step
            tried[rate] = attempt(name, arm, rate, 0, best.get("errors"))
            if standing(tried[rate]) >= standing(best) or len(tried) > 6:
                break
    return min(tried, key=lambda rate: standing(tried[rate]))


def main():
    """Do what is not there yet."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("wanted", nargs="+", help="CONDITION:ARM:RATE:SEEDS; with =SEED that alone")
    parser.add_argument("--data", required=True)
    parser.add_argument("--output", type=Path, required=True)
    given = parser.parse_args()
    source = sources.find(given.data, val="val-or-test")
    whole = finished(Packing(True, None, 1).work(source, "train", 32))
    done = list(csv.DictReader(given.output.open())) if given.output.exists() else []

    def attempt(name, arm, rate, seed, lead):
        condition = CONDITIONS[name]
        key = ["cualex", condition.inputs, condition.pools, condition.initial, condition.batch, condition.images]
        key = dict(zip(KEY, map(str, [*key, arm, f"{rate:g}", seed, f"{condition.goal:g}"]), strict=True))
        for row in done:
            if key.items() <= row.items():
                return row
        pack = First(whole, condition.images)
        row = key | training(condition, arm, rate, seed, pack, First(pack, TESTED), lead)
        new = not done
        done.append(row)
        with given.output.open("a", newline="") as file:
            writer = csv.DictWriter(file, (*KEY, *RESULT), extrasaction="ignore", lineterminator="\n")
            if new:
                writer.writeheader()
            writer.writerow(row)
        print(name, arm, f"{rate:g}", seed, *(row[each] for each in RESULT), file=sys.stderr, flush=True)
        return row

    for wanted in given.wanted:
        name, arm, rate, seeds = wanted.split(":")
        if seeds.startswith("="):
            attempt(name, arm, float(rate), int(seeds[1:]), None)
            continue
        best = search(name, arm, float(rate), attempt)
        for seed in range(1, int(seeds)):
            attempt(name, arm, best, seed, None)


def finished(work):
    """Run a generator to its end; return its value."""
    while True:
        try:
            next(work)
        except StopIteration as end:
            return end.value


if __name__ == "__main__":
    main()
