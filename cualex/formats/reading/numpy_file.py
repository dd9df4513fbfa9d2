"""NumPy's `.npy`: a plain array, or the dictionary of arrays that AlexNet's weights for TensorFlow come in.

The dictionary is an array of no axes that holds one object, and so a pickle: layer -> [weights, biases], or as the
converter wrote it layer -> {"weights": ..., "biases": ...}; names are text or, from Python 2, bytes. The pickle is
read by `pickles` and never run. Tensors are named `layer.0` and `layer.1`.
"""

import re

from cualex.errors import WeightsError
from cualex.formats.reading.contents import Contents, Cursor
from cualex.formats.reading.found import Found
from cualex.formats.reading.pickle_reader import Machine, refused
from cualex.formats.reading.pickle_values import Made, Short, Span
from cualex.formats.reading.tensors import Tensor, apart, described, said

MAGIC = b"\x93NUMPY"
HEADER = 10_000
PARTS = {"weights": 0, "biases": 1}
_SAID = re.compile(r"\{'descr': '([^']{1,8})', 'fortran_order': (True|False), 'shape': \(([\d, ]{0,100})\), \}\s*")


def read(contents: Contents) -> Found:
    """Describe the arrays of a dictionary."""
    kind, shape, _, start = _header(contents)
    if kind != "|O" or shape:
        raise WeightsError("one array and not a dictionary of weights. Give a dictionary of layers (layer -> [W, b]).")
    cursor = Cursor(contents, start, contents.size)
    whole = Machine(contents, cursor, ALLOWED).load()
    if cursor.left:
        raise WeightsError(f"{cursor.left} bytes follow its end. Copy it again.")
    layers = _objects(whole)
    if not isinstance(layers, dict):
        raise refused("it holds no dictionary of layers")
    tensors = {}
    for layer, parts in layers.items():
        if isinstance(parts, dict):
            parts = {PARTS.get(_text(name)): part for name, part in parts.items()}
            if None in parts:
                raise refused(f"{said(_text(layer))} has parts that are not weights and biases")
        else:
            parts = dict(enumerate(parts if isinstance(parts, list | tuple) else [parts]))
        for index, part in parts.items():
            name = f"{_text(layer)}.{index}"
            tensors[name] = _array(contents, name, part)
    return Found("numpy", "a NumPy dictionary of layers (a pickle, read without running it)", apart(tensors))


def read_array(contents: Contents) -> Tensor:
    """Describe a plain array."""
    kind, shape, turned, start = _header(contents)
    if kind == "|O":
        raise WeightsError("it holds objects, expected numbers. Save the array of numbers alone.")
    return described(contents, "the array", shape, kind, start, contents.size - start, turned)


def _header(contents: Contents) -> tuple[str, tuple[int, ...], tuple[int, ...] | None, int]:
    """Return the kind of numbers, the shape, the steps where Fortran's order is used, and where the numbers begin."""
    cursor = Cursor(contents, 0, contents.size)
    cursor.skip(len(MAGIC))
    version = cursor.take(2)
    if version not in (b"\1\0", b"\2\0"):
        raise WeightsError("a NumPy file of an unknown version. Save it again with numpy.save.")
    length = cursor.number("<H" if version == b"\1\0" else "<I")
    if length > HEADER:
        raise WeightsError(f"a header of {length} bytes. Copy it again.")
    found = _SAID.fullmatch(cursor.take(length).decode("latin-1"))
    if not found:
        raise WeightsError("its header is not as NumPy writes it. Save it again with numpy.save.")
    kind, fortran, lengths = found.groups()
    shape = tuple(int(text) for text in lengths.replace(",", " ").split())
    return kind, shape, _columns_first(shape) if fortran == "True" else None, cursor.place


def _columns_first(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the steps of an array in Fortran's order."""
    steps = [1]
    for length in shape[:-1]:
        steps.append(steps[-1] * length)
    return tuple(steps[: len(shape)])


def _objects(value: object) -> object:
    """Return the one object of an array of no axes."""
    if isinstance(value, Made) and value.kind == "array" and isinstance(value.state, tuple) and len(value.state) == 5:
        _, shape, _, _, held = value.state
        if shape == () and isinstance(held, list) and len(held) == 1:
            return held[0]
    raise refused("it holds no single object")


def _array(contents: Contents, name: str, value: object) -> Tensor:
    """Describe an array from the state that the pickle gives it: version, shape, kind, Fortran's order, bytes."""
    if not isinstance(value, Made) or value.kind != "array" or not isinstance(value.state, tuple):
        raise refused(f"{said(name)} is not an array")
    if len(value.state) != 5:
        raise refused(f"{said(name)} has a state that NumPy does not write")
    _, shape, kind, fortran, held = value.state
    if not isinstance(shape, tuple) or not all(type(length) is int and length >= 0 for length in shape):
        raise refused(f"{said(name)} has an invalid shape")
    if not isinstance(held, Span | Short):
        raise refused(f"{said(name)} has no bytes")
    steps = _columns_first(shape) if fortran else None
    made = described(contents, name, shape, _kind(kind), held.start, held.end - held.start, steps)
    if made.span[1] != held.end:
        raise WeightsError(f"{said(name)} has more bytes than its shape says. Copy it again.")
    return made


def _kind(value: object) -> str:
    """Return the kind of numbers: "<f4"."""
    if not isinstance(value, Made) or value.kind != "dtype" or not isinstance(value.state, tuple):
        raise refused("an array without a dtype")
    letters, order = value.values[0], value.state[1] if len(value.state) > 1 else None
    return f"{_text(order)}{_text(letters)}"


def _text(value: object) -> str:
    """Return a name that is text, or the bytes that Python 2 has for it."""
    if isinstance(value, bytes):
        value = value.decode("latin-1")
    if not isinstance(value, str):
        raise refused("a name that is not a string")
    return value


def _made(kind: str):
    return lambda *values: Made(kind, values)


ALLOWED = {
    "numpy.core.multiarray _reconstruct": _made("array"),
    "numpy._core.multiarray _reconstruct": _made("array"),
    "numpy ndarray": None,
    "numpy dtype": _made("dtype"),
}
