"""MATLAB 5 files written for the tests: numbers, text, cells and structures, compressed or not, in both byte orders."""

import struct
import zlib

import numpy as np

_TYPES = {"int8": 1, "uint8": 2, "int16": 3, "uint16": 4, "int32": 5, "uint32": 6, "float64": 9}
_CLASSES = {"int8": 8, "uint8": 9, "int16": 10, "uint16": 11, "int32": 12, "uint32": 13, "float64": 6}


def written(variables, compressed=False, order="<"):
    """Write variables: arrays, text, lists (cells), and lists of dictionaries (arrays of structures)."""
    head = b"MATLAB 5.0 MAT-file, made for a test".ljust(124) + struct.pack(f"{order}H", 0x0100)
    body = b""
    for name, value in variables.items():
        made = matrix(name, value, order)
        if compressed:
            data = zlib.compress(made)
            made = struct.pack(f"{order}II", 15, len(data)) + data
        body += made
    return head + (b"IM" if order == "<" else b"MI") + body


def element(kind, data, order):
    if 0 < len(data) <= 4:
        first = kind | len(data) << 16
        return struct.pack(f"{order}I", first) + data.ljust(4, b"\0")
    return struct.pack(f"{order}II", kind, len(data)) + data + b"\0" * (-len(data) % 8)


def matrix(name, value, order):
    if isinstance(value, str):
        return _matrix(name, 4, (1, len(value)), element(16, value.encode(), order), order)
    if isinstance(value, list) and value and isinstance(value[0], dict):
        keys = list(value[0])
        names = b"".join(key.encode().ljust(32, b"\0") for key in keys)
        fields = b"".join(matrix("", each[key], order) for each in value for key in keys)
        data = element(5, struct.pack(f"{order}i", 32), order) + element(1, names, order) + fields
        return _matrix(name, 2, (len(value), 1), data, order)
    if isinstance(value, list):
        return _matrix(name, 1, (1, len(value)), b"".join(matrix("", each, order) for each in value), order)
    value = np.atleast_2d(value)
    data = value.astype(value.dtype.newbyteorder(order)).tobytes(order="F")
    return _matrix(name, _CLASSES[value.dtype.name], value.shape, element(_TYPES[value.dtype.name], data, order), order)


def _matrix(name, kind, shape, data, order):
    flags = element(6, struct.pack(f"{order}II", kind, 0), order)
    dimensions = element(5, struct.pack(f"{order}{len(shape)}i", *shape), order)
    return element(14, flags + dimensions + element(1, name.encode(), order) + data, order)


def synsets(numbers):
    """Return what the devkit's meta.mat holds: ILSVRC2012_ID from 1, the WordNet number, its words."""
    fields = ({"ILSVRC2012_ID": np.uint16(index), "WNID": wnid, "words": "x"} for index, wnid in enumerate(numbers, 1))
    return {"synsets": list(fields)}
