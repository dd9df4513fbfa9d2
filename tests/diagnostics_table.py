"""Make diagnostics.csv: what each diagnostic says of right data of twelve kinds, and of wrong data.

    python -m tests.diagnostics_table            about 40 minutes on 2 cores; it goes on where it was stopped

A row is a set; "quiet" is what a diagnostic says when it has nothing to say. check: `cualex check` on the files.
check --weights: the best weights of the training on the validation images. overfit: `train --overfit 32`.
gradients: `train --check-gradients`, with initial weights, and with those at the end. training: what `train` says while
it runs; end: the verdict. The network is alexnet at 67 pixels, by the recipe below. Validation has as many images of a
class as 0.4 times what training has.

What is responsible for what:

    shuffled labels            No image shows it. The verdict: no better than guessing; and "stuck" where the loss
                               stays at that of guessing. Images that all differ are learned by heart with any labels,
                               so that overfit is quiet, and says that it cannot know.
    copies with other labels   check: contradiction, leakage; overfit, before anything is trained
    all alike                  the same
    one class twice            check: overlap, and each copy; overfit
    val swapped                Red and blue are swapped in validation. check: colours, unless the images are grey or
                               no class has a tint of its own.
    all swapped                They are in both. No image shows it; check --weights does, with weights that have learned
                               the same classes in the right colours (here the other way round).
    mean picture doubled       training: "off centre"
    rate times 30              training: "stuck" or not finite; overfit with --lr
    (dark, right data)         training: "stuck", and the verdict: with a few levels of contrast the loss stays at that
                               of guessing in these updates, so that both are true
    mean picture with NaN      training and overfit name the input of the network; of the photographs the NaN is in
                               column 75, outside the centre crop, which is all that overfit shows
"""

import csv
import dataclasses
import tempfile
from pathlib import Path

import numpy as np

from cualex import weights
from cualex.data import pack, sources
from cualex.data.decoding import finish
from cualex.training.debugging.overfit import TRIES
from cualex.training.recipes import PAPER
from cualex.training.run import Run
from tests.support import data_kinds, diagnosing

TABLE = Path(__file__).with_name("diagnostics.csv")
RECIPE = PAPER.but(crop=67, batch=32, variant={"width": 0.5})
SIZE = 76
UPDATES = 400  # of a training, the last fifth at a tenth of the rate
SHARE = 0.4  # of validation


def recipe(count, **numbers):
    """Return a recipe for so many images: about UPDATES updates."""
    epochs = max(round(UPDATES * RECIPE.batch / count), 2)
    return RECIPE.but(epochs=epochs, drop_epochs=(epochs * 4 // 5,), **numbers)


def row(place, learn, judge, spoil=None, rate=1.0, against=None):
    """Return what is said of two sets of images, with the rate times a number.

    spoil: changes the pack of train.  against: the images of check --weights, those of validation if not given.
    """
    data_kinds.on_disk(place / "set", learn)
    data_kinds.on_disk(place / "set", judge, "val")
    source = sources.find(place / "set")
    train, val = (finish(pack.pack(source, split, SIZE, cache=place)) for split in ("train", "val"))
    train = spoil(train) if spoil else train
    how, run = recipe(len(train), rate=RECIPE.rate * rate), Run.create(place)
    found = diagnosing.trained(how, train, val, run)
    best = run.path / "best.safetensors"
    kept = weights.load(best) if best.exists() and not spoil and rate == 1 else None
    return {
        "check": diagnosing.checked(place / "set", SIZE),
        "check --weights": kept and diagnosing.preprocessing_compared(kept, data_kinds.Pack(against or judge, SIZE)),
        "overfit": diagnosing.learned_by_heart(how, train, tries=TRIES if rate == 1 else 1),
        "gradients": diagnosing.gradients_checked(how, train),
        "gradients at the end": kept and diagnosing.gradients_checked(how, train, kept),
        **found,
    }


def doubled(train):
    """Double the mean picture."""
    return dataclasses.replace(train, mean=2 * train.mean)


def broken(train):
    """Put a number that is none into the mean picture."""
    return dataclasses.replace(train, mean=np.where(train.mean == train.mean.max(), np.nan, train.mean))


def cases():
    """Yield (name, whether it is right, how to make the row)."""

    def drawn(kind, change=lambda images: images, change_val=None):
        learn, judge = data_kinds.draw(kind), data_kinds.draw(kind, seed=1, share=SHARE)
        return change(learn), (change_val or change)(judge)

    def same(images):
        return images

    for kind in data_kinds.RIGHT:
        yield kind, True, lambda place, kind=kind: row(place, *drawn(kind))
    for kind in ("demo", "photographs"):
        for name, change, change_val in (
            ("shuffled labels", data_kinds.shuffled, same),
            ("copies with other labels", data_kinds.shuffled_copies, same),
            ("all alike", data_kinds.all_alike, data_kinds.all_alike),
            ("one class twice", data_kinds.one_twice, data_kinds.one_twice),
            ("val swapped", same, data_kinds.swapped),
            ("all swapped", data_kinds.swapped, data_kinds.swapped),
        ):

            def make(place, kind=kind, name=name, changes=(change, change_val)):
                right = data_kinds.draw(kind, seed=1, share=SHARE) if name == "all swapped" else None
                return row(place, *drawn(kind, *changes), against=right)

            yield f"{kind}: {name}", False, make
        for name, settings in (
            ("mean picture doubled", {"spoil": doubled}),
            ("mean picture with NaN", {"spoil": broken}),
            ("rate times 30", {"rate": 30.0}),
        ):
            yield (
                f"{kind}: {name}",
                False,
                lambda place, kind=kind, settings=settings: row(place, *drawn(kind), **settings),
            )


def main():
    """Write the rows that are not there yet."""
    held = list(csv.DictReader(TABLE.open(newline=""))) if TABLE.exists() else []
    done = {each["set"] for each in held}
    for name, right, make in cases():
        if name in done:
            continue
        with tempfile.TemporaryDirectory() as there:
            held.append({"set": name, "right": "right" if right else "wrong", **make(Path(there))})
        print(held[-1], flush=True)
        with TABLE.open("w", newline="") as file:
            table = csv.DictWriter(file, held[0], lineterminator="\n")
            table.writeheader()
            table.writerows(held)


if __name__ == "__main__":
    main()
