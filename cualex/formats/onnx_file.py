"""ONNX: the initialisers of a graph, which are the weights.

    ModelProto     ir_version = 1, graph = 7, opset_import = 8, metadata_props = 14
    GraphProto     node = 1, initializer = 5
    NodeProto      output = 2, op_type = 4
    TensorProto    dims = 1, data_type = 2, float_data = 4, name = 8, raw_data = 9, double_data = 10,
                   external_data = 13, data_location = 14

The `onnx` package is not needed: its reader takes a file whole and checks lengths afterwards, and here nothing is
read before it is known to fit.
"""

from cualex.errors import WeightsError
from cualex.formats.contents import Contents
from cualex.formats.found import Found
from cualex.formats.protobuf import Field, Message, only
from cualex.formats.tensors import Tensor, apart, said

GRAPH, METADATA = 7, 14
# The types of tensors that weights can be; others (shapes to reshape to) are passed over.
KINDS = {1: "<f4", 10: "<f2", 11: "<f8"}


def read(contents: Contents) -> Found:
    """Describe the tensors of a model."""
    model = Message(contents)
    parts = model.all(GRAPH, METADATA)
    graph = only([field for field in parts if field.number == GRAPH], "the graph")
    if graph is None:
        raise WeightsError("a model without a graph. Copy it again.")
    layers, tensors, inside = [], {}, model.message(graph)
    for field in inside.all(1, 5):
        if field.number == 1:
            layers.append(_node(inside.message(field)))
            continue
        name, tensor = _tensor(inside.message(field))
        if name in tensors:
            raise WeightsError(f"{said(name)} is there twice. Copy it again.")
        if tensor:
            tensors[name] = tensor
    notes = dict(_entry(model.message(field)) for field in parts if field.number == METADATA)
    return Found("onnx", "ONNX", apart(tensors), layers, notes)


def _node(message: Message) -> tuple[str, str]:
    """Return a node's first output and its type."""
    fields = message.all(2, 4)
    return tuple(next((message.text(field) for field in fields if field.number == n), "") for n in (2, 4))


def _entry(message: Message) -> tuple[str, str]:
    """Return a key of the metadata and its text."""
    return tuple("".join(message.text(field) for field in message.all(number)[:1]) for number in (1, 2))


def _tensor(message: Message) -> tuple[str, Tensor | None]:
    """Return an initialiser's name, and what it is where it could be weights."""
    fields: dict[int, list[Field]] = {}
    for field in message.fields():
        fields.setdefault(field.number, []).append(field)
    named = only(fields.get(8, []), "a tensor's name")
    name = message.text(named) if named else ""
    location = only(fields.get(14, []), f"the place of {said(name)}")
    if 13 in fields or (location and location.value):
        raise WeightsError(
            f"{said(name)} lies in another file (external data), which is not opened. "
            "Save the model with its data inside (onnx.save without save_as_external_data)."
        )
    typed = only(fields.get(2, []), f"the type of {said(name)}")
    kind = KINDS.get(typed.value if typed else 0)
    lengths = [length for field in fields.get(1, []) for length in message.integers(field)]
    if kind is None or 0 in lengths:
        return name, None
    own = {"<f4": 4, "<f8": 10}.get(kind)
    data = [field for number in (9, own) for field in fields.get(number, [])]
    held = only(data, f"the data of {said(name)}")
    if held is None:
        raise WeightsError(f"{said(name)} has no numbers. Copy it again.")
    return name, message.tensor(held, said(name), lengths, kind)
