"""`cualex export`: weights for other programs."""

from pathlib import Path

import click

from cualex.cli import _options, _output


@click.command()
@_options.weights
@click.option(
    "--to",
    type=click.Choice(["onnx", "torch", "caffe"]),
    required=True,
    help="ONNX; safetensors for PyTorch; or Caffe's caffemodel with its prototxt beside it.",
)
@click.option("-o", "--output", type=_options.FILE, required=True, metavar="FILE", help="Where to write.")
@_options.check
@_options.as_json
def export(weights: Path | None, to: str, output: Path, check: Path | None, as_json: bool) -> None:
    """Write a network for other programs.

    ONNX holds the whole network, mean and scale included: it takes RGB from 0 to 255 of the crop, and gives
    probabilities. Safetensors hold the tensors with the names of a PyTorch module (torchvision's, for its AlexNet).
    Classic dropout, which multiplies at test, goes into the weights above it, for these programs have it inverted.

    \b
    Examples:
        cualex export --to onnx -o network.onnx --check cat.jpg
        cualex export -w best.safetensors --to torch -o network.safetensors
        cualex export -w best.safetensors --to caffe -o network.caffemodel
    """
    from importlib import import_module

    from cualex import weights as weights_file
    from cualex.formats import compare
    from cualex.training.run import newest_weights

    if weights is None:
        weights = newest_weights()
        _output.say(f"Weights: {weights}, of the newest finished run.")
    held = weights_file.load(weights)
    written = import_module(f"cualex.formats.{to}.export").save(output, held)
    checked = None if check is None else compare.exported(written, to, held, check)
    if as_json:
        _output.document({"weights": weights, "to": to, "files": written, "check": checked})
        return
    for path in written:
        click.echo(path)
    if checked:
        click.echo(checked)
