"""`cualex check`: say what is wrong with a data set before a training is spent on it."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path

import click

from cualex.cli import _options, _output, _readings, _sources
from cualex.errors import DataError, Unreadable

LISTED = 10  # cases of each finding on the screen, and classes at either end of the table; JSON has all


@click.command()
@click.argument("data")
@_options.network
@_options.crop
@_options.val_split
@_options.val
@_options.names
@_readings.option
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

    What all pictures have in common cannot be seen in them. With --weights of a network that has learned the same
    classes, up to 256 pictures are named: as they are, with red and blue changed about, as a negative, and with half,
    twice and no mean picture. It is said where one of these fits better.

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
    from cualex.data import checking

    size = networks.build(network, **({"crop": crop} if crop else {})).stored
    work = checking.check(data, size, val_split=val_split, val=val, names=names, workers=workers)
    report = watch(work, "Checking", "cannot be read")
    for note in report.notes:
        _output.say(f"{report.data}: {note}")
    read = _readings.read(weights, data, val_split, names) if weights and report.refusal is None else None
    if as_json:
        _output.document({**_document(report), **({"weights": read} if read else {})})
    else:
        _show(report)
        if read:
            _readings.show(read)
    if report.refusal is not None:
        raise DataError(report.refusal)
    if report.unreadable:
        total = sum(report.files.values())
        raise Unreadable(f"{report.unreadable:,} of {total:,} pictures could not be read; they are listed.")


def _document(report) -> dict:
    """Arrange a report for other programs: every finding with all its cases."""
    found = [
        {
            "kind": finding.kind,
            "fault": finding.fault,
            "count": len(finding.items),
            "text": finding.text,
            "items": [
                {"names": [_sources.shown(name) for name in item.names], "text": item.text}
                for item in finding.items
            ],
        }
        for finding in report.findings
    ]
    return {
        "data": report.data,
        "size": report.size,
        "files": report.files,
        "unreadable": report.unreadable,
        "classes": {_sources.shown(name): counts for name, counts in report.classes.items()},
        "formats": report.formats,
        "modes": report.modes,
        "grey": report.grey,
        "shorter_side": dataclasses.asdict(report.sides),
        "findings": found,
        "refusal": report.refusal,
        "notes": report.notes,
    }


def _show(report) -> None:
    from cualex.data.layout import some

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
            names = some([_sources.shown(name) for name in item.names])
            click.echo(f"  {names}: {item.text}" if item.text else f"  {names}")
        if len(finding.items) > LISTED:
            click.echo(f"  ... and {len(finding.items) - LISTED:,} more (--json lists all)")
    if report.refusal is None and not any(finding.fault for finding in report.findings):
        also = " What is listed is worth knowing, but no fault." if report.findings else ""
        click.echo(f"\nNothing wrong was found.{also}")


def _table(report) -> None:
    """Print the pictures of each class that can be read; of many classes only the smallest and the largest."""
    rows = [{"class": _sources.shown(name), **counts} for name, counts in report.classes.items()]
    totals = {split: sum(row[split] for row in rows) for split in report.files}
    if len(rows) > 2 * LISTED:
        rows.sort(key=lambda row: sum(row[split] for split in report.files))
        between = {"class": f"... {len(rows) - 2 * LISTED:,} more", **dict.fromkeys(report.files)}
        rows = [*rows[:LISTED], between, *rows[-LISTED:]]
    _output.table(rows, {"class": f"{len(report.classes):,} in all", **totals})


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count:,} {name}" for name, count in counts.items()) or "none"
