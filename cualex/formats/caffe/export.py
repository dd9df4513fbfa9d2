"""Write a network for Caffe: `NAME.caffemodel`, `NAME.prototxt` and the mean image, `NAME.binaryproto`.

The caffemodel has the layout since 2015, with hyperparameters; see `read.py` for the fields.
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from cualex.formats.caffe.graph import Entry, Layers
from cualex.formats.caffe.read import CONVOLUTION, LRN
from cualex.formats.reading.protobuf import Pieces, field, message, packed, write
from cualex.system import files
from cualex.weights import Weights


class Numbers(NamedTuple):
    """Hyperparameters of a layer: the field of the message, and the fields inside it by name."""

    number: int
    fields: dict[str, int]


# Of the hyperparameters a caffemodel repeats those that a reader of weights should check.
FIELDS = {
    "convolution_param": Numbers(
        CONVOLUTION[1], {"num_output": 1, "bias_term": 2, "pad": 3, "kernel_size": 4, "group": 5, "stride": 6}
    ),
    "lrn_param": Numbers(LRN[1], {"local_size": 1, "alpha": 2, "beta": 3, "norm_region": 4, "k": 5}),
}


def save(path: str | Path, weights: Weights) -> list[Path]:
    """Write the three files, whole or not at all; return their paths."""
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
    """Return the prototxt, from which Caffe builds the network."""
    lines = [
        "# data: BGR from 0 to 255, less the mean picture at the crop.",
        f'name: "{name}"',
        _block("layer", [*_named("data", "Input", [], ["data"]), f"input_param {{ {_shape(crop)} }}"]),
    ]
    for entry in entries:
        numbers = [
            _block(kind, [f"{key}: {_literal(value)}" for key, value in values.items()])
            for kind, values in entry.numbers.items()
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


def _literal(value: object) -> str:
    """Return a value in the syntax of a prototxt; a text is one of Caffe's enums."""
    if isinstance(value, bool):
        return str(value).lower()
    return repr(float(np.float32(value))) if isinstance(value, float) else str(value)


def _layer(entry: Entry) -> Pieces:
    """Encode LayerParameter: name, type, bottoms, tops, blobs, hyperparameters."""
    reads = [*(field(3, each) for each in entry.bottoms), *(field(4, each) for each in entry.tops)]
    made = message(field(1, entry.name), field(2, entry.type), *reads, *(field(7, _blob(each)) for each in entry.blobs))
    for kind, numbers in entry.numbers.items():
        if kind in FIELDS:
            outer, inner = FIELDS[kind]
            made += field(outer, message(*(field(inner[key], _number(value)) for key, value in numbers.items())))
    return made


def _number(value: int | float | str) -> int | float:
    """Return booleans and the enum WITHIN_CHANNEL as integers."""
    if isinstance(value, str):
        return {"WITHIN_CHANNEL": 1}[value]
    return int(value) if isinstance(value, bool) else value


def _blob(values: np.ndarray) -> Pieces:
    """Encode BlobProto: data and shape."""
    return message(field(5, np.ascontiguousarray(values, "<f4")), field(7, packed(1, values.shape)))
