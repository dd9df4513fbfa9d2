"""Recognise the format of a file by its contents, never by its name."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

from cualex.errors import WeightsError
from cualex.formats.caffe import read as caffe_file
from cualex.formats.onnx import read as onnx_file
from cualex.formats.reading import numpy_file, safetensors_file
from cualex.formats.reading.contents import Contents, Damaged
from cualex.formats.reading.protobuf import LONG, WHOLE, Message
from cualex.formats.reading.tensors import Tensor, TensorFile
from cualex.formats.torch import read as torch_file

KNOWN = "Expected a caffemodel, ONNX, PyTorch's .pth, safetensors, or a NumPy dictionary of layers."
# Other files: their first bytes, and what to do.
OTHERS = {
    b"\x89HDF": "HDF5, which is not read. Save it as safetensors, or as a caffemodel.",
    b"\x1f\x8b": "compressed. Unpack it first.",
    b"\x80": "a pickle, but none of PyTorch's. Save the tensors alone as safetensors.",
    b"<": "a web page, most likely that of a download that did not work. Download it again.",
    b"version https://git-lfs": "a Git LFS pointer, and not the file. Fetch the file with `git lfs pull`.",
}
ONNX, CAFFE = "ONNX model", "caffemodel"


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
    start = contents.bytes(0, min(32, contents.size))
    if start.startswith(torch_file.ZIP):
        return "PyTorch file", partial(torch_file.read, contents)
    if start.startswith(torch_file.LEGACY):
        return "PyTorch file", partial(torch_file.read_legacy, contents)
    if start.startswith(numpy_file.MAGIC):
        return "NumPy file", partial(numpy_file.read, contents)
    if start[8:9] == b"{":
        return "safetensors file", partial(safetensors_file.read, contents, path)
    for magic, reason in OTHERS.items():
        if start.startswith(magic):
            raise WeightsError(reason)
    kind = _message(contents)
    return kind, partial(onnx_file.read if kind == ONNX else caffe_file.read, contents)


def read_mean(contents: Contents) -> Tensor:
    """Describe the one tensor of a mean image: a NumPy array or Caffe's binaryproto."""
    if contents.bytes(0, min(6, contents.size)) == numpy_file.MAGIC:
        return numpy_file.read_array(contents)
    return caffe_file.read_mean(contents)


def _message(contents: Contents) -> str:
    """Tell ONNX, a model with a graph, from Caffe, a network with layers, also where the end of the file is missing."""
    types, detail = set(), ""
    try:
        for field in Message(contents).fields():
            types.add((field.number, field.type))
    except Damaged as error:
        detail = error.detail
    version, layers = (1, WHOLE) in types, types & {(caffe_file.OLD, LONG), (caffe_file.NEW, LONG)}
    if version and ((onnx_file.GRAPH, LONG) in types or detail):
        return ONNX
    if layers:
        return CAFFE
    raise WeightsError(f"unknown format. {KNOWN}{detail and f' (As Protocol Buffers: {detail}.)'}")
