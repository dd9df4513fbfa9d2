"""The wire format of Protocol Buffers, strictly: fields by number, lengths held against what is there.

    message = (tag value)*,    tag = field * 8 + type
    type 0: a whole number in 7 bits a byte   1: 8 bytes   2: a length, then so many bytes   5: 4 bytes

Groups (types 3 and 4) are refused: none of the formats read here has had them. Only what is asked for is kept, and
the bytes of tensors are passed over.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from cualex.errors import WeightsError
from cualex.formats.reading.contents import CUT, Contents, Cursor
from cualex.formats.reading.tensors import Tensor, described

WHOLE, EIGHT, LONG, FOUR = 0, 1, 2, 5
FIELDS = 200_000  # in a file: AlexNet's have a few hundred
TEXT = 10_000  # bytes of a name


@dataclass(frozen=True)
class Field:
    """Hold a field: its number and type, a whole number's value, or where its bytes begin and end."""

    number: int
    type: int
    value: int
    start: int
    end: int


class Message:
    """Read a message that lies from `start` to `end` in a file."""

    def __init__(self, contents: Contents, start: int = 0, end: int | None = None, budget: list[int] | None = None):
        """`budget` counts the fields that may still be read, for a message and all that is in it."""
        self.contents, self.start = contents, start
        self.end = contents.size if end is None else end
        self.budget = [FIELDS] if budget is None else budget

    def fields(self) -> Iterator[Field]:
        """Walk over the fields in the order of the file."""
        cursor = Cursor(self.contents, self.start, self.end)
        while cursor.left:
            self.budget[0] -= 1
            if self.budget[0] < 0:
                raise WeightsError(f"more than {FIELDS} fields, which no network has. Copy it again.")
            tag = whole(cursor)
            number, kind = tag >> 3, tag & 7
            if not 0 < number < 2**29 or kind not in (WHOLE, EIGHT, LONG, FOUR):
                raise WeightsError(f"byte {cursor.place} begins no field: {CUT}")
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
            raise WeightsError(f"a name of {field.value} bytes: {CUT}")
        try:
            return self.contents.bytes(field.start, field.value).decode()
        except UnicodeDecodeError:
            raise WeightsError(f"a name at byte {field.start} is no text: {CUT}") from None

    def integers(self, field: Field, most: int = 64) -> list[int]:
        """Return whole numbers of a repeated field: one, or several in a row."""
        if field.type == WHOLE:
            return [field.value]
        self.expect(field, LONG)
        cursor, values = Cursor(self.contents, field.start, field.end), []
        while cursor.left:
            values.append(whole(cursor))
            if len(values) > most:
                raise WeightsError(f"more than {most} numbers where a shape is: {CUT}")
        return values

    def real(self, field: Field) -> float:
        """Return a number of 4 bytes."""
        self.expect(field, FOUR)
        return struct.unpack("<f", self.contents.bytes(field.start, 4))[0]

    def tensor(self, field: Field, name: str, shape: list[int], kind: str) -> Tensor:
        """Describe a tensor whose numbers are the bytes of a field, exactly."""
        self.expect(field, LONG)
        made = described(self.contents, name, shape, kind, field.start, field.value)
        if made.span[1] != field.end:
            raise WeightsError(f"{name} has {field.value} bytes, expected {made.span[1] - field.start}. Copy it again.")
        return made

    def expect(self, field: Field, kind: int) -> None:
        """Raise WeightsError unless a field is of a type."""
        if field.type != kind:
            raise WeightsError(f"field {field.number} is of type {field.type}, expected {kind}: {CUT}")


def only(fields: list[Field], what: str) -> Field | None:
    """Return the field of a list that can have one; in pieces, as the format would allow, nobody writes it."""
    if len(fields) > 1:
        raise WeightsError(f"{what} is there {len(fields)} times. Copy it again.")
    return fields[0] if fields else None


def whole(cursor: Cursor) -> int:
    """Read a whole number of at most 64 bits: 7 bits a byte, the low ones first."""
    value = 0
    for shift in range(0, 70, 7):
        (byte,) = cursor.take(1)
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            break
    else:
        raise WeightsError(f"a number at byte {cursor.place} does not end: {CUT}")
    if value >= 2**64:
        raise WeightsError(f"a number at byte {cursor.place} has more than 64 bits: {CUT}")
    return value
