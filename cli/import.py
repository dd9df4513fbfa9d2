"""`cualex import`: weights of other programs."""

from pathlib import Path

import click

from cualex.cli import _aliases, _options, _output
from cualex.errors import UsageError


@click.command("import", cls=_aliases.Command)
@click.argument("file", type=_options.FILE)
@click.option(
    "-o",
    "--output",
    type=_options.FILE,
    metavar="FILE",
    help="File to write.  [default: FILE's name with .cualex.safetensors, in this directory]",
)
@click.option("--network", metavar="NAME", help="Target architecture.  [default: recognised from the file]")
@click.option(
    "--towers",
    type=click.Choice(["1", "2"]),
    help="2: convert a network with grouped convolutions to the paper's two towers, the halves on its two GPUs.",
)
@click.option("--crop", type=click.IntRange(1), metavar="SIDE", help="Input size, if it is not the architecture's.")
@click.option(
    "--classes",
    type=_options.FILE,
    metavar="FILE",
    help="Text file with a class name per line, or a CSV with the names in a column called class, label or name; or "
    "wordnet, for ImageNet's synset ids.  [default: ImageNet's names]",
)
@click.option("--mean", type=_options.FILE, metavar="FILE", help="Mean image: .npy or Caffe's .binaryproto.")
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
    """Convert weights of Caffe, ONNX, PyTorch, Keras, TensorFlow.

    FILE is recognised by its contents. Assumptions are printed, one per line; names, shapes and LRN constants that do
    not match are refused before any weight is read. No pickle is executed. `predict`, `evaluate`, `features` and
    `train --from` read the written file.

    \b
    Examples:
        cualex import bvlc_alexnet.caffemodel --mean imagenet_mean.binaryproto
        cualex import alexnet-owt-7be5be79.pth --check cat.jpg
        cualex import bvlc_alexnet.caffemodel --towers 2 -o towers.safetensors
        cualex import oxford102.caffemodel --classes flowers.csv
        cualex import bvlc_alexnet.npy --classes wordnet

    \b
    FILE                                 becomes               converted
        bvlc_alexnet.caffemodel          alexnet-caffe         BGR to RGB; channel mean, or --mean
        bvlc_reference_caffenet...       caffenet              the same; told apart by pooling before LRN
        ONNX zoo bvlcalexnet, caffenet   the same two          the same; run with maps of 55, 27, 13, as trained
        torchvision .pth, safetensors    alexnet-torchvision   names, below any key and prefix (state_dict, model,
          or ONNX export of it                                 module., _orig_mod.); float16 and bfloat16 to float32
        .h5 or .keras of the lectures    alexnet-batchnorm     HWIO to OIHW, running averages (extra: keras)
        bvlc_alexnet.npy (TensorFlow)    alexnet-caffe         HWIO to OIHW, fc6 input order, BGR to RGB
        cualex's own exports, or its     the same network      dropout's x0.5 is undone
          names in PyTorch and --network

    The last layer may have any name and number of outputs, as in fine-tuned networks. Of a checkpoint, weights alone
    are read, optimizer and arguments are skipped, and said. Numbers of an ONNX model in a second file are read from its
    folder. Own weights files need no import: `predict -w`, `train --from`.

    Caffe's LRN spans all channels, so its networks have one tower with grouped convolutions. --towers 2 converts
    bvlc_alexnet to alexnet, whose towers are the halves that two GPUs held: factors in conv1, conv2, conv3, fc7 and fc8
    absorb k, alpha and the dropout scale exactly; only the two channels on either side of the tower border differ in
    norm1 and norm2. Caffe squeezes images to a square; here the centre square is kept. Only PyTorch's zip has
    checksums: for other formats, compare the printed SHA-256 with the publisher's.
    """
    from cualex import weights
    from cualex.formats import compare, load

    output = output or Path(f"{file.stem}.cualex.safetensors")
    if output.exists() and file.exists() and output.samefile(file):
        raise UsageError(f"{output} is the file that is read, and would be replaced: choose another --output.")
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
