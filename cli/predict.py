"""`cualex predict`: classify images."""

from pathlib import Path

import click

from cualex.cli import _aliases, _inputs, _model, _options, _output
from cualex.errors import ImageError


@click.command(cls=_aliases.Command)
@_inputs.argument
@_options.weights
@click.option(
    "--top",
    type=click.IntRange(1),
    default=5,
    show_default=True,
    help="Number of classes to print for each image.",
)
@_inputs.recursive
@_inputs.from_list
@_options.device
@_options.precision
@_options.as_json
def predict(
    pictures: tuple[str, ...],
    weights: Path | None,
    top: int,
    recursive: bool,
    from_list: bool,
    device: str,
    precision: str | None,
    as_json: bool,
) -> None:
    """Classify images, most probable class first.

    IMAGES are files, folders, quoted globs, or - for an image on standard input. Classes and preprocessing are those of
    the weights file. Results are in the order given; an image that cannot be read gets the reason instead of a class,
    and the exit code is then 3.

    \b
    Examples:
        cualex predict cat.jpg
        cualex predict holiday/ --recursive --top 1
        cualex predict "photos/*.jpg" -w runs/train/best.safetensors --json
        cualex predict - < cat.jpg
        find . -name "*.png" | cualex predict --from-list
    """
    given = _inputs.expand(pictures, recursive, from_list)
    path, model = _model.load(weights, device, precision, bundled=True)
    answers = []
    with _inputs.progress("Predicting", len(given)) as progress:
        for (name, _), found in zip(given, model.each(given, model.output), strict=True):
            unread = isinstance(found, ImageError)
            answers.append((_inputs.shown(name), found if unread else model.best(found, top)))
            progress(len(answers))
    left_out = [found for _, found in answers if isinstance(found, ImageError)]
    if as_json:
        results = [_record(name, found) for name, found in answers]
        _output.document({"weights": path, "network": model.network.name, "results": results})
    elif len(left_out) < len(answers) or len(answers) > 1:
        _output.table([row for name, found in answers for row in _rows(name, found)])
    _inputs.finish(left_out, len(answers), "the others are classified")


def _record(name: str, found) -> dict:
    if isinstance(found, ImageError):
        return {"picture": name, "error": _inputs.shown(found.reason)}
    return {"picture": name, "predictions": [_prediction(named, probability) for named, probability in found]}


def _prediction(named: str, probability: float) -> dict:
    """Return a class with its English name, where that is another: of ImageNet's WordNet numbers."""
    title = _inputs.title(named)
    english = {"name": title} if title != _inputs.shown(named) else {}
    return {"class": named, **english, "probability": probability}


def _rows(name: str, found) -> list[dict]:
    """Return a row per class; the first has the image's name."""
    if isinstance(found, ImageError):
        return [{"image": name, "probability": "", "class": f"not read: {_inputs.shown(found.reason)}"}]
    return [
        {
            "image": "" if rank else name,
            "probability": f"{probability:>11.1%}",
            "class": _inputs.title(named),
        }
        for rank, (named, probability) in enumerate(found)
    ]
