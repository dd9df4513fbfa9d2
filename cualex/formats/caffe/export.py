"""Write a network for Caffe: `NAME.caffemodel`, `NAME.prototxt` and the mean image, `NAME.binaryproto`.

A caffemodel in the layout since 2015, with the numbers of each layer too; see `caffe_file` for the fields.
"""

from pathlib import Path

import numpy as np

from cualex.formats.caffe.graph import Entry, Layers
from cualex.formats.caffe.read import CONVOLUTION, LRN
from cualex.formats.reading.protobuf_writer import Pieces, field, message, packed, write
from cualex.system import files
from cualex.weights import Weights

# Of the numbers in a caffemodel only those are repeated that a reader of weights should check: their fields.
FIELDS = {
    "convolution_param": (CONVOLUTION[1], {"num_output": 1, "bias_term": 2, "pad": 3, "kernel_size": 4}),
    "lrn_param": (LRN[1], {"local_size": 1, "alpha": 2, "beta": 3, "norm_region": 4, "k": 5}),
}
FIELDS["convolution_param"][1].update(group=5, stride=6)


def save(path: str | Path, weights: Weights) -> list[Path]:
    """Write the three files, each whole or not at all; return them."""
    path, network = Path(path), weights.network
    entries = Layers(network, weights.tensors).entries
    model = message(field(1, network.name), *(field(100, _layer(entry)) for entry in entries))
    image = np.ascontiguousarray(weights.mean[..., ::-1].transpose(2, 0, 1)[None], "<f4")
    shape = [field(number, length) for number, length in enumerate(image.shape, 1)]
    mean = message(*shape, field(5, image))
    beside, means = path.with_suffix(".prototxt"), path.with_suffix(".binaryproto")
    files.replace_text(beside, prototxt(network.name, network.crop, entries))
    files.replace(means, lambda part: write(part, mean))
    files.replace(path, lambda part: write(part, model))
    return [path, beside, means]


def prototxt(name: str, crop: int, entries: list[Entry]) -> str:
    """Write the text that Caffe builds the network from."""
    lines = [
        "# data: BGR from 0 to 255, less the mean picture at the crop.",
        f'name: "{name}"',
        _block("layer", [*_named("data", "Input", [], ["data"]), f"input_param {{ {_shape(crop)} }}"]),
    ]
    for entry in entries:
        numbers = [
            _block(kind, [f"{key}: {_said(value)}" for key, value in own.items()])
            for kind, own in entry.numbers.items()
        ]
        lines.append(_block("layer", [*_named(entry.name, entry.type, entry.bottoms, entry.tops), *numbers]))
    return "\n".join(lines) + "\n"


def _shape(crop: int) -> str:
    return f"shape: {{ dim: 1 dim: 3 dim: {crop} dim: {crop} }}"


def _named(name: str, kind: str, bottoms: list[str], tops: list[str]) -> list[str]:
    reads = [f'bottom: "{each}"' for each in bottoms] + [f'top: "{each}"' for each in tops]
    return [f'name: "{name}"', f'type: "{kind}"', *reads]


def _block(name: str, lines: list[str]) -> str:
    inside = "\n".join(lines).replace("\n", "\n  ")
    return f"{name} {{\n  {inside}\n}}"


def _said(value: object) -> str:
    """Write a number as a prototxt has it; a word is one of Caffe's own."""
    if isinstance(value, bool):
        return str(value).lower()
    return repr(float(np.float32(value))) if isinstance(value, float) else str(value)


def _layer(entry: Entry) -> Pieces:
    """Write LayerParameter: name, type, bottoms, tops, blobs, numbers."""
    reads = [*(field(3, each) for each in entry.bottoms), *(field(4, each) for each in entry.tops)]
    made = message(field(1, entry.name), field(2, entry.type), *reads, *(field(7, _blob(each)) for each in entry.blobs))
    for kind, numbers in entry.numbers.items():
        if kind in FIELDS:
            place, own = FIELDS[kind]
            made += field(place, message(*(field(own[key], _number(value)) for key, value in numbers.items())))
    return made


def _number(value: int | float | str) -> int | float:
    """Write a truth as a number, and the one word that Caffe has a number for."""
    return 1 if value == "WITHIN_CHANNEL" else int(value) if isinstance(value, bool) else value


def _blob(values: np.ndarray) -> Pieces:
    """Write BlobProto: numbers and shape."""
    return message(field(5, np.ascontiguousarray(values, "<f4")), field(7, packed(1, values.shape)))
