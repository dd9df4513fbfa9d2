"""What a run has left, without what time puts into it: for tests that compare a stopped run with one never stopped."""

import csv
import hashlib
import json

from cualex import weights
from cualex.training.state import State


def left(run):
    """Return weights, velocities, numbers, log and results of a run, and the names of its files."""
    last = weights.load(run.path / "last.safetensors")
    state = vars(State.of(last))
    losses = vars(state.pop("losses"))
    for name in ("seconds", "log"):
        state.pop(name)
    return {
        "weights": digest(last.tensors),
        "velocities": digest(last.velocities),
        "best": digest(weights.load(run.path / "best.safetensors").tensors),
        "state": state,
        "losses": {name: losses[name] for name in ("total", "count", "images", "recent")},
        "log": log(run),
        "results": results(run),
        "finished": (run.path / "finished.json").read_text(),
        "files": sorted(file.name for file in run.path.iterdir() if file.name != "previous.safetensors"),
    }


def digest(tensors):
    total = hashlib.sha256()
    for name in sorted(tensors):
        total.update(name.encode() + tensors[name].tobytes())
    return total.hexdigest()


def log(run):
    """Return the lines of the log without the fields named time_*."""
    lines = (run.path / "log.jsonl").read_text().splitlines()
    records = [json.loads(line) for line in lines]
    return [
        {name: value for name, value in record.items() if not name.startswith("time_")} for record in records
    ]


def results(run):
    with open(run.path / "results.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    return [{name: value for name, value in row.items() if name not in ("time", "img/s")} for row in rows]
