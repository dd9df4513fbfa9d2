"""Recognise the format of a file by its contents, never by its name."""

from pathlib import Path

from cualex.errors import WeightsError
from cualex.formats.caffe import read as caffe_file
from cualex.formats.onnx import read as onnx_file
from cualex.formats.reading import numpy_file, safetensors_file
from cualex.formats.reading.contents import Contents
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
}


def read(contents: Contents, path: str | Path) -> TensorFile:
    """Recognise a file and describe its tensors; raise WeightsError for an unknown format."""
    start = contents.bytes(0, min(16, contents.size))
    if start.startswith(torch_file.ZIP):
        return torch_file.read(contents)
    if start.startswith(torch_file.LEGACY):
        return torch_file.read_legacy(contents)
    if start.startswith(numpy_file.MAGIC):
        return numpy_file.read(contents)
    if start[8:9] == b"{":
        return safetensors_file.read(contents, path)
    for magic, reason in OTHERS.items():
        if start.startswith(magic):
            raise WeightsError(reason)
    return _message(contents)


def read_mean(contents: Contents) -> Tensor:
    """Describe the one tensor of a mean image: a NumPy array or Caffe's binaryproto."""
    if contents.bytes(0, min(6, contents.size)) == numpy_file.MAGIC:
        return numpy_file.read_array(contents)
    return caffe_file.read_mean(contents)


def _message(contents: Contents) -> TensorFile:
    """Read a message of ONNX, a model with a graph, or of Caffe, a network with layers."""
    try:
        types = {(field.number, field.type) for field in Message(contents).fields()}
    except WeightsError as error:
        raise WeightsError(f"unknown format. {KNOWN} ({error})") from None
    if (onnx_file.GRAPH, LONG) in types and (1, WHOLE) in types:
        return onnx_file.read(contents)
    if types & {(caffe_file.OLD, LONG), (caffe_file.NEW, LONG)}:
        return caffe_file.read(contents)
    raise WeightsError(f"unknown format. {KNOWN}")
