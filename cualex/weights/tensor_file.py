"""Write tensors as safetensors, and read them back: a piece at a time, so that no tensor is held twice."""

import json
import struct
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

PIECE = 1 << 20  # bytes
KINDS = {"float32": "F32", "int8": "I8"}  # NumPy's types, as the format names them


def write(tensors: dict[str, np.ndarray], metadata: dict[str, str], path: Path, digest: Callable[[], str]) -> str:
    """Write the safetensors format: the length of the header, the header, and the tensors' bytes.

    The digest is taken meanwhile; the header, which has 64 characters for it, is written again with it at the end.
    """
    with path.open("wb") as file, ThreadPoolExecutor(1, thread_name_prefix="digest") as thread:
        taken = thread.submit(digest)
        file.write(_header(tensors, metadata))
        for name in sorted(tensors):
            file.write(tensors[name])
        file.seek(0)
        file.write(_header(tensors, metadata | {"digest": taken.result()}))
        return taken.result()


def _header(tensors: dict[str, np.ndarray], metadata: dict[str, str]) -> bytes:
    """Return the header. The library orders the metadata by chance; here the same network gives the same file."""
    header, end = {"__metadata__": metadata}, 0
    for name in sorted(tensors):
        begin, end = end, end + tensors[name].nbytes
        kind = KINDS[tensors[name].dtype.name]
        header[name] = {"dtype": kind, "shape": tensors[name].shape, "data_offsets": (begin, end)}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text


def same(path: Path, tensors: dict[str, np.ndarray]) -> bool:
    """Tell whether a file has, after its header, these tensors in the order of their names, to the bit, and no more."""
    buffer = np.empty(PIECE, np.uint8)
    with path.open("rb") as file:
        file.seek(struct.unpack("<Q", file.read(8))[0], 1)
        for name in sorted(tensors):
            held = tensors[name].reshape(-1).view(np.uint8)
            for first in range(0, len(held), PIECE):
                piece = held[first : first + PIECE]
                read = buffer[: len(piece)]
                if file.readinto(read) != piece.nbytes or not np.array_equal(read, piece):
                    return False
        return not file.read(1)
