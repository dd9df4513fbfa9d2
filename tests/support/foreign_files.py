"""Files of other programs, written byte by byte in the layout of the real ones: Caffe, ONNX, PyTorch, NumPy."""

import io
import struct
import zipfile

import numpy as np

# --- Protocol Buffers


def whole(value):
    """Write a whole number, 7 bits a byte."""
    made = b""
    while value > 0x7F:
        made, value = made + bytes([value & 0x7F | 0x80]), value >> 7
    return made + bytes([value])


def field(number, value):
    """Write a field: a whole number, text, or bytes."""
    if isinstance(value, int):
        return whole(number << 3) + whole(value)
    data = value.encode() if isinstance(value, str) else value
    return whole(number << 3 | 2) + whole(len(data)) + data


def packed(values):
    return b"".join(map(whole, values))


# --- Caffe

V1_TYPES = {"conv": 4, "dense": 14, "lrn": 15, "maxpool": 17, "relu": 18, "dropout": 6, "softmax": 20}


def caffe_numbers(layer, old):
    """Write a layer's own message: of a convolution and of LRN, whose alpha is for the whole window."""
    if layer.kind == "conv":
        said = field(3, layer.pad) + field(4, layer.size) + field(5, layer.groups) + field(6, layer.stride)
        return field(10 if old else 106, field(1, layer.filters) + said)
    if layer.kind == "lrn":
        alpha, beta, k = (struct.pack("<f", value) for value in (layer.alpha * layer.n, layer.beta, layer.k))
        return field(18 if old else 118, field(1, layer.n) + b"\x15" + alpha + b"\x1d" + beta + b"\x2d" + k)
    return b""


V2_TYPES = {
    "conv": "Convolution",
    "dense": "InnerProduct",
    "lrn": "LRN",
    "maxpool": "Pooling",
    "relu": "ReLU",
    "dropout": "Dropout",
    "softmax": "Softmax",
}


def blob(values, old=False, double=False):
    """Write a BlobProto; the old layout has four lengths, ones in front."""
    if old:
        lengths = (1,) * (4 - values.ndim) + values.shape
        shape = b"".join(field(number, length) for number, length in enumerate(lengths, 1))
    else:
        shape = field(7, field(1, packed(values.shape)))
    data = field(8, values.astype("<f8").tobytes()) if double else field(5, values.astype("<f4").tobytes())
    return shape + data


def caffemodel(network, tensors, old=False, double=False):
    """Write a trained network as Caffe does: every layer with its name and type, and its blobs where it has some."""
    made = field(1, "AlexNet") + (field(3, "data") if old else b"")
    for name, layer in network.layers.items():
        if layer.kind in ("exchange", "join"):
            continue
        blobs = [tensors[full] for full in (f"{name}.weight", f"{name}.bias") if full in tensors]
        if old:
            inside = field(2, "bottom") + field(3, name) + field(4, name) + field(5, V1_TYPES[layer.kind])
            inside += b"".join(field(6, blob(each, True, double)) for each in blobs) + caffe_numbers(layer, old)
        else:
            inside = field(1, name) + field(2, V2_TYPES[layer.kind]) + field(3, "bottom")
            inside += b"".join(field(7, blob(each, False, double)) for each in blobs) + caffe_numbers(layer, old)
        made += field(2 if old else 100, inside)
    return made


def binaryproto(mean):
    """Write a mean picture (rows, columns, RGB) as Caffe keeps it: BGR, channels first, in the old layout."""
    return blob(np.ascontiguousarray(mean[..., ::-1].transpose(2, 0, 1)), old=True)


def caffe_order(tensors):
    """Return canonical tensors as Caffe has them: conv1 reads BGR."""
    return {**tensors, "conv1.weight": tensors["conv1.weight"][:, ::-1]}


# --- ONNX


def onnx_tensor(name, values, raw=True):
    """Write an initialiser, its numbers as raw bytes or as a list."""
    kinds = {"float32": 1, "int64": 7, "float16": 10, "float64": 11}
    lists = {"float32": 4, "int64": 7, "float64": 10}
    kind = str(values.dtype)
    data = packed(values.tolist()) if kind == "int64" and not raw else values.tobytes()
    return (
        field(1, packed(values.shape)) + field(2, kinds[kind]) + field(8, name) + field(9 if raw else lists[kind], data)
    )


