"""Write a network as ONNX: opset 13 in IR version 7, which every runtime since 2020 reads.

The preprocessing of an image file before the graph (shorter side, centre square, crop) is in the metadata, with the
class names; mean and scale are in the graph, so that it takes RGB from 0 to 255.
"""

import json
from pathlib import Path

import numpy as np

from cualex.formats.conventions import CLASSES, NETWORK
from cualex.formats.onnx import read
from cualex.formats.onnx.graph import INPUT, OUTPUT, Attribute, Graph
from cualex.formats.reading.protobuf import Pieces, field, message, packed, write
from cualex.system import files
from cualex.weights import Weights

IR, OPSET = 7, 13
FLOAT, INTEGERS = 1, 7  # the types of a tensor
ONE_FLOAT, ONE_INTEGER, MANY_INTEGERS = 1, 2, 7  # the types of an attribute


def save(path: str | Path, weights: Weights) -> list[Path]:
    """Write a model, whole or not at all; return the paths."""
    pieces = _model(weights)
    files.replace(path, lambda part: write(part, pieces))
    return [Path(path)]


def _model(weights: Weights) -> Pieces:
    """Encode ModelProto: version, producer, graph, opset, metadata."""
    network = weights.network
    graph = Graph(network, weights.tensors, weights.mean)
    image = _value(INPUT, (3, network.crop, network.crop))
    made = message(
        *(field(1, _node(*node)) for node in graph.nodes),
        field(2, network.name),
        *(field(5, _tensor(name, values)) for name, values in graph.initializers.items()),
        field(11, image),
        field(12, _value(OUTPUT, (network.classes,))),
    )
    notes = {
        NETWORK: json.dumps({"name": network.name, "arguments": network.arguments}),
        CLASSES: json.dumps(list(weights.classes)),
        "input": f"{INPUT}: RGB from 0 to 255, as it is: the shorter side scaled to {network.stored} pixels, of the "
        f"middle square the middle {network.crop}. Mean and scale are in the graph.",
        "output": f"{OUTPUT}: of the classes, in the order of {CLASSES}",
    }
    return message(
        field(1, IR),
        field(2, "cualex"),
        field(7, made),
        field(8, field(2, OPSET)),
        *(field(read.METADATA, message(field(1, key), field(2, text))) for key, text in notes.items()),
    )


def _node(kind: str, inputs: list[str], outputs: list[str], attributes: dict[str, Attribute]) -> Pieces:
    """Encode NodeProto: inputs, outputs, name, type, attributes."""
    return message(
        *(field(1, name) for name in inputs),
        *(field(2, name) for name in outputs),
        field(3, outputs[0]),
        field(4, kind),
        *(field(5, _attribute(name, value)) for name, value in attributes.items()),
    )


def _attribute(name: str, value: Attribute) -> Pieces:
    """Encode AttributeProto: name, value, type."""
    if isinstance(value, list):
        return message(field(1, name), *(field(8, each) for each in value), field(20, MANY_INTEGERS))
    number, kind = (2, ONE_FLOAT) if isinstance(value, float) else (3, ONE_INTEGER)
    return message(field(1, name), field(number, value), field(20, kind))


def _tensor(name: str, values: np.ndarray) -> Pieces:
    """Encode TensorProto: lengths, type, name, numbers as bytes."""
    kind = INTEGERS if values.dtype == np.int64 else FLOAT
    data = np.ascontiguousarray(values, "<i8" if kind == INTEGERS else "<f4")
    return message(packed(1, values.shape), field(2, kind), field(8, name), field(9, data))


def _value(name: str, shape: tuple[int, ...]) -> Pieces:
    """Encode ValueInfoProto: a name, and the type of a tensor of floats for any number of images."""
    lengths = [field(1, field(2, "pictures")), *(field(1, field(1, length)) for length in shape)]
    return message(field(1, name), field(2, field(1, message(field(1, FLOAT), field(2, message(*lengths))))))
