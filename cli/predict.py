"""`cualex predict`: name what is in pictures."""

from pathlib import Path

import click

from cualex.cli import _inputs, _model, _options, _output
from cualex.errors import PictureError


@click.command()
@_inputs.argument
@_options.weights
@click.option(
    "--top",
    type=click.IntRange(1),
    default=5,
    show_default=True,
    help="How many classes to name for each picture.",
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
    """Name what is in pictures, the likeliest class first.

    PICTURES are files, folders, globs in quotes, or - for a picture on standard input. Classes and preprocessing
    are those of the weights file. Every picture has its answer, in the order given; one that cannot be read has the
    reason in place of a class, and the exit code is then 3.

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
            unread = isinstance(found, PictureError)
            answers.append((_inputs.shown(name), found if unread else model.best(found, top)))
            progress(len(answers))
    left_out = [found for _, found in answers if isinstance(found, PictureError)]
    if as_json:
        results = [_record(name, found) for name, found in answers]
        _output.document({"weights": path, "network": model.network.name, "results": results})
    elif len(left_out) < len(answers) or len(answers) > 1:
        _output.table([row for name, found in answers for row in _rows(name, found)])
    _inputs.finish(left_out, len(answers), "the others are named")


def _record(name: str, found) -> dict:
    if isinstance(found, PictureError):
        return {"picture": name, "error": _inputs.shown(found.reason)}
    classes = [{"class": named, "probability": probability} for named, probability in found]
    return {"picture": name, "predictions": classes}


def _rows(name: str, found) -> list[dict]:
    """Write a row a class; the picture's name stands in the first of its rows."""
    if isinstance(found, PictureError):
        return [{"picture": name, "probability": "", "class": f"not read: {_inputs.shown(found.reason)}"}]
    return [
        {
            "picture": "" if rank else name,
            "probability": f"{probability:>11.1%}",
            "class": _inputs.shown(named),
        }
        for rank, (named, probability) in enumerate(found)
    ]
