"""`cualex check --weights`: do the pictures go with a network that has learned such classes?"""

from pathlib import Path

import click

from cualex.cli import _options, _output

option = click.option(
    "-w",
    "--weights",
    type=_options.FILE,
    metavar="FILE",
    help="See if the pictures go with these weights: named as they are, and as if they were read otherwise.",
)


def read(file: Path, data: str, val_split: float, names: Path | None) -> dict:
    """Let a network name some pictures in several ways: the file, how many pictures of which split, and the ways."""
    from concurrent.futures import ThreadPoolExecutor

    import numpy as np

    from cualex import readings, weights
    from cualex.data import decoding, sources
    from cualex.errors import PictureError

    found = weights.load(file)
    source = sources.find(data, val_split=val_split, names=names, classes=found.classes)
    split = source.validation or "train"
    pictures = source.splits[split]
    spaced = np.linspace(0, len(pictures) - 1, min(readings.MOST, len(pictures))).astype(int)

    def decode(picture):
        try:
            return decoding.decode_one(picture, found.network.stored), picture.label
        except PictureError:  # the check itself lists it
            return None

    with ThreadPoolExecutor() as threads:
        made = [each for each in threads.map(decode, [pictures[index] for index in spaced]) if each]
    if not made:
        return {"file": file, "split": split, "pictures": 0, "readings": [], "better": None}
    images, labels = np.stack([image for image, _ in made]), np.array([label for _, label in made])
    rows = []
    with _output.Progress("Naming", len(readings.READINGS) * len(made)) as progress:
        for reading in readings.readings(found, images, labels):
            rows.append(reading)
            progress(len(rows) * len(made))
    better = readings.best(rows)
    return {
        "file": file,
        "split": split,
        "pictures": len(made),
        "readings": [{"reading": row.name, "right": row.right, "loss": row.loss} for row in rows],
        "better": better and better.name,
    }


def show(read: dict) -> None:
    """Print the ways, and whether one of them fits better than the pictures as they are."""
    click.echo(f"\n{read['file']} names {read['pictures']:,} pictures of {read['split']}:")
    for row in read["readings"]:
        share = row["right"] / read["pictures"]
        click.echo(f"  {row['reading']:<30} {share:>6.1%} right, loss {row['loss']:.3g}")
    if better := read["better"]:
        click.echo(
            f"weights: they go better with these pictures when read with {better}. One of the two had another "
            "preprocessing: put that right, or train with these pictures."
        )
    else:
        click.echo("No other way to read them fits better.")
