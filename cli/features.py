"""`cualex features`: the activations of a layer, for other programs or for a linear probe."""

from collections.abc import Iterator
from pathlib import Path

import click

from cualex.cli import _aliases, _inputs, _model, _options, _output, _probe
from cualex.errors import DataError, ImageError, UsageError


@click.command(cls=_aliases.Command)
@_inputs.argument
@click.option(
    "-o",
    "--output",
    type=_options.FILE,
    metavar="FILE",
    help="File to write, .npy or .csv; required without --probe.",
)
@click.option(
    "--probe",
    is_flag=True,
    help="Write no file: fit a linear classifier to the features of a data set's training images, and print its "
    "accuracy on the held-out ones with the 95 % interval.",
)
@click.option(
    "--layer",
    help="Layer whose output to write, named as in `cualex summary`: fc7 is before ReLU, relu7 after it.  [default: "
    "the last hidden layer, after ReLU]",
)
@_options.weights
@_inputs.recursive
@_inputs.from_list
@_options.device
@_options.precision
@_options.as_json
def features(
    pictures: tuple[str, ...],
    output: Path | None,
    probe: bool,
    layer: str | None,
    weights: Path | None,
    recursive: bool,
    from_list: bool,
    device: str,
    precision: str | None,
    as_json: bool,
) -> None:
    """Extract features: the activations of a layer.

    IMAGES are files, folders, quoted globs, or - for an image on standard input. A .npy file holds float32 (image,
    channel, row, column) or (image, feature), with the file names in a text file next to it; a .csv file has a line per
    image, its name first. Images that cannot be read are skipped and listed, and the exit code is then 3.

    With --probe, IMAGES is one labelled data set, in any layout of `cualex train --help`, or "demo"; the accuracy of a
    linear classifier on the features is printed.

    \b
    Examples:
        cualex features photos/ -o photos.npy
        cualex features photos/ --probe --layer pool5
        cualex features "photos/*.jpg" -o photos.csv --layer fc6
        cualex features photos/ -r -o conv1.npy --layer conv1 -w runs/train/best.safetensors
    """
    from cualex import features as files

    if probe:
        _probe_only(pictures, output, recursive, from_list)
        _probe.run(pictures[0], layer, weights, device, precision, as_json)
        return
    if output is None:
        context = click.get_current_context()
        raise click.MissingParameter(ctx=context, param=next(each for each in features.params if each.name == "output"))
    files.check(output)
    given = _inputs.expand(pictures, recursive, from_list)
    path, model = _model.load(weights, device, precision, bundled=True)
    layer = layer or model.hidden
    left_out: list[ImageError] = []
    try:
        with _inputs.progress("Computing", len(given)) as progress:
            shape = files.write(output, _rows(given, model.each(given, layer), left_out, progress), layer)
    except DataError:
        _inputs.finish(left_out, len(given), "")
        raise
    _inputs.say_left_out(left_out)
    where = model.network.side(layer)
    names = files.names_beside(output) if output.suffix.lower() == ".npy" else None
    if as_json:
        skipped = [{"picture": _inputs.shown(error.name), "error": error.reason} for error in left_out]
        written = {"output": output, "names": names, "layer": layer, "shape": shape, "dtype": "float32", "side": where}
        _output.document(written | {"weights": path, "skipped": skipped})
    else:
        beside = f"; the names are in {names}" if names else ""
        side = f" ({where})" if where else ""
        click.echo(f"{output}: {layer}{side} of {shape[0]:,} images, {'x'.join(map(str, shape[1:]))} each{beside}")
    _inputs.finish(left_out, len(given), f"{output} has the others")


def _probe_only(pictures: tuple[str, ...], output: Path | None, recursive: bool, from_list: bool) -> None:
    """Raise UsageError for options that a probe does not have, and unless there is one data set."""
    given = {"--output": output, "--recursive": recursive, "--from-list": from_list}
    if superfluous := [name for name, value in given.items() if value]:
        raise UsageError(f"--probe reads a data set and writes no file: leave {superfluous[0]} out")
    if len(pictures) != 1:
        raise UsageError(f"--probe needs one data set, got {len(pictures)}: give a folder, .zip or .tar, or demo")


def _rows(given, outputs, left_out: list[ImageError], progress) -> Iterator[tuple]:
    """Yield the images that could be read; put the others in `left_out`."""
    for done, ((name, _), found) in enumerate(zip(given, outputs, strict=True), 1):
        if isinstance(found, ImageError):
            left_out.append(found)
        else:
            yield name, found
        progress(done)
