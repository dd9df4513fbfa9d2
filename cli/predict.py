"""`cualex predict`: classify images."""

import csv
import io
from pathlib import Path

import click

from cualex.cli import _aliases, _inputs, _model, _options, _output
from cualex.errors import ImageError, UsageError

HIDDEN = 0.001  # probability under which the table leaves a class out; JSON and files have all of --top
BOM = "\ufeff"  # without it Excel takes UTF-8 for the letters of Windows' code page


@click.command(cls=_aliases.Command)
@_inputs.argument
@_options.weights
@click.option(
    "--top",
    type=click.IntRange(1),
    default=5,
    show_default=True,
    help="Number of classes for each image; the table leaves out those under 0.1 %.",
)
@click.option(
    "--min",
    "least",
    type=_options.Number(0, 1),
    metavar="P",
    help="Reject images whose top probability is below P, such as 0.5: no class in table and CSV, 'accepted': false "
    "in JSON.",
)
@_options.crops
@click.option(
    "-o",
    "--output",
    type=_options.FILE,
    metavar="FILE",
    help="File to write instead of the table, .csv or .json.",
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
    least: float | None,
    crops: str,
    output: Path | None,
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

    -o out.csv writes a line an image, for spreadsheets (UTF-8 with a byte order mark, as Excel expects it): image,
    class, probability, class_2, probability_2 and so on, and a note where there is no class. -o out.json writes what
    --json prints, where --min marks each image as accepted or not.

    \b
    Examples:
        cualex predict cat.jpg
        cualex predict holiday/ --recursive --top 1
        cualex predict holiday/ --min 0.5 -o classes.csv
        cualex predict "photos/*.jpg" -w runs/train --json
        cualex predict - < cat.jpg
        find . -name "*.png" | cualex predict --from-list
    """
    from cualex.system import files

    if output is not None:
        if output.suffix.lower() not in (".csv", ".json"):
            raise UsageError(f"{output}: expected a name that ends in .csv or .json")
        files.require_writable(output)
    given = _inputs.expand(pictures, recursive, from_list)
    network, results = None, [source for _, source in given]
    if not all(isinstance(source, ImageError) for source in results):
        weights, model = _model.load(weights, device, precision, bundled=True)
        network, results = model.network.name, []
        with _inputs.progress("Predicting", len(given)) as progress:
            for found in model.each(given, model.output, int(crops)):
                results.append(found if isinstance(found, ImageError) else model.best(found, top))
                progress(len(results))
    answers = [(_inputs.shown(name), found) for (name, _), found in zip(given, results, strict=True)]
    left_out = [found for _, found in answers if isinstance(found, ImageError)]
    document = {
        "weights": weights,
        "network": network,
        "results": [_record(name, found, least) for name, found in answers],
    }
    if output is not None:
        text = _output.document_text(document) + "\n" if output.suffix.lower() == ".json" else _csv(answers, least)
        files.replace_text(output, text)
    if as_json:
        _output.document(document)
    elif output is not None:
        click.echo(f"{output}: {len(answers) - len(left_out):,} of {len(answers):,} images classified")
    elif len(left_out) < len(answers) or len(answers) > 1:
        _output.table([row for name, found in answers for row in _rows(name, found, least)])
    _inputs.finish(left_out, len(answers), "the others are classified")


def _record(name: str, found, least: float | None) -> dict:
    if isinstance(found, ImageError):
        return {"picture": name, "error": _inputs.shown(found.reason)}
    said = {"picture": name, "predictions": [_prediction(named, probability) for named, probability in found]}
    return said if least is None else said | {"accepted": _accepted(found, least)}


def _prediction(named: str, probability: float) -> dict:
    """Return a class with its English name, where that is another: of ImageNet's WordNet numbers."""
    title = _inputs.title(named)
    english = {"name": title} if title != _inputs.shown(named) else {}
    return {"class": named, **english, "probability": probability}


def _accepted(found, least: float | None) -> bool:
    """Return whether the likeliest class reaches --min; NaN does not."""
    return least is None or found[0][1] >= least


def _refused(found, least: float | None) -> str:
    """Return what an image gets in place of a class."""
    if isinstance(found, ImageError):
        return f"not read: {_inputs.shown(found.reason)}"
    named, probability = found[0]
    return f"none over {least:.4g} (likeliest: {_inputs.title(named)}, {probability:.1%})"


def _rows(name: str, found, least: float | None) -> list[dict]:
    """Return a row per class; the first has the image's name."""
    if isinstance(found, ImageError) or not _accepted(found, least):
        return [{"image": name, "probability": "", "class": _refused(found, least)}]
    return [
        {
            "image": "" if rank else name,
            "probability": f"{probability:>11.1%}",
            "class": _inputs.title(named),
        }
        for rank, (named, probability) in enumerate(found)
        if not rank or not probability < HIDDEN
    ]


def _csv(answers, least: float | None) -> str:
    """Return a line an image; without a class those columns are empty and the note says why."""
    most = max((len(found) for _, found in answers if not isinstance(found, ImageError)), default=1)
    numbered = ["" if rank == 1 else f"_{rank}" for rank in range(1, most + 1)]
    text = io.StringIO()
    lines = csv.writer(text, lineterminator="\n")
    lines.writerow(["image", *(f"{each}{rank}" for rank in numbered for each in ("class", "probability")), "note"])
    for name, found in answers:
        if isinstance(found, ImageError) or not _accepted(found, least):
            lines.writerow([name, *[""] * (2 * most), _refused(found, least)])
        else:
            cells = [cell for named, probability in found for cell in (_inputs.title(named), f"{probability:.6g}")]
            lines.writerow([name, *cells, ""])
    return BOM + text.getvalue()
