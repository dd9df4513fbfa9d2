"""safetensors: the library checks the header, and then this says where each tensor lies."""

import json

import safetensors

from cualex.errors import WeightsError
from cualex.formats.reading.contents import Contents
from cualex.formats.reading.found import Found
from cualex.formats.reading.tensors import described, said

HEADER = 1 << 20  # bytes: AlexNet's have some two thousand
KINDS = {"F32": "<f4", "F64": "<f8", "F16": "<f2"}


def read(contents: Contents, path) -> Found:
    """Describe the tensors of a file."""
    length = int.from_bytes(contents.bytes(0, 8), "little")
    if length > HEADER:
        raise WeightsError(f"a header of {length} bytes, which no network needs. Copy it again.")
    try:
        with safetensors.safe_open(path, framework="numpy"):
            header = json.loads(contents.bytes(8, length), object_pairs_hook=_once)
        notes = header.pop("__metadata__", {}) or {}
        tensors = {}
        for name, entry in header.items():
            start, end = (8 + length + place for place in entry["data_offsets"])
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
        raise WeightsError(f"not a complete safetensors file ({said(error)}). Copy it again.") from None
    return Found("safetensors", "safetensors", tensors, notes=notes)


def _once(pairs: list[tuple[str, object]]) -> dict:
    """Refuse a name that is there twice: the library takes the last, another program may take the first."""
    made = dict(pairs)
    if len(made) < len(pairs):
        raise ValueError("a name is there twice")
    return made
