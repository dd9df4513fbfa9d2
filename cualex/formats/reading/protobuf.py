"""The wire format of Protocol Buffers, read strictly and written.

    message = (tag value)*,    tag = field * 8 + type
    type 0: a varint, 7 bits a byte   1: 8 bytes   2: a length, then that many bytes   5: 4 bytes

Groups (types 3 and 4) are refused: none of the formats read here has them. Lengths are checked, the bytes of tensors
skipped. A message to be written is a list of pieces, so that tensors are never copied:

    field(number, value) -> pieces       value: an integer, text, bytes, or the pieces of a message
"""

import struct
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cualex.formats.reading.contents import Contents, Cursor, Damaged
from cualex.formats.reading.tensors import Tensor, described

WHOLE, EIGHT, LONG, FOUR = 0, 1, 2, 5
FIELDS = 200_000  # in a file: AlexNet's have a few hundred
TEXT = 10_000  # bytes of a name


@dataclass(frozen=True)
class Field:
    """A field: number and type, the value of a varint, or the range of its bytes."""

    number: int
    type: int
    value: int
    start: int
    end: int


class Message:
    """A message from byte `start` to `end` of a file."""

    def __init__(
        self, contents: Contents, start: int = 0, end: int | None = None, budget: list[int] | None = None
    ) -> None:
        """`budget` is the number of fields that may still be read, shared by a message and those inside it."""
        self.contents, self.start = contents, start
        self.end = contents.size if end is None else end
        self.budget = [FIELDS] if budget is None else budget

    def fields(self) -> Iterator[Field]:
        """Yield the fields in the order of the file."""
        cursor = Cursor(self.contents, self.start, self.end)
        while cursor.left:
            self.budget[0] -= 1
            if self.budget[0] < 0:
                raise Damaged(f"more than {FIELDS} Protocol Buffers fields")
            tag = whole(cursor)
            number, kind = tag >> 3, tag & 7
            if not 0 < number < 2**29 or kind not in (WHOLE, EIGHT, LONG, FOUR):
                raise Damaged(f"no Protocol Buffers field at offset {cursor.position}")
            value = whole(cursor) if kind in (WHOLE, LONG) else 0
            length = {WHOLE: 0, EIGHT: 8, LONG: value, FOUR: 4}[kind]
            start = cursor.skip(length)
            yield Field(number, kind, value, start, start + length)

    def all(self, *numbers: int) -> list[Field]:
        """Return the fields of these numbers."""
        return [field for field in self.fields() if field.number in numbers]

    def message(self, field: Field) -> "Message":
        """Return the message in a field."""
        self.expect(field, LONG)
        return Message(self.contents, field.start, field.end, self.budget)

    def text(self, field: Field) -> str:
        """Return the text in a field."""
        self.expect(field, LONG)
        if field.value > TEXT:
            raise Damaged(f"a name of {field.value} bytes at offset {field.start}")
        try:
            return self.contents.bytes(field.start, field.value).decode()
        except UnicodeDecodeError:
            raise Damaged(f"a name at offset {field.start} is not UTF-8") from None

    def integers(self, field: Field, most: int = 64) -> list[int]:
        """Return the integers of a repeated field, packed or not."""
        if field.type == WHOLE:
            return [field.value]
        self.expect(field, LONG)
        cursor, values = Cursor(self.contents, field.start, field.end), []
        while cursor.left:
            values.append(whole(cursor))
            if len(values) > most:
                raise Damaged(f"a shape of more than {most} axes at offset {field.start}")
        return values

    def real(self, field: Field) -> float:
        """Return a float of 4 bytes."""
        self.expect(field, FOUR)
        (value,) = struct.unpack("<f", self.contents.bytes(field.start, 4))
        return float(value)

    def tensor(self, field: Field, name: str, shape: list[int], kind: str) -> Tensor:
        """Describe a tensor that is exactly the bytes of a field."""
        self.expect(field, LONG)
        made = described(self.contents, name, shape, kind, field.start, field.value)
        if made.span[1] != field.end:
            raise Damaged(f"{name} has {field.value} bytes, expected {made.span[1] - field.start}")
        return made

    def expect(self, field: Field, kind: int) -> None:
        """Raise WeightsError unless a field is of a type."""
        if field.type != kind:
            raise Damaged(f"Protocol Buffers field {field.number} has wire type {field.type}, expected {kind}")


def only(fields: list[Field], what: str) -> Field | None:
    """Return the field of a list with at most one; the format allows several, but nobody writes them."""
    if len(fields) > 1:
        raise Damaged(f"{what} is there {len(fields)} times")
    return fields[0] if fields else None


def whole(cursor: Cursor) -> int:
    """Read a varint of at most 64 bits: 7 bits a byte, the low ones first."""
    value = 0
    for shift in range(0, 70, 7):
        (byte,) = cursor.take(1)
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            break
    else:
        raise Damaged(f"an integer at offset {cursor.position} has no end")
    if value >= 2**64:
        raise Damaged(f"an integer at offset {cursor.position} has more than 64 bits")
    return value


Pieces = list[bytes | memoryview]


def field(number: int, value: int | float | str | bytes | np.ndarray | Pieces) -> Pieces:
    """Encode a field; a float as 4 bytes, an array as its bytes."""
    if isinstance(value, int):
        return [encoded(number << 3 | WHOLE) + encoded(value % 2**64)]
    if isinstance(value, float):
        return [encoded(number << 3 | FOUR) + struct.pack("<f", value)]
    pieces: Pieces
    if isinstance(value, np.ndarray):
        pieces = [np.ascontiguousarray(value).data.cast("B")]
    elif isinstance(value, list):
        pieces = value
    else:
        pieces = [value.encode() if isinstance(value, str) else value]
    return [encoded(number << 3 | LONG) + encoded(size(pieces)), *pieces]


def message(*fields: Pieces) -> Pieces:
    """Concatenate fields."""
    return [piece for each in fields for piece in each]


def packed(number: int, values: Iterable[int]) -> Pieces:
    """Encode integers as one packed field."""
    return field(number, b"".join(encoded(value % 2**64) for value in values))


def size(pieces: Sequence[bytes | memoryview]) -> int:
    """Return the number of bytes."""
    return sum(len(piece) for piece in pieces)


def write(path: Path, pieces: Pieces) -> None:
    """Write a message to a file."""
    with path.open("wb") as file:
        for piece in pieces:
            file.write(piece)


def encoded(value: int) -> bytes:
    """Encode a varint: 7 bits a byte, the low ones first."""
    made = bytearray()
    while value > 0x7F:
        made.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*made, value])
