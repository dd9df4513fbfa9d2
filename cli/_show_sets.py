"""`cualex show predictions`, `mistakes` and `confusion`: what a network makes of a data set."""

from pathlib import Path
from typing import Any

import click

from cualex.cli import _aliases, _model, _options, _output, _show, _show_data
from cualex.cli._show_data import on_data


@click.command(cls=_aliases.Command)
@click.argument("named", nargs=-1, metavar="[DATA | IMAGES...]")
@_options.weights
@_show.count(8, "Number of images to draw.")
@_show.seed("Random seed of the choice of images.")
@_show.output("predictions", ".csv")
@_show.theme
@on_data
@_options.as_json
def predictions(
    named: tuple[str, ...],
    weights: Path | None,
    count: int,
    seed: int,
    output: Path | None,
    theme: str,
    as_json: bool,
    **options: Any,
) -> None:
    """Plot images with their likeliest classes, as figure 4.

    DATA is what `cualex evaluate` takes, by default the data set of the run: images of it are drawn at random, of as
    many classes as there are. IMAGES are image files, without a true class. Columns of the numbers: picture, class (the
    true one), rank, named, probability.

    \b
    Examples:
        cualex show predictions
        cualex show predictions photos/ --count 12 --seed 3
        cualex show predictions cat.jpg dog.jpg -w cifar10
    """
    from cualex.plots import gallery

    path = _show.target(output, "predictions", ".csv")
    if all(map(_show_data.is_image, named)) and named:
        cards, model, document = _of_files(named[:count], weights, options)
        said, shown = "The likeliest classes.", None
        if len(named) > count:
            _output.say(f"Note: {count} of {len(named)} images are drawn; --count {len(named)} draws all.")
    else:
        if len(named) > 1:
            _refuse(named)
        shown = _show_data.opened(named[0] if named else None, weights, **options)
        model = shown.model
        indices = gallery.chosen(shown.pack.labels, count, seed)
        stored, crops = shown.crops(indices)
        found = [model.best(each) for each in model.probabilities(stored)]
        cards = [
            gallery.Card(shown.pack.names[index], image, guesses, shown.pack.classes[shown.pack.labels[index]])
            for index, image, guesses in zip(indices, crops, found, strict=True)
        ]
        said = f"{shown.title}; {model.network.name}. The true class, then the likeliest: "
        said += "green is the true one, purple a wrong first."
        document = shown.document
    rows = gallery.draw_predictions(cards, path, said + _show.untrained(model), _show.colours(theme))
    _show.finish(path, rows, as_json, **document, predictions=rows)
    if shown:
        _show_data.refuse_skipped(shown.pack)


def _refuse(named: tuple[str, ...]) -> None:
    from cualex.errors import UsageError

    other = next(name for name in named if not _show_data.is_image(name))
    raise UsageError(f"{other} is no image file: give image files alone, or one data set")


def _of_files(
    named: tuple[str, ...], weights: Path | None, options: dict[str, Any]
) -> tuple[list, Any, dict[str, Any]]:
    """Return cards of image files, the model, and what JSON says of it."""
    import numpy as np

    from cualex.plots import gallery

    path, model = _model.load(weights, options["device"], options["precision"], bundled=True)
    images = np.stack([model.read(name) for name in named])
    cards = [
        gallery.Card(Path(name).name, image, model.best(each))
        for name, image, each in zip(named, _show_data.cropped(model, images), model.probabilities(images), strict=True)
    ]
    return cards, model, dict(_show.described(model.network, path))


@click.command(cls=_aliases.Command)
@click.argument("data", required=False)
@_options.weights
@_show.count(24, "Number of images to draw; the numbers have them all.")
@_options.batch_size(32)
@_show.output("mistakes", ".csv")
@_show.theme
@on_data
@_options.as_json
def mistakes(
    data: str | None,
    weights: Path | None,
    count: int,
    batch_size: int,
    output: Path | None,
    theme: str,
    as_json: bool,
    **options: Any,
) -> None:
    """Plot the images that are classified wrongly.

    The most confident mistakes come first. DATA is what `cualex evaluate` takes, by default the data set of the run.
    Columns of the numbers: picture, class (the true one), named, probability.

    \b
    Examples:
        cualex show mistakes
        cualex show mistakes photos/ --split test --count 48
    """
    from cualex import evaluation
    from cualex.plots import gallery

    path = _show.target(output, "mistakes", ".csv")
    shown = _show_data.opened(data, weights, **options)
    found = evaluation.evaluate(shown.model, shown.pack, batch_size)
    wrong = gallery.mistaken(found)
    said = f"{shown.title}: {found.count - found.right1:,} of {found.count:,} images are wrong"
    if len(wrong):
        _, crops = shown.crops(wrong[:count])
        said += f"; the {count} most confident mistakes." if len(wrong) > count else "; the most confident comes first."
        said += " Bold: what an image was taken for, with the probability; below it, what it is."
        said += _show.untrained(shown.model)
        rows = gallery.draw_mistakes(found, crops, path, said, _show.colours(theme))
        _show.finish(path, rows, as_json, **shown.document, mistakes=rows)
    else:
        _output.say(f"{said}, so there is no plot.")
        if as_json:
            _output.document({"output": None, "numbers": None, **shown.document, "mistakes": []})
    _show_data.refuse_skipped(shown.pack)


@click.command(cls=_aliases.Command)
@click.argument("data", required=False)
@_options.weights
@_options.batch_size(32)
@_show.output("confusion", ".csv")
@_show.theme
@on_data
@_options.as_json
def confusion(
    data: str | None,
    weights: Path | None,
    batch_size: int,
    output: Path | None,
    theme: str,
    as_json: bool,
    **options: Any,
) -> None:
    """Plot the confusion matrix.

    DATA is what `cualex evaluate` takes, by default the data set of the run. Of more than 40 classes an overview is
    drawn, without classes that no image is of or was taken for, in which those that are confused lie beside one
    another, and a list of the most frequent confusions. The numbers are the confusion.csv of `cualex evaluate`: rows
    are true classes, columns predicted ones.

    \b
    Examples:
        cualex show confusion
        cualex show confusion photos/ -o confusion.svg
    """
    from cualex import evaluation
    from cualex.plots import confusion as drawing

    path = _show.target(output, "confusion", ".csv")
    shown = _show_data.opened(data, weights, **options)
    found = evaluation.evaluate(shown.model, shown.pack, batch_size)
    drawing.draw(found, path, _show.colours(theme), _show.untrained(shown.model))
    about = {"pictures": found.count, "top1": found.top1, "classes": found.classes, "confusion": found.confusion}
    _show.finish(path, found.confusion_csv(), as_json, **shown.document, **about)
    _show_data.refuse_skipped(shown.pack)