def attribute(name, value):
    """Write an attribute: a number with a fraction, a whole one, or a list of these."""
    if isinstance(value, float):
        return field(5, field(1, name) + b"\x15" + struct.pack("<f", value) + field(20, 1))
    if isinstance(value, int):
        return field(5, field(1, name) + field(3, value) + field(20, 2))
    return field(5, field(1, name) + b"".join(field(8, each) for each in value) + field(20, 7))


def numbers(layer):
    """Write the attributes of a node; LRN's alpha is for the whole window."""
    if layer.kind == "conv":
        said = {"group": layer.groups, "pads": [layer.pad] * 4, "strides": [layer.stride] * 2}
    elif layer.kind == "lrn":
        said = {"alpha": layer.alpha * layer.n, "beta": layer.beta, "bias": layer.k, "size": layer.n}
    else:
        return b""
    return b"".join(attribute(name, value) for name, value in said.items())


def zoo(network, tensors, raw=True):
    """Write a model as the ONNX zoo's bvlcalexnet is: names conv1_w_0, conv1_b_0, and a shape to be left alone."""
    types = {"conv": "Conv", "dense": "Gemm", "lrn": "LRN", "maxpool": "MaxPool", "relu": "Relu"}
    nodes = b"".join(
        field(1, field(2, f"{name}_1") + field(4, types.get(layer.kind, "Softmax")) + numbers(layer))
        for name, layer in network.layers.items()
    )
    endings = {"weight": "w_0", "bias": "b_0"}
    renamed = {f"{full.split('.')[0]}_{endings[full.split('.')[1]]}": each for full, each in tensors.items()}
    made = nodes + b"".join(field(5, onnx_tensor(name, each, raw)) for name, each in renamed.items())
    made += field(5, onnx_tensor("OC2_DUMMY_1", np.array([1, 9216]), raw=False))
    return field(1, 3) + field(2, "onnx-caffe2") + field(7, made) + field(8, field(2, 9))


# --- pickles, as PyTorch and Python 2 write them


def text(value):
    data = value.encode()
    return b"X" + struct.pack("<I", len(data)) + data


def number(value):
    return b"J" + struct.pack("<i", value) if value < 2**31 else b"\x8a\x08" + struct.pack("<q", value)


def tupled(*parts):
    return b"(" + b"".join(parts) + b"t"


def named(module, name):
    return f"c{module}\n{name}\n".encode()


def steps(shape):
    return [int(np.prod(shape[axis + 1 :])) for axis in range(len(shape))]


def rebuilt(key, values, kind="FloatStorage", offset=0, strides=None, size=None, legacy=False):
    """Write what builds a tensor again from its storage."""
    size = values.size if size is None else size
    strides = steps(values.shape) if strides is None else strides
    storage = tupled(
        *(text("storage"), named("torch", kind), text(key), text("cpu"), number(size)),
        *([b"N"] if legacy else []),
    )
    shape = tupled(*map(number, values.shape))
    hooks = named("collections", "OrderedDict") + b")R"
    parts = (storage + b"Q", number(offset), shape, tupled(*map(number, strides)), b"\x89", hooks)
    return named("torch._utils", "_rebuild_tensor_v2") + tupled(*parts) + b"R"


def state_dict(entries):
    """Write an OrderedDict with the state that a state_dict has (its versions)."""
    items = b"".join(text(name) + data for name, data in entries.items())
    versions = b"}" + text("_metadata") + named("collections", "OrderedDict") + b")R" + b"s"
    return b"\x80\x02" + named("collections", "OrderedDict") + b")R" + b"(" + items + b"u" + versions + b"b."


def zipped(members, compression=zipfile.ZIP_STORED):
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", compression) as archive:
        for name, data in members.items():
            archive.writestr(zipfile.ZipInfo(f"archive/{name}"), data, compression)
    return made.getvalue()


