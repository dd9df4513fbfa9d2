"""`cualex evaluate`: accuracy, per class, and the confusion matrix."""

from pathlib import Path

import click

from cualex.cli import _aliases, _inputs, _model, _options, _output, _packing, _ranks
from cualex.errors import Unreadable

FULL = 50  # classes shown in full; of more, those that are worst


@click.command(cls=_aliases.Command)
@click.argument("data", required=False)
@click.option(
    "-w",
    "--weights",
    multiple=True,
    type=_options.FILE,
    metavar="FILE",
    help="Weights file, run directory or cifar10; repeat -w to average the probabilities of several.  [default: "
    "best.safetensors of the newest finished run in ./runs]",
)
@_options.crops
@click.option(
    "--split",
    type=click.Choice(["train", "val", "test"]),
    help="Split to evaluate.  [default: val, else test, else all images]",
)
@_options.batch_size(32)
@click.option(
    "-o",
    "--output",
    type=_options.FILE,
    metavar="DIR",
    help="Directory to write per_class.csv, confusion.csv, confusion.png and predictions.csv to.",
)
@click.option(
    "--val-split",
    type=_options.Number(0, 1, max_open=True),
    help="Fraction of each class held out, as `train --val-split`.  [default: the run's, for its own data set]",
)
@_options.names
@_options.no_pack
@_options.cache
@_options.workers
@_options.yes
@_options.device
@_options.precision
@_ranks.ranks
@_ranks.peer_timeout
@_options.as_json
def evaluate(data, weights, crops, split, batch_size, output, val_split, names, device, precision, as_json, **packing):
    """Measure accuracy: top-1, top-5, precision, recall, F1.

    DATA is what `cualex train` takes, by default the data set of the run. Its folders are matched by name with the
    classes of the weights file. Prints top-1 and top-5 accuracy, the mean cross-entropy, and precision, recall and F1
    of each class with its most frequent confusion. Their macro averages count every class that has images the same; a
    class that is never predicted has no precision, and counts as 0. Exit code 3: some images could not be read.

    \b
    Examples:
        cualex evaluate
        cualex evaluate photos -w runs/train/best.safetensors --split test
        cualex evaluate photos.zip -o judged
        cualex evaluate photos --crops 10 -w runs/train/best.safetensors -w runs/train-2/best.safetensors
    """
    from cualex import evaluation
    from cualex.system import files

    paths, models = zip(*(_model.load(path, device, precision) for path in weights or [None]), strict=True)
    evaluation.check_together(models, paths)
    model = models[0]
    source = _packing.find_evaluated(data, paths[0], model.classes, val_split, names)
    evaluation.check_classes(model.classes, source.classes)
    split, called = _packing.choose(source, split)
    if output is not None:
        files.make_directory(output)  # before the work, so that nobody waits for an error
    ranks = _ranks.team()
    pack = _packing.one(source, split, model.network.stored, ranks=ranks, **packing)
    _ranks.check_same({"classes": model.classes, "images": pack.names, "labels": pack.labels.tolist()}, "images")
    found = evaluation.evaluate(models, pack, batch_size, _ranks.wait_for_all, crops=int(crops), ranks=ranks)
    if not ranks.first:
        return
    if output is not None:
        _write(found, output)
    head = {
        "weights": paths,
        "crops": int(crops),
        "data": source.name,
        "split": called,
        "pictures": found.count,
    }
    (_document if as_json else _show)(found, head, pack.skipped)
    if output is not None:
        _output.say(f"Written: per_class.csv, confusion.csv, confusion.png and predictions.csv in {output}")
    if pack.skipped:
        total = found.count + len(pack.skipped)
        raise Unreadable(f"{len(pack.skipped):,} of {total:,} images could not be read; the others are evaluated.")


def _write(found, directory: Path) -> None:
    from cualex.plots import confusion
    from cualex.system import files

    files.replace_text(directory / "per_class.csv", found.per_class_csv())
    files.replace_text(directory / "confusion.csv", found.confusion_csv())
    files.replace_text(directory / "predictions.csv", found.predictions_csv())
    confusion.draw(found, directory / "confusion.png")


def _document(found, head: dict, skipped) -> None:
    figures = {
        "top1": found.top1,
        "top5": found.top5,
        "macro_recall": found.macro_recall,
        "macro_precision": found.macro_precision,
        "macro_f1": found.macro_f1,
        "loss": found.loss,
    }
    matrix = {"classes": found.per_class(), "confusion": found.confusion}
    left_out = [{"name": _inputs.shown(name), "reason": reason} for name, reason in skipped]
    _output.document(head | figures | matrix | {"skipped": left_out})


def _show(found, head: dict, skipped) -> None:
    from cualex.evaluation import accuracies

    counts = (head["crops"], "crops"), (len(head["weights"]), "networks")
    averaged = " x ".join(f"{count} {what}" for count, what in counts if count > 1)
    click.echo(
        f"{head['data']} {head['split']}, {found.count:,} images{averaged and f', mean of {averaged}'}: "
        f"{', '.join(accuracies(found.top1, found.top5, len(found.classes)))}, loss {found.loss:.4f}"
    )
    click.echo(
        f"Macro averages: precision {found.macro_precision:.1%}, recall {found.macro_recall:.1%}, "
        f"F1 {found.macro_f1:.1%}\n"
    )
    rows = found.per_class()
    if len(rows) > FULL:
        rows = sorted((row for row in rows if row["pictures"]), key=lambda row: row["share"])[:FULL]
        click.echo(f"The {len(rows)} worst of {len(found.classes):,} classes; --output writes them all.\n")
    _output.table(
        [
            {
                "class": _inputs.title(row["class"]),
                "images": row["pictures"],
                "correct": row["right"],
                **{name: _percent(row[name]) for name in ("precision", "recall", "f1")},
                "most confused with": _inputs.title(row["taken_for"]),
            }
            for row in rows
        ],
        spare=("correct", "images"),
        right=("precision", "recall", "f1"),
    )


def _percent(figure: float | None) -> str:
    """Return a figure of a class; 0 / 0 leaves its cell empty."""
    return "" if figure is None else f"{figure:.1%}"
