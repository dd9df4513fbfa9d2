"""What the makers of golden files and their tests share: data sets, what a run has left, outlines of documents.

Nothing of cualex is imported here, for an old version and the present one both come here.
"""

import csv
import hashlib
import json
import os
import shutil
from pathlib import Path

from safetensors.numpy import load_file

PLACE = "/golden"  # in stored files, for the directory that they were made in
TIMES = {"time", "img/s"}  # columns of results.csv
DATE = 1_700_000_000  # of all images: a pack is known by their sizes and dates


def date(folder: Path) -> None:
    """Give all files the same date."""
    for file in folder.rglob("*"):
        if file.is_file():
            os.utime(file, (DATE, DATE))


def divide(work: Path) -> None:
    """Make divided/ of images/: train/ and val/, so that no rule divides it; the damaged image stays out."""
    for file in (work / "images").glob("*/[0-7].*"):
        split = "val" if file.stem in "37" else "train"
        folder = work / "divided" / split / file.parent.name
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, folder)
    date(work / "divided")


def left(run: Path) -> dict:
    """Return digests of the weights and velocities of a run, and its table and log without times."""
    return {
        **{name: digest(run / f"{name}.safetensors") for name in ("last", "best")},
        "results": results(run),
        "log": log(run),
    }


def digest(file: Path) -> str:
    """Return the SHA-256 over the names and bits of a file's tensors."""
    total = hashlib.sha256()
    for name, tensor in sorted(load_file(file).items()):
        total.update(name.encode() + tensor.tobytes())
    return total.hexdigest()


def sha256(file: Path) -> str:
    """Return the SHA-256 of a file."""
    return hashlib.sha256(file.read_bytes()).hexdigest()


def results(run: Path) -> list[dict]:
    """Return results.csv without the columns of times."""
    with open(run / "results.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    return [{name: float(value) for name, value in row.items() if name not in TIMES} for row in rows]


def log(run: Path) -> list[dict]:
    """Return log.jsonl without times, and without lines on what has changed since the run was stopped."""
    records = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    return [
        {name: value for name, value in record.items() if not name.startswith("time_")}
        for record in records
        if not {"changed", "machine"} & record.keys()
    ]


SENTENCES = {"text", "said", "reason", "error", "notes", "remarks", "question", "topic"}  # for people to read
MACHINE = {"path", "digest", "work", "total"}  # of this machine's cores and directories, or of new keys too


def differences(old: object, new: object, close: float | None = None, where: str = "") -> list[str]:
    """List what a new document lacks of an old one: keys, types and values; new keys are no difference.

    Sentences and what the machine decides need the same type only. close: how far floats may be from the old ones,
    relatively, or absolutely below 1; None: they are equal.
    """
    if isinstance(old, dict) and isinstance(new, dict):
        found = [f"{where}/{key}: missing" for key in old if key not in new]
        for key in [key for key in old if key in new]:
            if key in SENTENCES | MACHINE:
                found += lacking(outline(old[key]), outline(new[key]), f"{where}/{key}")
            else:
                found += differences(old[key], new[key], close, f"{where}/{key}")
        return found
    if isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        pairs = enumerate(zip(old, new, strict=True))
        return [found for i, pair in pairs for found in differences(*pair, close, f"{where}/{i}")]
    if close is not None and type(old) is type(new) is float and abs(old - new) <= close * max(1.0, abs(old)):
        return []
    return [] if type(old) is type(new) and old == new else [f"{where}: {new!r}, was {old!r}"]


def lacking(old: object, new: object, where: str = "") -> list[str]:
    """List what a new outline lacks of an old one: keys, and types that were never there before."""
    if isinstance(old, dict) and isinstance(new, dict):
        missing = [f"{where}/{key}: missing" for key in old if key not in new]
        return missing + [found for key in old if key in new for found in lacking(old[key], new[key], f"{where}/{key}")]
    if isinstance(old, list) and isinstance(new, list):
        return lacking(old[0], new[0], f"{where}/0") if old and new else []
    return [] if types(new) <= types(old) else [f"{where}: {new}, was {old}"]


def outline(value: object) -> object:
    """Return a document's keys with the names of its values' types; of a list what all its elements have."""
    if isinstance(value, dict):
        return {key: outline(each) for key, each in value.items()}
    if isinstance(value, list):
        outlines = [outline(each) for each in value]
        while len(outlines) > 1:
            outlines.append(both(outlines.pop(), outlines.pop()))
        return outlines
    return type(value).__name__


def both(one: object, other: object) -> object:
    """Return the keys that two outlines share, with the types that either has: "NoneType or float"."""
    if isinstance(one, dict) and isinstance(other, dict):
        return {key: both(one[key], other[key]) for key in one if key in other}
    if isinstance(one, list) and isinstance(other, list):
        merged = [*one, *other]
        return [both(*merged)] if len(merged) > 1 else merged
    return " or ".join(sorted(types(one) | types(other)))


def types(value: object) -> set[str]:
    """Name the types that an outline allows."""
    return set(value.split(" or ")) if isinstance(value, str) else {type(value).__name__}


def options(command, name: str = "") -> dict[str, dict[str, list[str]]]:
    """Return the parameters of a click command and of all below it, each with its flags."""
    found = {name: {parameter.name: [*parameter.opts, *parameter.secondary_opts] for parameter in command.params}}
    for below in getattr(command, "list_commands", lambda context: ())(None):
        found |= options(command.get_command(None, below), f"{name} {below}".strip())
    return found
