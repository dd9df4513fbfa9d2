"""`cualex import`: weights of other programs."""

from pathlib import Path

import click

from cualex.cli import _options, _output


@click.command("import")
@click.argument("file", type=_options.FILE)
@click.option(
    "-o",
    "--output",
    type=_options.FILE,
    metavar="FILE",
    help="Where to write; the file's name with .cualex.safetensors, here, if not given.",
)
@click.option("--network", metavar="NAME", help="Which network it becomes, if not the one it is of.")
@click.option("--towers", type=click.Choice(["1", "2"]), help="2: run the weights as the paper's two towers.")
@click.option("--crop", type=click.IntRange(1), metavar="SIDE", help="Side of the square, if it is not the usual.")
@click.option(
    "--classes",
    type=_options.FILE,
    metavar="FILE",
    help="A list with a class name a line; wordnet: ImageNet's by their numbers, as its folders are called.",
)
@click.option("--mean", type=_options.FILE, metavar="FILE", help="The mean picture: .npy or Caffe's .binaryproto.")
@_options.check
@_options.as_json
def import_(
    file: Path,
    output: Path | None,
    network: str | None,
    towers: str | None,
    crop: int | None,
    classes: Path | None,
    mean: Path | None,
    check: Path | None,
    as_json: bool,
) -> None:
    """Make a weights file of one from another program.

    FILE is a caffemodel (of any year), ONNX, PyTorch's .pth, safetensors, or the NumPy dictionary that AlexNet's
    weights for TensorFlow come in; it is recognised by its contents. No pickle is run. What was assumed is printed,
    a line a topic; what does not fit is refused. predict, evaluate, features and train read what is written.

    \b
    Examples:
        cualex import bvlc_alexnet.caffemodel --mean imagenet_mean.binaryproto
        cualex import alexnet-owt-7be5be79.pth --check cat.jpg
        cualex import bvlc_alexnet.caffemodel --towers 2 -o towers.safetensors
        cualex import flowers.pth --classes flowers.txt
        cualex import bvlc_alexnet.npy --classes wordnet
    """
    from cualex import weights
    from cualex.formats import compare, load

    output = output or Path(f"{file.stem}.cualex.safetensors")
    made, lines = load.load(file, network, int(towers) if towers else None, classes, mean, crop)
    digest = weights.save(output, made)
    lines.append(("written", str(output)))
    if check is not None:
        lines.append(("check", compare.imported(file, made, check)))
    if as_json:
        said = [{"topic": topic, "said": sentence} for topic, sentence in lines]
        _output.document({"output": output, "digest": digest, "network": made.network.name, "assumed": said})
        return
    for topic, sentence in lines:
        click.echo(f"{topic + ':':<10} {sentence}")
