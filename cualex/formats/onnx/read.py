"""ONNX: the initialisers of a graph, which are the weights.

    ModelProto     ir_version = 1, graph = 7, opset_import = 8, metadata_props = 14
    GraphProto     node = 1, initializer = 5
    NodeProto      output = 2, op_type = 4, attribute = 5
    AttributeProto name = 1, f = 2, i = 3, ints = 8
    TensorProto    dims = 1, data_type = 2, float_data = 4, name = 8, raw_data = 9, double_data = 10,
                   external_data = 13, data_location = 14

The `onnx` package is not needed: it reads a file whole and checks lengths afterwards; here nothing is read before it is
known to fit.
"""

from cualex.errors import WeightsError
from cualex.formats.reading.contents import Contents, Damaged
from cualex.formats.reading.protobuf import Field, Message, only
from cualex.formats.reading.tensors import Tensor, TensorFile, apart, short

GRAPH, METADATA = 7, 14
# The types of tensors that weights can have; others (shapes to reshape to) are skipped.
KINDS = {1: "<f4", 10: "<f2", 11: "<f8"}


def read(contents: Contents) -> TensorFile:
    """Describe the tensors of a model."""
    model = Message(contents)
    parts = model.all(GRAPH, METADATA)
    graph = only([field for field in parts if field.number == GRAPH], "the graph")
    if graph is None:
        raise Damaged("no graph")
    layers, tensors, numbers, inside = [], {}, [], model.message(graph)
    for field in inside.all(1, 5):
        if field.number == 1:
            node = inside.message(field)
            layers.append(_node(node))
            name, kind = layers[-1]
            if kind in NUMBERS:
                numbers.append((NUMBERS[kind][0], name, NUMBERS[kind][1](_attributes(node))))
            continue
        name, tensor = _tensor(inside.message(field))
        if name in tensors:
            raise Damaged(f"{short(name)} is there twice")
        if tensor:
            tensors[name] = tensor
    notes = dict(_entry(model.message(field)) for field in parts if field.number == METADATA)
    return TensorFile("onnx", "ONNX", apart(tensors), layers, numbers, notes)


def _node(message: Message) -> tuple[str, str]:
    """Return a node's first output and its type."""
    fields = message.all(2, 4)
    output, kind = (next((message.text(field) for field in fields if field.number == n), "") for n in (2, 4))
    return output, kind


def _attributes(message: Message) -> dict[str, int | float | list[int]]:
    """Return a node's attributes that are numbers, or lists of integers."""
    made: dict[str, int | float | list[int]] = {}
    for entry in message.all(5):
        inside = message.message(entry)
        fields = inside.all(1, 2, 3, 8)
        name = "".join(inside.text(field) for field in fields[:1] if field.number == 1)
        many = [value for field in fields if field.number == 8 for value in inside.integers(field)]
        one = [inside.real(field) if field.number == 2 else field.value for field in fields if field.number in (2, 3)]
        made[name] = many or (one[0] if one else 0)
    return made


def _convolution(attributes: dict) -> dict:
    """Return padding, groups and stride; None where they differ from side to side, which no layer here has."""
    pads, strides = (
        set(each) if isinstance(each := attributes.get(key, usual), list) else {each}
        for key, usual in (("pads", 0), ("strides", 1))
    )
    pad, stride = (each.pop() if len(each) == 1 else None for each in (pads, strides))
    return {"pad": pad, "groups": attributes.get("group", 1), "stride": stride}


def _normalisation(attributes: dict) -> dict:
    """Return n, alpha (not divided by n), beta and k."""
    size = attributes.get("size", 5)
    alpha, beta, k = (attributes.get(key, usual) for key, usual in (("alpha", 1e-4), ("beta", 0.75), ("bias", 1.0)))
    whole = type(size) is int and size > 0 and not any(isinstance(each, list) for each in (alpha, beta, k))
    return {"n": size, "alpha": alpha / size, "beta": beta, "k": k} if whole else {"n": 0}


# Nodes whose hyperparameters are compared: the kind of layer, and the function that reads them.
NUMBERS = {"Conv": ("conv", _convolution), "LRN": ("lrn", _normalisation)}


def _entry(message: Message) -> tuple[str, str]:
    """Return a key of the metadata and its text."""
    key, text = ("".join(message.text(field) for field in message.all(number)[:1]) for number in (1, 2))
    return key, text


def _tensor(message: Message) -> tuple[str, Tensor | None]:
    """Return an initialiser's name, and its description if it can be weights."""
    fields: dict[int, list[Field]] = {}
    for field in message.fields():
        fields.setdefault(field.number, []).append(field)
    named = only(fields.get(8, []), "a tensor's name")
    name = message.text(named) if named else ""
    location = only(fields.get(14, []), f"the place of {short(name)}")
    if 13 in fields or (location and location.value):
        raise WeightsError(
            f"{short(name)} lies in another file (external data), which is not opened. "
            "Save the model with embedded data (onnx.save without save_as_external_data)."
        )
    typed = only(fields.get(2, []), f"the type of {short(name)}")
    kind = KINDS.get(typed.value if typed else 0)
    lengths = [length for field in fields.get(1, []) for length in message.integers(field)]
    if kind is None or 0 in lengths:
        return name, None
    typed_data = {"<f4": (4,), "<f8": (10,)}.get(kind, ())
    data = [field for number in (9, *typed_data) for field in fields.get(number, [])]
    held = only(data, f"the data of {short(name)}")
    if held is None:
        raise Damaged(f"{short(name)} has no data")
    return name, message.tensor(held, short(name), lengths, kind)
