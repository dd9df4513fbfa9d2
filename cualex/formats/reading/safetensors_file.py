"""safetensors: the library checks the header; this returns the offsets of the tensors."""

from pathlib import Path

import safetensors

from cualex.formats.reading.contents import Contents, Damaged
from cualex.formats.reading.tensors import TensorFile, described, short
from cualex.weights import tensor_file

HEADER = 1 << 20  # bytes: AlexNet's have some two thousand
KINDS = {"F32": "<f4", "F64": "<f8", "F16": "<f2"}


def read(contents: Contents, path: str | Path) -> TensorFile:
    """Describe the tensors of a file."""
    length = int.from_bytes(contents.bytes(0, 8), "little")
    if length > HEADER:
        raise Damaged(f"its header has {length} bytes, expected at most {HEADER}")
    try:
        with safetensors.safe_open(path, framework="numpy"):
            header = tensor_file.header(contents.bytes(8, length))
        notes = header.pop("__metadata__", {}) or {}
        tensors = {}
        for name, entry in header.items():
            start, end = (8 + length + offset for offset in entry["data_offsets"])
            kind = KINDS.get(entry["dtype"], entry["dtype"])
            tensors[name] = described(contents, name, entry["shape"], kind, start, end - start)
    except (
        safetensors.SafetensorError,
        OSError,
        ValueError,
        LookupError,
        TypeError,
        RecursionError,
    ) as error:
        raise Damaged(short(error).removeprefix("Error while deserializing header: ")) from None
    return TensorFile("safetensors", "safetensors", tensors, notes=notes)
