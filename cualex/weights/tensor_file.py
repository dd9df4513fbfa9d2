"""safetensors: written and verified piece by piece, so that no tensor is in memory twice, and opened strictly."""

import json
import struct
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import safetensors

from cualex.errors import ForeignWeights

PIECE = 1 << 20  # bytes
KINDS = {"float32": "F32", "int8": "I8"}  # NumPy's types, as the format names them


def write(tensors: dict[str, np.ndarray], metadata: dict[str, str], path: Path, digest: Callable[[], str]) -> str:
    """Write the safetensors format: the length of the header, the header, and the tensors' bytes. Return the digest.

    The digest is computed meanwhile; the header, which has 64 characters for it, is written again at the end.
    """
    with path.open("wb") as file, ThreadPoolExecutor(1, thread_name_prefix="digest") as thread:
        taken = thread.submit(digest)
        file.write(_header(tensors, metadata))
        for name in sorted(tensors):
            file.write(tensors[name].data)
        file.seek(0)
        file.write(_header(tensors, metadata | {"digest": taken.result()}))
        return taken.result()


def _header(tensors: dict[str, np.ndarray], metadata: dict[str, str]) -> bytes:
    """Return the header. The library's order of metadata is random; here the same network gives the same file."""
    header: dict[str, Any] = {"__metadata__": metadata}
    end = 0
    for name in sorted(tensors):
        begin, end = end, end + tensors[name].nbytes
        kind = KINDS[tensors[name].dtype.name]
        header[name] = {"dtype": kind, "shape": tensors[name].shape, "data_offsets": (begin, end)}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text


def opened(raw: BinaryIO, path: Path) -> Any:
    """Open a file with safetensors' library.

    raw: the same file, at its start. Raise ForeignWeights for another format, ValueError for a name given twice.
    """
    length = raw.read(8)
    if raw.read(1) not in (b"{", b""):  # where the header begins
        raise ForeignWeights(
            "not a weights file of cualex, which are safetensors. Copy it again if it was one; `cualex import` "
            "converts those of PyTorch, ONNX, Caffe, Keras and TensorFlow."
        )
    made = safetensors.safe_open(path, framework="numpy")
    raw.seek(8)
    header(raw.read(*struct.unpack("<Q", length)))
    return made


def header(text: bytes) -> dict[str, Any]:
    """Read a header; raise ValueError for a name given twice: the library takes the last, another program the first."""
    return json.loads(text, object_pairs_hook=_once)


def _once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    made = dict(pairs)
    if len(made) < len(pairs):
        raise ValueError("a name is there twice")
    return made


def same(path: Path, tensors: dict[str, np.ndarray]) -> bool:
    """Return whether a file has, after its header, exactly the bytes of these tensors in the order of their names."""
    buffer = np.empty(PIECE, np.uint8)
    with path.open("rb") as file:
        file.seek(struct.unpack("<Q", file.read(8))[0], 1)
        for name in sorted(tensors):
            held = tensors[name].reshape(-1).view(np.uint8)
            for first in range(0, len(held), PIECE):
                piece = held[first : first + PIECE]
                read = buffer[: len(piece)]
                if file.readinto(read.data) != piece.nbytes or not np.array_equal(read, piece):
                    return False
        return not file.read(1)
