"""safetensors: the library checks the header; this returns the offsets of the tensors."""

from pathlib import Path

import safetensors

from cualex.errors import WeightsError
from cualex.formats.reading.contents import Contents, Damaged
from cualex.formats.reading.tensors import BFLOAT16, TensorFile, described, short, unwrapped
from cualex.weights import tensor_file

HEADER = 1 << 20  # bytes: AlexNet's have some two thousand
KINDS = {"F32": "<f4", "F64": "<f8", "F16": "<f2", "BF16": BFLOAT16}
WORDS = {"I8": "int8", "I16": "int16", "I32": "int32", "I64": "int64", "U8": "uint8", "BOOL": "bool"}
OWN = (
    "a weights file of cualex already. Use it as it is: `cualex predict -w FILE`, `cualex train DATA --from FILE`; "
    "`cualex export` converts it for other programs."
)


def read(contents: Contents, path: str | Path) -> TensorFile:
    """Describe the tensors of a file."""
    length = int.from_bytes(contents.bytes(0, 8), "little")
    if length > HEADER:
        raise Damaged(f"its header has {length} bytes, expected at most {HEADER}")
    try:
        with safetensors.safe_open(path, framework="numpy"):
            header = tensor_file.header(contents.bytes(8, length))
        notes = header.pop("__metadata__", {}) or {}
        if "cualex" in notes:
            raise WeightsError(OWN)
        tensors, unread = {}, {}
        for called, entry in header.items():
            start, end = (8 + length + offset for offset in entry["data_offsets"])
            kind, name = entry["dtype"], unwrapped(called)
            if name in tensors or name in unread:
                raise Damaged(f"{short(name)} is there twice")
            try:
                stored = KINDS.get(kind) or WORDS.get(kind, kind)
                tensors[name] = described(contents, name, entry["shape"], stored, start, end - start)
            except Damaged:
                raise
            except WeightsError as error:
                unread[name] = error
    except (
        safetensors.SafetensorError,
        OSError,
        ValueError,
        LookupError,
        TypeError,
        RecursionError,
    ) as error:
        raise Damaged(short(error).removeprefix("Error while deserializing header: ")) from None
    return TensorFile("safetensors", "safetensors", tensors, notes=notes, unread=unread)
