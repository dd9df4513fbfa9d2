"""`cualex check`: say what is wrong with a data set before a training is spent on it."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path

import click

from cualex.cli import _inputs, _options, _output
from cualex.errors import DataError, Unreadable

LISTED = 10  # cases of each finding on the screen, and classes at either end of the table; JSON has all


@click.command()
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
    help="Compare the preprocessing too: classify images with these weights as they are, with red and blue swapped, "
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
    """Look through a data set for what would spoil a training.

    DATA is a folder of classes, with or without train/ and val/, the same in a .zip or .tar, or `demo`. Every
    picture is decoded; nothing is written there. Found are pictures in two splits or two classes, classes that have
    most pictures in common, splits with red and blue changed about, pictures that are damaged, cut short, tiny or
    there twice, classes that are empty, small, lopsided, in no other split or named almost alike, and files that are
    left out.

    Pictures are the same when they have the same pixels at the size that --network stores. A set without val/ is
    looked at as training divides it with the same --val-split and --val.

    What all images have in common cannot be seen in them alone. With --weights of a network that has learned the
    same classes, up to 256 images are classified as they are and as other preprocessing would give them, and the one
    that fits clearly better is named.

    The exit code is 3 if some pictures could not be read, 1 if training would refuse the set, else 0.

    \b
    Examples:
        cualex check pictures/
        cualex check cifar10.zip --network cifar-relu
        cualex check pictures/ --weights runs/train/best.safetensors
        cualex check imagenet.tar --names val.txt --json > report.json
    """
    from cualex import networks
    from cualex.cli._packing import watch
    from cualex.data.check import check as check_data

    size = networks.build(network, **({"crop": crop} if crop else {})).stored
    work = check_data(data, size, val_split=val_split, val=val, names=names, workers=workers)
    report = watch(work, "Checking", "cannot be read")
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
        raise Unreadable(f"{report.unreadable:,} of {total:,} pictures could not be read; they are listed.")


def _compare(file: Path, data: str, **division) -> dict:
    """Classify some images of validation, or of train where there is none, under each change of the preprocessing."""
    from concurrent.futures import ThreadPoolExecutor

    import numpy as np

    from cualex import weights
    from cualex.data import decoding, sources
    from cualex.errors import PictureError
    from cualex.training.debugging import preprocessing

    found = weights.load(file)
    source = sources.find(data, classes=found.classes, **division)
    split = source.validation or "train"
    pictures = source.splits[split]
    spaced = np.linspace(0, len(pictures) - 1, min(preprocessing.MOST, len(pictures))).astype(int)

    def decode(picture):
        try:
            return decoding.decode_one(picture, found.network.stored), picture.label
        except PictureError:  # the check itself lists it
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
    click.echo(f"\nWith {compared['file']}, {count:,} images of {compared['split']}:")
    for fit in compared["fits"]:
        click.echo(f"  {fit['change']:<24} {fit['right'] / count:>6.1%} right, loss {fit['loss']:.3g}")
    if better := compared["better"]:
        click.echo(
            f"preprocessing: they fit better with {better}. Images and weights were preprocessed differently: "
            "correct one of them, or train on these images."
        )
    elif count < FEWEST:
        click.echo(f"{count} images cannot tell whether another preprocessing fits better: it takes {FEWEST}.")
    else:
        click.echo("No other preprocessing fits better.")


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
    from cualex.data.sources.layout import some

    _table(report)
    sides = report.sides
    click.echo()
    click.echo(f"Formats: {_counts(report.formats)}.")
    click.echo(f"Modes: {_counts(report.modes)}; {report.grey:,} without any colour.")
    click.echo(
        f"Shorter side: {sides.smallest:,} to {sides.largest:,} pixels, median {sides.median:,}; "
        f"below {report.size}, to be enlarged: {sides.enlarged:,}."
    )
    for finding in report.findings:
        click.echo(f"\n{finding.kind} ({len(finding.items):,}): {finding.text}")
        for item in finding.items[:LISTED]:
            names = some([_inputs.shown(name) for name in item.names])
            click.echo(f"  {names}: {item.text}" if item.text else f"  {names}")
        if len(finding.items) > LISTED:
            click.echo(f"  ... and {len(finding.items) - LISTED:,} more (--json lists all)")
    if report.refusal is None and not any(finding.fault for finding in report.findings):
        also = " What is listed is worth knowing, but no fault." if report.findings else ""
        click.echo(f"\nNothing wrong was found.{also}")


def _table(report) -> None:
    """Print the pictures of each class that can be read; of many classes only the smallest and the largest."""
    rows = [{"class": _inputs.shown(name), **counts} for name, counts in report.classes.items()]
    totals = {split: sum(row[split] for row in rows) for split in report.files}
    if len(rows) > 2 * LISTED:
        rows.sort(key=lambda row: sum(row[split] for split in report.files))
        between = {"class": f"... {len(rows) - 2 * LISTED:,} more", **dict.fromkeys(report.files)}
        rows = [*rows[:LISTED], between, *rows[-LISTED:]]
    _output.table(rows, {"class": f"{len(report.classes):,} in all", **totals})


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count:,} {name}" for name, count in counts.items()) or "none"
