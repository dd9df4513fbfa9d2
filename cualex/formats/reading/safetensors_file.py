"""safetensors: the library checks the header; this returns the offsets of the tensors."""

import json
from pathlib import Path
from typing import Any

import safetensors

from cualex.errors import WeightsError
from cualex.formats.reading.contents import Contents
from cualex.formats.reading.tensors import TensorFile, described, short

HEADER = 1 << 20  # bytes: AlexNet's have some two thousand
KINDS = {"F32": "<f4", "F64": "<f8", "F16": "<f2"}


def read(contents: Contents, path: str | Path) -> TensorFile:
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
        raise WeightsError(f"not a complete safetensors file ({short(error)}). Copy it again.") from None
    return TensorFile("safetensors", "safetensors", tensors, notes=notes)


def _once(pairs: list[tuple[str, object]]) -> dict[str, Any]:
    """Raise ValueError for a duplicate name: the library takes the last, another program may take the first."""
    made = dict(pairs)
    if len(made) < len(pairs):
        raise ValueError("a name is there twice")
    return made
