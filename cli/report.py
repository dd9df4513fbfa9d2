"""`cualex report`: a training as one HTML file."""

from pathlib import Path

import click

from cualex.cli import _aliases, _model, _options, _output, _packing
from cualex.errors import UsageError


@click.command(cls=_aliases.Command)
@click.argument("named", metavar="[RUN|WEIGHTS]", type=_options.FILE, required=False)
@_options.data()
@_options.weights
@click.option(
    "-o",
    "--output",
    type=_options.FILE,
    metavar="FILE",
    help="HTML file to write.  [default: report.html in the run directory, or beside the weights file under its name]",
)
@_options.no_pack
@_options.cache
@_options.workers
@_options.yes
@_options.device
@_options.precision
def report(
    named: Path | None,
    weights: Path | None,
    data: str | None,
    output: Path | None,
    no_pack: bool,
    cache: Path | None,
    workers: int | None,
    yes: bool,
    device: str,
    precision: str | None,
) -> None:
    """Write a run as one HTML page, to read and to pass on.

    What was trained and how it differs from the paper, curves, precision and recall of each class, the confusion
    matrix, the first filters, the most confident mistakes with heat maps (Grad-CAM), the time of each layer, and how to
    train the same again. The file needs no other file and no network, and can be read on a phone; of paths it has only
    the last part. `cualex train` writes one at its end, of at most 1,000 images, with the profile of inference.

    DATA is the data set to evaluate, as for `cualex evaluate`; by default the run's validation images. Weights without
    a run, and a run whose data set is gone, give the sections that can be had.

    \b
    Examples:
        cualex report
        cualex report runs/train-2 -o dogs.html
        cualex report best.safetensors photos
    """
    from cualex.page import report as reports
    from cualex.page import sections
    from cualex.system import files

    if named and weights:
        raise UsageError(f"two weights files, {named} and {weights}: give one.")
    given = named or weights or _model.chosen(inside=True)
    target = output or reports.target(given)
    files.require_writable(target)

    def opened(source, split: str, size: int):
        made = _packing.packs(source, [split], size, cache=cache, workers=workers, yes=yes, keep=not no_pack)
        return made[split]

    compiling = _output.Compiling()
    found = reports.read(given, data, device=device, precision=precision, opened=opened, compiling=compiling)
    if found.why:
        _output.say(f"Note: {found.why}")
    click.echo(sections.write(found, target))
