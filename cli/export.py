"""`cualex export`: weights for other programs."""

from pathlib import Path

import click

from cualex.cli import _aliases, _options, _output


@click.command(cls=_aliases.Command)
@_options.weights
@click.option(
    "--to",
    type=click.Choice(["onnx", "torch", "caffe"]),
    required=True,
    help="Format: ONNX; safetensors for PyTorch; or Caffe's caffemodel, with its prototxt next to it.",
)
@click.option("-o", "--output", type=_options.FILE, required=True, metavar="FILE", help="File to write.")
@_options.check
@_options.as_json
def export(weights: Path | None, to: str, output: Path, check: Path | None, as_json: bool) -> None:
    """Export a network to ONNX, PyTorch or Caffe.

    ONNX (opset 13) holds the whole network including mean and scale: input `picture`, RGB 0 to 255 at the crop size,
    output `probabilities`. Safetensors have the parameter names of a PyTorch module (torchvision's, for its AlexNet).
    Caffe gets a caffemodel, its prototxt and the mean image; it has no equivalent of alexnet-2012's first layer.
    The x0.5 of the paper's dropout at test time is folded into the next layer's weights, and LRN's alpha is multiplied
    by n, by which these frameworks divide.

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
