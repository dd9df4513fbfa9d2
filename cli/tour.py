"""`cualex tour`: the page of `cualex explore` as one HTML file, to hand out."""

from pathlib import Path

import click

from cualex.cli import _aliases, _inputs, _model, _options, _output
from cualex.errors import ImageError


@click.command(cls=_aliases.Command)
@_inputs.argument
@click.option(
    "-o",
    "--output",
    type=_options.FILE,
    default="tour.html",
    show_default=True,
    metavar="FILE",
    help="HTML file to write.",
)
@_options.weights
@_inputs.recursive
@_inputs.from_list
@_options.device
@_options.precision
@_options.as_json
def tour(
    pictures: tuple[str, ...],
    output: Path,
    weights: Path | None,
    recursive: bool,
    from_list: bool,
    device: str,
    precision: str | None,
    as_json: bool,
) -> None:
    """Write how a network sees images into one HTML file.

    The page of `cualex explore`, for a browser without a server or a net: hand it out, or open it from a USB stick.

    Networks of up to 24 MB of weights, as the bundled one, are in the file and compute in the browser: parts of an
    image covered, parts of the network switched off, images of one's own. The file of a larger network holds answers
    for IMAGES: probabilities, the maps of all layers in 8 bits, and a heat map; 3 MB an image for alexnet. The page
    says which it is.

    IMAGES are files, folders, quoted globs, or - for an image on standard input. Images that cannot be read are skipped
    and listed, and the exit code is then 3.

    \b
    Examples:
        cualex tour cat.jpg
        cualex tour photos/val/cat photos/val/dog -o lesson.html -w runs/train
    """
    from cualex import weights as weights_file
    from cualex.page import gallery, seeing
    from cualex.page import tour as page
    from cualex.pretrained import located
    from cualex.system import files

    given = _inputs.expand(pictures, recursive, from_list)
    files.require_writable(output)
    examples, left_out = [], []
    for name, source in given:
        try:
            examples.append(gallery.example(name, source))
        except ImageError as error:
            left_out.append(error)
    if not examples:
        _inputs.finish(left_out, len(given), "")
    path = weights or _model.chosen(inside=True)
    seer = seeing.Seer(weights_file.load(located(path)), device, precision)
    with _inputs.progress("Computing", len(examples)) as progress:
        made = page.tour(seer, examples, progress)
    files.replace_text(output, made.text)
    _inputs.say_left_out(left_out)
    size = output.stat().st_size
    if as_json:
        skipped = [{"picture": _inputs.shown(error.name), "error": error.reason} for error in left_out]
        written = {"output": output, "bytes": size, "images": made.images, "computes": made.computes}
        _output.document({**written, "network": seer.weights.network.name, "weights": path, "skipped": skipped})
    else:
        images = "1 image" if made.images == 1 else f"{made.images:,} images"
        holds = "and the network, which computes in the browser" if made.computes else "answers, without the network"
        click.echo(f"{output}: {images}, {holds}; {size / 1e6:.1f} MB")
    _inputs.finish(left_out, len(given), f"{output} has the others")
