"""The wire format of Protocol Buffers, written: a message is a list of pieces, so that tensors are never copied.

    field(number, value) -> pieces       value: a whole number, text, bytes, or the pieces of a message

See `protobuf` for the format.
"""

import struct
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from cualex.formats.reading.protobuf import FOUR, LONG, WHOLE

Pieces = list[bytes | memoryview]


def field(number: int, value: int | float | str | bytes | np.ndarray | Pieces) -> Pieces:
    """Write a field; a number with a fraction as 4 bytes, an array as its bytes."""
    if isinstance(value, int):
        return [_whole(number << 3 | WHOLE) + _whole(value % 2**64)]
    if isinstance(value, float):
        return [_whole(number << 3 | FOUR) + struct.pack("<f", value)]
    if isinstance(value, str):
        value = value.encode()
    if isinstance(value, np.ndarray):
        value = memoryview(np.ascontiguousarray(value)).cast("B")
    pieces = value if isinstance(value, list) else [value]
    return [_whole(number << 3 | LONG) + _whole(size(pieces)), *pieces]


def message(*fields: Pieces) -> Pieces:
    """Put fields in a row."""
    return [piece for each in fields for piece in each]


def packed(number: int, values: Iterable[int]) -> Pieces:
    """Write whole numbers in one field."""
    return field(number, b"".join(_whole(value % 2**64) for value in values))


def size(pieces: Sequence[bytes | memoryview]) -> int:
    """Count the bytes."""
    return sum(len(piece) for piece in pieces)


def write(path: Path, pieces: Pieces) -> None:
    """Write a message to a file."""
    with path.open("wb") as file:
        for piece in pieces:
            file.write(piece)


def _whole(value: int) -> bytes:
    """Write a whole number: 7 bits a byte, the low ones first."""
    made = bytearray()
    while value > 0x7F:
        made.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*made, value])