def pth(tensors, pickled=None):
    """Write PyTorch's zip."""
    entries = {name: rebuilt(str(key), each) for key, (name, each) in enumerate(tensors.items())}
    storages = {f"data/{key}": np.ascontiguousarray(each).tobytes() for key, each in enumerate(tensors.values())}
    pickled = state_dict(entries) if pickled is None else pickled
    return zipped({"data.pkl": pickled, "byteorder": b"little", **storages, "version": b"3\n"})


def old_pth(tensors):
    """Write PyTorch's file of before 2020."""
    entries = {name: rebuilt(str(key), each, legacy=True) for key, (name, each) in enumerate(tensors.items())}
    magic = b"\x80\x02\x8a\x0a" + 0x1950A86A20F9469CFC6C.to_bytes(10, "little") + b"."
    sizes = b"\x80\x02}(" + text("little_endian") + b"\x88" + text("protocol_version") + number(1001) + b"u."
    keys = b"\x80\x02](" + b"".join(text(str(key)) for key in range(len(tensors))) + b"e."
    data = b"".join(
        struct.pack("<q", each.size) + each.tobytes() for each in map(np.ascontiguousarray, tensors.values())
    )
    return magic + b"\x80\x02" + number(1001) + b"." + sizes + state_dict(entries) + keys + data


TORCHVISION = {
    "conv1": "features.0",
    "conv2": "features.3",
    "conv3": "features.6",
    "conv4": "features.8",
    "conv5": "features.10",
    "fc6": "classifier.1",
    "fc7": "classifier.4",
    "fc8": "classifier.6",
}


def torchvision(tensors):
    """Name canonical tensors as torchvision does."""
    return {f"{TORCHVISION[name.split('.')[0]]}.{name.split('.')[1]}": each for name, each in tensors.items()}


# --- NumPy


def layers(network, tensors):
    """Return layer -> [W, b] in TensorFlow's order: HWIO, (in, out), fc6's inputs by row, column, channel; BGR."""
    made = {}
    for stage in network.stages():
        if not stage.parameters:
            continue
        weight, bias = (caffe_order(tensors)[name] for name in stage.parameters)
        if weight.ndim == 4:
            weight = weight.transpose(2, 3, 1, 0)
        else:
            weight = weight.reshape(len(weight), *stage.reading.shape).transpose(2, 3, 1, 0)
            weight = weight.reshape(-1, weight.shape[-1])
        made[stage.name] = [np.ascontiguousarray(weight), bias]
    return made


def npy(value, names=str):
    """Save layer -> [W, b] as numpy.save does, with names as text, or as bytes."""
    made = io.BytesIO()
    held = {name.encode() if names is bytes else name: parts for name, parts in value.items()}
    np.save(made, np.array(held, object), allow_pickle=True)
    return made.getvalue()


def python2_npy(value):
    """Write the same as NumPy under Python 2 did: protocol 2, names and bytes as its `str`."""

    def short(data):
        data = data.encode() if isinstance(data, str) else data
        return b"U" + bytes([len(data)]) + data if len(data) < 256 else b"T" + struct.pack("<i", len(data)) + data

    def kind(letters, order, flags):
        state = tupled(number(3), short(order), b"N", b"N", b"N", number(-1), number(-1), number(flags))
        return named("numpy", "dtype") + tupled(short(letters), number(0), number(1)) + b"R" + state + b"b"

    def array(shape, dtype, held):
        first = named("numpy", "ndarray") + tupled(number(0)) + short("b")
        made = named("numpy.core.multiarray", "_reconstruct") + tupled(first) + b"R"
        return made + tupled(number(1), tupled(*map(number, shape)), dtype, b"\x89", held) + b"b"

    floats = kind("f4", "<", 0)
    items = b"".join(
        short(name) + b"](" + b"".join(array(each.shape, floats, short(each.tobytes())) for each in parts) + b"e"
        for name, parts in value.items()
    )
    whole = array((), kind("O8", "|", 63), b"](" + b"}(" + items + b"u" + b"e")
    header = "{'descr': '|O', 'fortran_order': False, 'shape': (), }"
    header += " " * (-(len(header) + 11) % 16) + "\n"
    return b"\x93NUMPY\1\0" + struct.pack("<H", len(header)) + header.encode() + b"\x80\x02" + whole + b"."
