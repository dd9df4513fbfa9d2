"""`cualex check`: find faults of a data set before training on it."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path

import click

from cualex.cli import _aliases, _inputs, _options, _output
from cualex.errors import DataError, Unreadable

LISTED = 10  # cases of each finding on the screen, and classes at either end of the table; JSON has all


@click.command(cls=_aliases.Command)
@click.argument("data")
@_options.network
@_options.crop
@_options.val_split
@_options.val
@_options.names
@click.option(
    "-w",
    "--weights",
    type=_options.FILE,
    metavar="FILE",
    help="Check the preprocessing too: classify images with these weights as they are, with red and blue swapped, "
    "inverted, and with other mean images.",
)
@_options.workers
@_options.as_json
def check(
    data: str,
    network: str,
    crop: int | None,
    val_split: float,
    val: str,
    names: Path | None,
    weights: Path | None,
    workers: int | None,
    as_json: bool,
) -> None:
    """Check a data set for leaks, duplicates and damaged images.

    DATA is what `cualex train` takes. Every image is decoded, and nothing is written. Reported, worst first: the same
    image in two splits or two classes; classes that share most images; splits with red and blue swapped; damaged,
    truncated, tiny and duplicate images; classes that are empty, small, imbalanced, in one split only or almost
    namesakes; ignored files.

    Images are the same if their pixels are, at the size that --network stores; a recompressed copy is not found. A set
    without val/ is split as `cualex train` would with the same --val-split and --val.

    A preprocessing error common to all images (BGR for RGB) is found by --weights of a network trained on the same
    classes: up to 256 images are classified under several preprocessings, and one that fits clearly better is named.

    Exit code 3: some images could not be read; 1: `cualex train` would refuse the data set.

    \b
    Examples:
        cualex check photos/
        cualex check cifar10.zip --network cifar-relu
        cualex check photos/ --weights runs/train/best.safetensors
        cualex check imagenet.tar --names val.txt --json > report.json
    """
    from cualex import networks
    from cualex.cli._packing import watch
    from cualex.data.check import check as check_data

    size = networks.named(network, crop=crop).stored
    work = check_data(data, size, val_split=val_split, val=val, names=names, workers=workers)
    report = watch(work, "Checking", "unreadable")
    for note in report.notes:
        _output.say(f"{report.data}: {note}")
    compared = None
    if weights and report.refusal is None:
        compared = _compare(weights, data, val_split=val_split, val=val, names=names)
    if as_json:
        _output.document(_document(report) | ({"weights": compared} if compared else {}))
    else:
        _show(report)
        if compared:
            _show_compared(compared)
    if report.refusal is not None:
        raise DataError(report.refusal)
    if report.unreadable:
        total = sum(report.files.values())
        raise Unreadable(f"{report.unreadable:,} of {total:,} images could not be read; they are listed above.")


def _compare(file: Path, data: str, **division) -> dict:
    """Classify some images of validation, or of train where there is none, under each change of the preprocessing."""
    from concurrent.futures import ThreadPoolExecutor

    import numpy as np

    from cualex import weights
    from cualex.data import decoding, sources
    from cualex.errors import ImageError
    from cualex.training.debugging import preprocessing

    found = weights.load(file)
    source = sources.find(data, classes=found.classes, **division)
    split = source.validation or "train"
    pictures = source.splits[split]
    spaced = np.linspace(0, len(pictures) - 1, min(preprocessing.MOST, len(pictures))).astype(int)

    def decode(picture):
        try:
            return decoding.decode_one(picture, found.network.stored), picture.label
        except ImageError:  # the check itself lists it
            return None

    with ThreadPoolExecutor() as threads:
        decoded = [each for each in threads.map(decode, [pictures[index] for index in spaced]) if each]
    fits = []
    if decoded:
        images, labels = (np.array(part) for part in zip(*decoded, strict=True))
        with _output.Progress("Comparing", len(preprocessing.CHANGES) * len(labels)) as progress:
            for fit in preprocessing.fits(found, images, labels):
                fits.append(fit)
                progress(len(fits) * len(labels))
    better = preprocessing.best(fits)
    return {
        "file": file,
        "split": split,
        "images": len(decoded),
        "fits": [{"change": fit.change, "right": fit.right, "loss": fit.loss} for fit in fits],
        "better": better and better.change,
    }


def _show_compared(compared: dict) -> None:
    from cualex.training.debugging.preprocessing import FEWEST

    count = compared["images"]
    _output.echo(f"\nWith {compared['file']}, {count:,} images of {compared['split']}:")
    for fit in compared["fits"]:
        _output.echo(f"  {fit['change']:<24} {fit['right'] / count:>6.1%} right, loss {fit['loss']:.3g}")
    if better := compared["better"]:
        _output.echo(
            f"preprocessing: they fit better with {better}. The images were preprocessed differently from those that "
            "the weights were trained on: correct the images, or train on these."
        )
    elif count < FEWEST:
        _output.echo(
            f"{count} images are too few to tell whether another preprocessing fits better: expected {FEWEST} or more."
        )
    else:
        _output.echo("No other preprocessing fits better.")


def _document(report) -> dict:
    """Arrange a report for other programs: every finding with all its cases."""
    found = [
        {
            "kind": finding.kind,
            "fault": finding.fault,
            "count": len(finding.items),
            "text": finding.text,
            "items": [
                {"names": [_inputs.shown(name) for name in item.names], "text": item.text} for item in finding.items
            ],
        }
        for finding in report.findings
    ]
    return {
        "data": report.data,
        "size": report.size,
        "files": report.files,
        "unreadable": report.unreadable,
        "classes": {_inputs.shown(name): counts for name, counts in report.classes.items()},
        "formats": report.formats,
        "modes": report.modes,
        "grey": report.grey,
        "shorter_side": dataclasses.asdict(report.sides),
        "findings": found,
        "refusal": report.refusal,
        "notes": report.notes,
    }


def _show(report) -> None:
    from cualex.system.amounts import some

    _table(report)
    sides = report.sides
    _output.echo()
    _output.echo(f"Formats: {_counts(report.formats)}.")
    _output.echo(f"Modes: {_counts(report.modes)}; {report.grey:,} grey in every pixel.")
    _output.echo(
        f"Shorter side: {sides.smallest:,} to {sides.largest:,} pixels, median {sides.median:,}; "
        f"{sides.enlarged:,} are below {report.size} and will be upscaled."
    )
    for finding in report.findings:
        _output.echo(f"\n{finding.kind} ({len(finding.items):,}): {finding.text}")
        for item in finding.items[:LISTED]:
            names = some([_inputs.title(name) for name in item.names])
            _output.echo(f"  {names}: {item.text}" if item.text else f"  {names}")
        if len(finding.items) > LISTED:
            _output.echo(f"  ... and {len(finding.items) - LISTED:,} more (--json lists all)")
    if report.refusal is None and not any(finding.fault for finding in report.findings):
        also = " What is listed are remarks." if report.findings else ""
        _output.echo(f"\nNo fault was found.{also}")


def _table(report) -> None:
    """Print the images of each class that can be read; of many classes only the smallest and the largest."""
    rows = [{"class": _inputs.title(name), **counts} for name, counts in report.classes.items()]
    totals = {split: sum(row[split] for row in rows) for split in report.files}
    if len(rows) > 2 * LISTED:
        rows.sort(key=lambda row: sum(row[split] for split in report.files))
        between = {"class": f"... {len(rows) - 2 * LISTED:,} more", **dict.fromkeys(report.files)}
        rows = [*rows[:LISTED], between, *rows[-LISTED:]]
    _output.table(rows, {"class": f"{len(report.classes):,} in all", **totals})


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count:,} {name}" for name, count in counts.items()) or "none"
