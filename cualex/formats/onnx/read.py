"""ONNX: the weights of a graph, wherever it keeps them, and the layers that use them.

    ModelProto     ir_version = 1, graph = 7, opset_import = 8, metadata_props = 14
    GraphProto     node = 1, initializer = 5
    NodeProto      input = 1, output = 2, op_type = 4, attribute = 5
    AttributeProto name = 1, f = 2, i = 3, t = 5, ints = 8

The `onnx` package is not needed: it reads a file whole and checks lengths afterwards; here nothing is read before it is
known to fit. Initialisers and constants are in initializers.py.
"""

from cualex.errors import WeightsError
from cualex.formats.onnx.initializers import entry, tensor
from cualex.formats.reading.contents import Contents, Damaged
from cualex.formats.reading.protobuf import Message, only
from cualex.formats.reading.tensors import Tensor, TensorFile, Weighted, apart, short

GRAPH, METADATA = 7, 14
PASSING = ("Identity", "Cast", "Transpose")  # between a weight and the layer that uses it
INTEGERS = (
    "QLinear",
    "Quantize",
    "Dequantize",
    "DynamicQuantize",
    "QGemm",
    "ConvInteger",
    "MatMulInteger",
    "MatMulNBits",
)


def read(contents: Contents) -> TensorFile:
    """Describe the tensors of a model."""
    model = Message(contents)
    parts = model.all(GRAPH, METADATA)
    graph = only([field for field in parts if field.number == GRAPH], "the graph")
    if graph is None:
        raise Damaged("no graph")
    layers, tensors, numbers, inside = [], {}, [], model.message(graph)
    nodes: list[Node] = []
    for field in inside.all(1, 5):
        if field.number == 1:
            node = Node(inside.message(field))
            nodes.append(node)
            if node.kind.startswith(INTEGERS):
                raise WeightsError(
                    f"a quantised ONNX model ({short(node.kind)}), whose weights are integers. "
                    "Import the float model that it was made from."
                )
            layers.append((node.output, node.kind))
            if node.kind in NUMBERS:
                numbers.append((NUMBERS[node.kind][0], node.output, NUMBERS[node.kind][1](node.attributes())))
            if node.kind != "Constant" or (held := node.constant()) is None:
                continue
            name, made = node.output, tensor(contents, held)[1]
        else:
            name, made = tensor(contents, inside.message(field))
        if name in tensors:
            raise Damaged(f"{short(name)} is there twice")
        if made:
            tensors[name] = made
    notes = dict(entry(model.message(field)) for field in parts if field.number == METADATA)
    return TensorFile("onnx", "ONNX", apart(tensors), layers, numbers, notes, weighted=_weighted(nodes, tensors))


class Node:
    """A node of a graph: its type, inputs and first output; attributes are read when they are asked for."""

    def __init__(self, message: Message) -> None:
        self.message, fields = message, message.all(1, 2, 4, 5)
        self.inputs = [message.text(field) for field in fields if field.number == 1]
        self.output, self.kind = (
            next((message.text(field) for field in fields if field.number == number), "") for number in (2, 4)
        )
        self._fields = [field for field in fields if field.number == 5]

    def attributes(self) -> dict[str, int | float | list[int]]:
        """Return the attributes that are numbers, or lists of integers."""
        made: dict[str, int | float | list[int]] = {}
        for each in self._fields:
            inside = self.message.message(each)
            fields = inside.all(1, 2, 3, 8)
            name = "".join(inside.text(field) for field in fields[:1] if field.number == 1)
            many = [value for field in fields if field.number == 8 for value in inside.integers(field)]
            one = [
                inside.real(field) if field.number == 2 else field.value for field in fields if field.number in (2, 3)
            ]
            made[name] = many or (one[0] if one else 0)
        return made

    def constant(self) -> Message | None:
        """Return the tensor of a constant, if that is its value."""
        for each in self._fields:
            inside = self.message.message(each)
            if held := only(inside.all(5), f"the value of {short(self.output)}"):
                return inside.message(held)
        return None


def _weighted(nodes: list[Node], tensors: dict[str, Tensor]) -> list[Weighted]:
    """Return the convolutions and dense layers in the order of the graph, with the tensors that they use."""
    made = {node.output: node for node in nodes}
    adding = {name: node for node in nodes if node.kind == "Add" for name in node.inputs}

    def source(name: str) -> tuple[str, bool]:
        """Return the tensor behind a value, and whether it is transposed on the way."""
        turned = False
        for _ in range(len(PASSING)):
            node = made.get(name)
            if name in tensors or node is None or node.kind not in PASSING or not node.inputs:
                break
            turned ^= node.kind == "Transpose"
            name = node.inputs[0]
        return name, turned

    found = []
    for node in nodes:
        if node.kind not in ("Conv", "Gemm", "MatMul") or len(node.inputs) < 2:
            continue
        weight, turned = source(node.inputs[1])
        if weight not in tensors:
            continue
        biases = node.inputs[2:3]
        if node.kind == "MatMul" and (after := adding.get(node.output)):
            biases = [name for name in after.inputs if name != node.output]
        bias = source(biases[0])[0] if biases else ""
        if node.kind == "Conv":
            found.append(Weighted("conv", weight, bias, "OIHW"))
        else:
            rows = node.kind == "Gemm" and bool(node.attributes().get("transB"))
            found.append(Weighted("dense", weight, bias, "OI" if rows != turned else "IO"))
    return found


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
