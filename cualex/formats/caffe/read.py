"""Caffe's files: a trained network (`.caffemodel`), and a mean image (`.binaryproto`).

    NetParameter       layers = 2 (of 2014 and before), layer = 100
    V1LayerParameter   bottom = 2, top = 3, name = 4, type = 5 (a number), blobs = 6
    LayerParameter     name = 1, type = 2 (a word), bottom = 3, top = 4, blobs = 7
    BlobProto          num, channels, height, width = 1 to 4 (old), data = 5, diff = 6, shape = 7, double_data = 8

Tensors are named `layer.0` and `layer.1`, as Caffe numbers the blobs of a layer: weights, then biases.
"""

import math

from cualex.errors import WeightsError
from cualex.formats.reading.contents import Contents, Damaged
from cualex.formats.reading.protobuf import Field, Message, only
from cualex.formats.reading.tensors import Tensor, TensorFile, apart, short

OLD, NEW = 2, 100
# Field of the list of layers -> fields of name, type and blobs in a layer.
LAYOUTS = {OLD: (4, 5, 6), NEW: (1, 2, 7)}
# The old numbers of the types that have blobs, or that tell AlexNet from the reference network.
TYPES = {
    4: "Convolution",
    14: "InnerProduct",
    15: "LRN",
    17: "Pooling",
    18: "ReLU",
    6: "Dropout",
    20: "Softmax",
}
LONGEST = 10  # blobs in a layer
# Fields of the hyperparameters in the old and the new layout.
CONVOLUTION, LRN = (10, 106), (18, 118)


def read(contents: Contents) -> TensorFile:
    """Describe the tensors of a trained network."""
    network, layers, tensors, numbers = Message(contents), [], {}, []
    listed = network.all(OLD, NEW)
    if len({field.number for field in listed}) > 1:
        raise WeightsError("its layers are in the V1 and in the current format. Save it with one version of Caffe.")
    for entry in listed:
        message, (name, kind, blobs) = network.message(entry), LAYOUTS[entry.number]
        convolution, lrn = (each[entry.number == NEW] for each in (CONVOLUTION, LRN))
        fields = message.all(name, kind, blobs, convolution, lrn)
        named = only([field for field in fields if field.number == name], "a layer's name")
        typed = only([field for field in fields if field.number == kind], "a layer's type")
        called = message.text(named) if named else ""
        number = typed.value if typed and entry.number == OLD else None
        layers.append((called, TYPES.get(number, "") if number is not None else message.text(typed) if typed else ""))
        for field in fields:
            if field.number == convolution and layers[-1][1] == "Convolution":
                numbers.append(("conv", called, _convolution(message.message(field))))
            elif field.number == lrn and layers[-1][1] == "LRN":
                numbers.append(("lrn", called, _normalisation(message.message(field))))
        held = [field for field in fields if field.number == blobs]
        if len(held) > LONGEST:
            raise Damaged(f"{short(called)} has {len(held)} blobs")
        for index, field in enumerate(held):
            full = f"{called}.{index}"
            if full in tensors:
                raise Damaged(f"{short(called)} is there twice")
            tensors[full] = blob(message.message(field), full)
    year = "of 2014 or before" if listed and listed[0].number == OLD else "of 2015 or later"
    return TensorFile("caffe", f"a caffemodel in the layout {year}", apart(tensors), layers, numbers)


def _convolution(message: Message) -> dict:
    """Return padding, groups and stride."""
    short = {"pad": (3, 0), "groups": (5, 1), "stride": (6, 1)}
    fields = message.all(3, 5, 6)
    return {
        key: ([n for f in fields if f.number == number for n in message.integers(f, 2)] or [usual])[0]
        for key, (number, usual) in short.items()
    }


def _normalisation(message: Message) -> dict:
    """Return n, alpha for each term, beta and k; a region other than across channels has no n here."""
    fields = {field.number: field for field in message.fields()}
    size, region = (fields[number].value if number in fields else usual for number, usual in ((1, 5), (4, 0)))
    alpha, beta, k = (message.real(fields[n]) if n in fields else usual for n, usual in ((2, 1.0), (3, 0.75), (5, 1.0)))
    return {"n": 0 if region else size, "alpha": alpha / max(size, 1), "beta": beta, "k": k}


def blob(message: Message, name: str) -> Tensor:
    """Describe a tensor; the four lengths of the old layout are kept."""
    fields: dict[int, list[Field]] = {number: [] for number in (1, 2, 3, 4, 5, 7, 8)}
    for field in message.all(*fields):
        fields[field.number].append(field)
    data, double, shape = (only(fields[number], f"the data of {short(name)}") for number in (5, 8, 7))
    numbers = data or double
    if numbers is None or (data and double):
        raise Damaged(f"{short(name)} holds no data, or both float and double data")
    if shape:
        inner = message.message(shape)
        lengths = [length for field in inner.all(1) for length in inner.integers(field)]
    else:
        old = [only(fields[number], f"a length of {short(name)}") for number in (1, 2, 3, 4)]
        lengths = [field.value if field else 1 for field in old]
    kind = "<f4" if data else "<f8"
    return message.tensor(numbers, name, lengths, kind)


def read_mean(contents: Contents) -> Tensor:
    """Describe the one blob of a mean image: (channels, rows, columns)."""
    tensor = blob(Message(contents), "the mean picture")
    if len(tensor.shape) != 4 or tensor.shape[0] != 1 or math.prod(tensor.shape) == 0:
        raise WeightsError(f"the mean image is {short(tensor.shape)}, expected 1x3xrowsxcolumns.")
    return tensor
