"""Write tensors as safetensors, and verify them piece by piece, so that no tensor is in memory twice."""

import json
import struct
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

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
