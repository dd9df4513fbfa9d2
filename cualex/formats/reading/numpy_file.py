"""NumPy's `.npy`: a plain array, or the dictionary of arrays of AlexNet's weights for TensorFlow.

The dictionary is a zero-dimensional array of one object, and so a pickle: layer -> [weights, biases], or from another
converter layer -> {"weights": ..., "biases": ...}; names are text or, from Python 2, bytes. pickle_reader.py interprets
the pickle without executing it. Tensors are named `layer.0` and `layer.1`.
"""

import re
from collections.abc import Callable

from cualex.errors import WeightsError
from cualex.formats.reading.contents import Contents, Cursor, Damaged
from cualex.formats.reading.pickle_reader import Machine
from cualex.formats.reading.pickle_values import Made, Short, Span, refused
from cualex.formats.reading.tensors import Tensor, TensorFile, apart, described, short

MAGIC = b"\x93NUMPY"
HEADER = 10_000
PARTS = {"weights": 0, "biases": 1}
_FORM = re.compile(r"\{'descr': '([^']{1,8})', 'fortran_order': (True|False), 'shape': \(([\d, ]{0,100})\), \}\s*")


def read(contents: Contents) -> TensorFile:
    """Describe the arrays of a dictionary."""
    kind, shape, _, start = _header(contents)
    if kind != "|O" or shape:
        raise WeightsError(
            "a NumPy file of one array. Give one of a dictionary of layers (layer -> [weights, biases])."
        )
    cursor = Cursor(contents, start, contents.size)
    whole = Machine(contents, cursor, ALLOWED).load()
    if cursor.left:
        raise Damaged(f"{cursor.left} bytes after its end")
    layers = _objects(whole)
    if not isinstance(layers, dict):
        raise refused("it holds no dictionary of layers")
    tensors = {}
    for layer, parts in layers.items():
        if isinstance(parts, dict):
            parts = {PARTS.get(_text(name)): part for name, part in parts.items()}
            if None in parts:
                raise refused(f"{short(_text(layer))} has parts that are not weights and biases")
        else:
            parts = dict(enumerate(parts if isinstance(parts, list | tuple) else [parts]))
        for index, part in parts.items():
            name = f"{_text(layer)}.{index}"
            tensors[name] = _array(contents, name, part)
    return TensorFile("numpy", "a NumPy dictionary of layers (a pickle, read without running it)", apart(tensors))


def read_array(contents: Contents) -> Tensor:
    """Describe a plain array."""
    kind, shape, turned, start = _header(contents)
    if kind == "|O":
        raise WeightsError("it holds objects, expected numbers. Save the array of numbers alone.")
    return described(contents, "the array", shape, kind, start, contents.size - start, turned)


def _header(contents: Contents) -> tuple[str, tuple[int, ...], tuple[int, ...] | None, int]:
    """Return the type of numbers, the shape, the strides in Fortran order (else None), and the offset of the data."""
    cursor = Cursor(contents, 0, contents.size)
    cursor.skip(len(MAGIC))
    version = cursor.take(2)
    if version not in (b"\1\0", b"\2\0"):
        raise WeightsError("a NumPy file of an unknown version. Save it again with numpy.save.")
    length = cursor.number("<H" if version == b"\1\0" else "<I")
    if length > HEADER:
        raise Damaged(f"its header has {length} bytes, expected at most {HEADER}")
    header = _FORM.fullmatch(cursor.take(length).decode("latin-1"))
    if not header:
        raise WeightsError("its header is not as NumPy writes it. Save it again with numpy.save.")
    kind, fortran, lengths = header.groups()
    shape = tuple(int(text) for text in lengths.replace(",", " ").split())
    return kind, shape, _columns_first(shape) if fortran == "True" else None, cursor.position


def _columns_first(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the strides of an array in Fortran order."""
    steps = [1]
    for length in shape[:-1]:
        steps.append(steps[-1] * length)
    return tuple(steps[: len(shape)])


def _objects(value: object) -> object:
    """Return the object in a zero-dimensional array."""
    if isinstance(value, Made) and value.kind == "array" and isinstance(value.state, tuple) and len(value.state) == 5:
        _, shape, _, _, held = value.state
        if shape == () and isinstance(held, list) and len(held) == 1:
            return held[0]
    raise refused("it holds no single object")


def _array(contents: Contents, name: str, value: object) -> Tensor:
    """Describe an array from its pickled state: version, shape, type, Fortran order, bytes."""
    if not isinstance(value, Made) or value.kind != "array" or not isinstance(value.state, tuple):
        raise refused(f"{short(name)} is not an array")
    if len(value.state) != 5:
        raise refused(f"{short(name)} has a state that NumPy does not write")
    _, shape, kind, fortran, held = value.state
    if not isinstance(shape, tuple) or not all(type(length) is int and length >= 0 for length in shape):
        raise refused(f"{short(name)} has an invalid shape")
    if not isinstance(held, Span | Short):
        raise refused(f"{short(name)} has no bytes")
    steps = _columns_first(shape) if fortran else None
    made = described(contents, name, shape, _kind(kind), held.start, held.end - held.start, steps)
    if made.span[1] != held.end:
        raise Damaged(f"{short(name)} has more bytes than its shape says")
    return made


def _kind(value: object) -> str:
    """Return the type of numbers: "<f4"."""
    if not isinstance(value, Made) or value.kind != "dtype" or not isinstance(value.state, tuple):
        raise refused("an array without a dtype")
    letters, order = value.values[0], value.state[1] if len(value.state) > 1 else None
    return f"{_text(order)}{_text(letters)}"


def _text(value: object) -> str:
    """Return a name as text; from Python 2 it is bytes."""
    if isinstance(value, bytes):
        value = value.decode("latin-1")
    if not isinstance(value, str):
        raise refused("a name that is not a string")
    return value


def _made(kind: str) -> Callable[..., Made]:
    return lambda *values: Made(kind, values)


ALLOWED: dict[str, Callable[..., object] | None] = {
    "numpy.core.multiarray _reconstruct": _made("array"),
    "numpy._core.multiarray _reconstruct": _made("array"),
    "numpy ndarray": None,
    "numpy dtype": _made("dtype"),
}
