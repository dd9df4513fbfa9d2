"""Recognise the format of a file by its contents, never by its name; name what it is where it is not read."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

from cualex.errors import WeightsError
from cualex.formats import others
from cualex.formats.caffe import read as caffe_file
from cualex.formats.keras import read as keras_file
from cualex.formats.onnx import read as onnx_file
from cualex.formats.reading import numpy_file, safetensors_file, zip_members
from cualex.formats.reading.contents import Contents, Damaged
from cualex.formats.reading.protobuf import LONG, WHOLE, Message
from cualex.formats.reading.tensors import Tensor, TensorFile
from cualex.formats.torch import read as torch_file

KNOWN = (
    "Expected a caffemodel, ONNX, PyTorch's .pth, safetensors, Keras's .h5 or .keras, or a NumPy dictionary of layers. "
    "Files of cualex need no import: give them to -w or --from."
)
ONNX, CAFFE, TORCH, KERAS = "ONNX model", "caffemodel", "PyTorch file", "Keras file"


def read(contents: Contents, path: str | Path) -> TensorFile:
    """Recognise a file and describe its tensors; raise WeightsError for an unknown format."""
    if not contents.size:
        raise WeightsError("an empty file. Copy or download it again.")
    kind, described = _format(contents, path)
    try:
        return described()
    except Damaged as error:
        raise Damaged(error.detail, kind) from None


def _format(contents: Contents, path: str | Path) -> tuple[str, Callable[[], TensorFile]]:
    """Return the name of a file's format, and the function that describes its tensors."""
    start = contents.bytes(0, min(512, contents.size))
    if start.startswith(zip_members.ZIP):
        return _zip(contents)
    if start.startswith(b"\x80") and torch_file.LEGACY in start[:32]:
        return TORCH, partial(torch_file.read_legacy, contents)
    if start.startswith(numpy_file.MAGIC):
        return "NumPy file", partial(numpy_file.read, contents)
    if start[8:9] == b"{":
        return "safetensors file", partial(safetensors_file.read, contents, path)
    if start.startswith(keras_file.HDF5):
        return KERAS, partial(keras_file.read, contents)
    if reason := others.named(start, contents):
        raise WeightsError(reason)
    kind = _message(contents, Path(path).name)
    return kind, partial(onnx_file.read if kind == ONNX else caffe_file.read, contents)


def _zip(contents: Contents) -> tuple[str, Callable[[], TensorFile]]:
    """Tell PyTorch's zips and Keras's from others by what is in them."""
    try:
        listed = zip_members.listing(contents)
    except Damaged as error:
        raise Damaged(error.detail, TORCH) from None
    names = [entry.filename for entry in listed]
    if keras_file.WEIGHTS in names:
        return KERAS, partial(keras_file.read_zip, contents, listed)
    if reason := others.named_zip(names):
        raise WeightsError(reason)
    return TORCH, partial(torch_file.read, contents)


def read_mean(contents: Contents) -> Tensor:
    """Describe the one tensor of a mean image: a NumPy array or Caffe's binaryproto."""
    if contents.bytes(0, min(6, contents.size)) == numpy_file.MAGIC:
        return numpy_file.read_array(contents)
    return caffe_file.read_mean(contents)


def _message(contents: Contents, name: str) -> str:
    """Tell ONNX, a model with a graph, from Caffe, a network with layers, also where the end of the file is missing."""
    types, detail, begin = set(), "", {1: b"", 3: b""}
    try:
        for field in Message(contents).fields():
            types.add((field.number, field.type))
            if field.type == LONG and begin.get(field.number) == b"":
                begin[field.number] = contents.bytes(field.start, min(field.value, 64))
    except Damaged as error:
        detail = error.detail
    version, layers = (1, WHOLE) in types, types & {(caffe_file.OLD, LONG), (caffe_file.NEW, LONG)}
    if version and not begin[3].decode("latin-1").isprintable():
        raise WeightsError(others.SOLVER)
    if version and ((onnx_file.GRAPH, LONG) in types or detail):
        return ONNX
    if layers and not version and not begin[1].startswith(b"\n"):
        return CAFFE
    if reason := others.named_message(types, begin[1]) or others.named_by_suffix(name):
        raise WeightsError(reason)
    raise WeightsError(f"unknown format. {KNOWN}{detail and f' (As Protocol Buffers: {detail}.)'}")
