"""Read the arrays of a MATLAB 5 file (`save` up to -v7): numbers, text, cells and structures.

The format is that of MathWorks' "MAT-File Format", chapter 1. Data elements are read strictly: what is not described
here (sparse arrays, objects, complex numbers) and lengths that leave the file raise ValueError.
"""

import math
import struct
import zlib
from typing import Any

import numpy as np

_NUMBERS = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
_ENCODINGS = {16: "utf-8", 17: "utf-16", 18: "utf-32"}
_MATRIX, _COMPRESSED = 14, 15
_CELL, _STRUCT, _CHAR, _NUMERIC = 1, 2, 4, range(6, 16)
_MOST = 500_000_000  # bytes that a compressed element may expand to
_DEEPEST = 16  # arrays inside of arrays


def read(data: bytes) -> dict[str, Any]:
    """Return the variables of a file by name.

    Numbers are arrays, text is str, a cell array is a list in MATLAB's order (columns first), and an array of
    structures a list of dictionaries. Raise ValueError for another or a damaged file.
    """
    if not data.startswith(b"MATLAB 5.0") or len(data) < 128:
        raise ValueError("not a MATLAB 5 file")
    if data[126:128] not in (b"IM", b"MI"):
        raise ValueError("no mark of the byte order")
    order = "<" if data[126:128] == b"IM" else ">"
    variables: dict[str, Any] = {}
    reader = _Reader(data[128:], order)
    while reader.left():
        kind, body = reader.element()
        if kind == _COMPRESSED:
            kind, body = _Reader(_expanded(body), order).element()
        if kind == _MATRIX:
            name, value = _matrix(body, order, 0)
            variables[name] = value
    return variables


def _expanded(body: bytes) -> bytes:
    inflater = zlib.decompressobj()
    try:
        data = inflater.decompress(body, _MOST)
    except zlib.error as error:
        raise ValueError(f"a compressed element is damaged ({error})") from None
    if inflater.unconsumed_tail:
        raise ValueError(f"an element expands beyond {_MOST:,} bytes")
    return data


class _Reader:
    """The elements of a part of a file, one after another."""

    def __init__(self, data: bytes, order: str) -> None:
        self._data, self._order, self._position = data, order, 0

    def left(self) -> bool:
        """Whether there is another element: at the end there may be padding."""
        return len(self._data) - self._position >= 8

    def element(self) -> tuple[int, bytes]:
        """Return the next element's type and bytes: small ones lie in the word that otherwise holds the length."""
        if not self.left():
            raise ValueError("the file ends inside an array")
        kind, size = struct.unpack_from(f"{self._order}II", self._data, self._position)
        start, padded = self._position + 8, -(-size // 8) * 8
        if kind >> 16:
            kind, size = kind & 0xFFFF, kind >> 16
            start, padded = self._position + 4, 4
            if size > 4:
                raise ValueError(f"a small element of {size} bytes")
        elif kind == _COMPRESSED:
            padded = size
        if start + size > len(self._data):
            raise ValueError("the file ends inside an array")
        self._position = start + padded
        return kind, self._data[start : start + size]

    def numbers(self) -> np.ndarray:
        """Return the next element as numbers."""
        kind, body = self.element()
        if kind not in _NUMBERS:
            raise ValueError(f"an element of type {kind}, expected numbers")
        kind_of = np.dtype(f"{self._order}{_NUMBERS[kind]}")
        return np.frombuffer(body[: len(body) // kind_of.itemsize * kind_of.itemsize], kind_of)


def _matrix(body: bytes, order: str, depth: int) -> tuple[str, Any]:
    """Return an array's name and value."""
    if not body:
        return "", np.zeros((0, 0))
    if depth > _DEEPEST:
        raise ValueError("arrays inside of arrays, too deep")
    reader = _Reader(body, order)
    flags = reader.numbers()
    shape = tuple(reader.numbers().astype(int).tolist())
    name = reader.element()[1].decode("latin-1")
    kind, count = (int(flags[0]) & 0xFF if len(flags) else 0), math.prod(shape)
    if not shape or min(shape) < 0 or (kind in (_CELL, _STRUCT) and count > len(body)):
        raise ValueError(f"an array of shape {shape}")
    if kind == _CELL:
        return name, [_inner(reader, order, depth) for _ in range(count)]
    if kind == _STRUCT:
        (width,), fields = reader.numbers().tolist(), reader.element()[1]
        if width <= 0:
            raise ValueError(f"names of fields of {width} bytes")
        keys = [
            fields[start : start + width].split(b"\0")[0].decode("latin-1") for start in range(0, len(fields), width)
        ]
        return name, [{key: _inner(reader, order, depth) for key in keys} for _ in range(count)]
    if kind == _CHAR:
        return name, _text(reader, order)
    if kind not in _NUMERIC or int(flags[0]) & 0x800:
        raise ValueError(f"an array of class {kind}, expected numbers, text, a cell or a structure")
    values = reader.numbers()
    if len(values) != count:
        raise ValueError(f"{len(values)} numbers in an array of shape {shape}")
    return name, values.reshape(shape, order="F")


def _inner(reader: _Reader, order: str, depth: int) -> Any:
    kind, body = reader.element()
    if kind != _MATRIX:
        raise ValueError(f"an element of type {kind}, expected an array")
    return _matrix(body, order, depth + 1)[1]


def _text(reader: _Reader, order: str) -> str:
    kind, body = reader.element()
    if kind in _ENCODINGS:
        encoding = _ENCODINGS[kind]
        return body.decode(encoding if kind == 16 else f"{encoding}-{'le' if order == '<' else 'be'}", "replace")
    if kind not in _NUMBERS:
        raise ValueError(f"text of type {kind}")
    codes = np.frombuffer(body, f"{order}{_NUMBERS[kind]}") if len(body) else np.zeros(0, int)
    if len(codes) and not 0 <= int(codes.min()) <= int(codes.max()) < 0x110000:
        raise ValueError("text of numbers that are no letters")
    return "".join(map(chr, codes.astype(int).tolist()))
