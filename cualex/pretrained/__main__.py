"""Reproduce the bundled weights: `python -m cualex.pretrained cifar10.zip`.

The recipe is `RECIPE` below; the last epoch is kept, so the test images choose nothing. On the processor and with the
versions in CARD.md the result has the bytes of the bundled file.
"""

import argparse
import dataclasses
import sys
from pathlib import Path

from cualex import weights
from cualex.data import decoding, pack, sources
from cualex.data.framing import Framed
from cualex.data.sources import Source
from cualex.evaluation import evaluate
from cualex.model import Model
from cualex.training.loop import train
from cualex.training.recipes import Recipe
from cualex.training.records import Epoch, Update
from cualex.training.run import Run

RECIPE = Recipe(crop=67, batch=64, rate=0.01, epochs=4, schedule="cosine", colour_noise=0.1, variant={"width": 0.5})
SMALL = 32  # pixels a side of CIFAR-10's images


def chosen(source: Source, classes: list[str]) -> Source:
    """Return a set with some of its classes alone, renumbered."""
    label = {source.classes.index(name): number for number, name in enumerate(classes)}
    splits = {
        split: tuple(dataclasses.replace(image, label=label[image.label]) for image in images if image.label in label)
        for split, images in source.splits.items()
    }
    return dataclasses.replace(
        source, identity=f"{source.identity}-{'-'.join(classes)}", classes=tuple(classes), splits=splits
    )


def main() -> None:
    """Train, quantise, and print the test accuracy of the quantised weights."""
    parser = argparse.ArgumentParser(prog="python -m cualex.pretrained", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("data", help="CIFAR-10 as a folder or archive with train/ and test/")
    parser.add_argument("--output", default="pretrained.safetensors", help="file to write")
    parser.add_argument("--runs", default="runs", help="where the run is kept")
    parser.add_argument("--classes", help="train on these alone, such as cat,dog: for measurements")
    parser.add_argument("--epochs", type=int, default=RECIPE.epochs, help="passes over all variants of all images")
    given = parser.parse_args()
    source = sources.find(given.data, val="test")  # all training images train; the last epoch is kept
    if given.classes:
        source = chosen(source, given.classes.split(","))
    recipe = RECIPE.but(epochs=given.epochs)
    small = decoding.finish(pack.pack(source, "train", SMALL))
    stored = round(recipe.crop * 256 / 227)
    test = decoding.finish(pack.pack(source, "test", stored))
    run = Run.create(given.runs, "pretrained")
    for record in train(recipe, Framed(small, stored), test, run, description={"data": source.name}):
        if isinstance(record, Update) and record.update % 100 == 0:
            print(f"update {record.update}/{record.updates}: loss {record.loss:.3f}", file=sys.stderr)
        elif isinstance(record, Epoch):
            print(f"epoch {record.epoch}: test top-1 {record.validation.top1:.2%}", file=sys.stderr)
    last = weights.load(run.path / "last.safetensors")
    weights.save(given.output, dataclasses.replace(last, velocities={}, notes={}), eight_bits=True)
    kept = weights.load(given.output)
    result = evaluate(Model(kept), test)
    print(f"{Path(given.output)}: test top-1 {result.top1:.2%} of {result.count:,} images, as stored in 8 bits")


if __name__ == "__main__":
    main()
