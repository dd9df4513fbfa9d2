"""Arguments of a user's kernel: numbers and arrays, from descriptions or NumPy, as the kernel's own types.

    3  -1  0.5  true            numbers                  zeros(1024)  ones(8, 8)   full(7, 64)
    null                        a null pointer           arange(128)  empty(128)   nobody has written to it
    x.npy                       a file of NumPy's        random(128, seed=1)       uniform in 0 to 1
    x=zeros(8)                  with the name, checked   randint(0, 10, 128, seed=1)

Types are the kernel's: zeros(8) for `double*` is of doubles, float4* takes floats whose number 4 divides.
"""

import ast
import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cualex.emulator.source import UserKernel
from cualex.errors import KernelError, UsageError

POINTER, CONST_POINTER = 10_000, 20_000  # as in machine/user.h
VOID, HALF, BF16 = 17, 15, 16
DTYPES = {1: "?", 2: "i1", 3: "i1", 4: "u1", 5: "i2", 6: "u2", 7: "i4", 8: "u4", 9: "i8", 10: "u8", 11: "i8", 12: "u8"}
DTYPES |= {13: "f4", 14: "f8", HALF: "f2", BF16: "u2"}
LARGEST = 1 << 28  # bytes of an array: emulated memory is watched byte by byte


@dataclass(frozen=True)
class Type:
    """The type of an argument: a number of `lanes` elements, or a pointer to such."""

    base: int
    lanes: int
    pointer: bool
    constant: bool  # what it points to

    @property
    def dtype(self) -> np.dtype:
        """Return the type of an element as it lies in memory."""
        return np.dtype(DTYPES.get(self.base, "u1"))

    @property
    def given(self) -> np.dtype:
        """Return the type of an element as Python has it: float32 for bfloat16, which NumPy lacks."""
        return np.dtype(np.float32) if self.base == BF16 else self.dtype

    @property
    def bytes(self) -> int:
        """Return the size of what a pointer points to, or of the number."""
        return self.dtype.itemsize * self.lanes


@dataclass(frozen=True)
class Value:
    """An argument that is ready: bytes of a number, or an array (None: a null pointer); whether nobody has written."""

    type: Type
    number: bytes = b""
    array: np.ndarray | None = None
    empty: bool = False


def types_of(kernel: UserKernel, codes: list[int], place: str) -> list[Type]:
    """Return the types that the compiler has seen; refuse what is neither number nor array."""
    types = []
    for declared, code in zip(kernel.declared, codes, strict=True):
        pointer, lanes, base = code // POINTER, code % POINTER // 100, code % 100
        if not lanes or (not pointer and base == VOID):
            raise KernelError(f"{place}: {kernel.name} takes `{declared}`, and the emulator passes numbers and arrays.")
        types.append(Type(base, lanes, pointer > 0, code >= CONST_POINTER))
    return types


def ready(kernel: UserKernel, types: list[Type], given: tuple[Any, ...]) -> list[Value]:
    """Return the arguments as the kernel's types; raise UsageError where they do not fit."""
    if len(given) != len(types):
        takes = f"{kernel.name}({', '.join(kernel.declared)}) takes {len(types)} arguments"
        example = ", ".join("zeros(1024)" if each.pointer else "3" for each in types)
        raise UsageError(f"{takes}, but got {len(given)}. Give --args with commas between, as '{example}'.")
    each = zip(kernel.arguments, kernel.declared, types, given, strict=True)
    return [_ready(name, declared, kind, value) for name, declared, kind, value in each]


def _ready(name: str, declared: str, kind: Type, value: Any) -> Value:
    said = f"argument `{declared}`"
    if isinstance(value, str):
        value = described(value, name, kind)
    if not kind.pointer:
        return Value(kind, _number(said, kind, value))
    if value is None:
        return Value(kind)
    if isinstance(value, Empty):
        return Value(kind, array=np.zeros(value.shape, kind.dtype), empty=True)
    if not isinstance(value, np.ndarray):
        raise UsageError(f"{said} is a pointer, and {value!r} is no array. Give an array, as zeros(1024).")
    if value.nbytes > LARGEST:
        raise UsageError(f"{said}: {value.nbytes:,} bytes, and the emulator takes {LARGEST:,}. Choose a smaller array.")
    if kind.base == VOID:
        return Value(kind, array=np.ascontiguousarray(value))
    if value.dtype != kind.given:
        raise UsageError(
            f"{said} is of {kind.given}, and the array of {value.dtype}. Convert it: x.astype('{kind.given}')."
        )
    if value.size % kind.lanes:
        raise UsageError(f"{said} takes {kind.lanes} numbers an element, and {value.size:,} are no multiple of that.")
    return Value(kind, array=to_bf16(value) if kind.base == BF16 else np.ascontiguousarray(value))


def _number(said: str, kind: Type, value: Any) -> bytes:
    values = value if isinstance(value, tuple | list) else [value]
    if len(values) != kind.lanes or any(not isinstance(each, int | float | np.number | np.bool_) for each in values):
        wanted = "a number" if kind.lanes == 1 else f"{kind.lanes} numbers"
        raise UsageError(f"{said} is {wanted}, and {_short(value)} is given.")
    whole = kind.given.kind in "iu?"
    for each in values:
        if whole and not (math.isfinite(each) and int(each) == each):
            raise UsageError(f"{said} is a whole number, and {each} is given.")
        if kind.given.kind in "iu" and not np.iinfo(kind.given).min <= each <= np.iinfo(kind.given).max:
            raise UsageError(f"{said}: {each} does not fit into {kind.given}.")
    numbers = np.array([int(each) if whole else float(each) for each in values]).astype(kind.given)
    return (to_bf16(numbers) if kind.base == BF16 else numbers).tobytes()


def _short(value: Any) -> str:
    return f"an array of {value.shape}" if isinstance(value, np.ndarray) else repr(value)


def to_bf16(values: np.ndarray) -> np.ndarray:
    """Round float32 to bfloat16, to nearest even: its 16 bits."""
    bits = np.ascontiguousarray(values, np.float32).view(np.uint32).astype(np.uint64)
    rounded = (bits + 0x7FFF + (bits >> 16 & 1)) >> 16
    return np.where(np.isnan(values), 0x7FC0, rounded).astype(np.uint16)


def from_bf16(bits: np.ndarray) -> np.ndarray:
    """Return bfloat16 as float32."""
    return (bits.astype(np.uint32) << 16).view(np.float32)


@dataclass(frozen=True)
class Empty:
    """An array that nobody has written to."""

    shape: tuple[int, ...]


def split(text: str) -> list[str]:
    """Split the text of --args at its commas outside of brackets."""
    parts = re.findall(r"(?:\([^()]*\)|[^,()])+", text)
    if "".join(re.split(r"[,\s]", text)) != "".join(re.split(r"[,\s]", "".join(parts))):
        raise UsageError(f"--args {text!r}: the brackets do not match.")
    return [part.strip() for part in parts if part.strip()]


def described(text: str, name: str, kind: Type) -> Any:
    """Return what a description is of: a number, an array, or None."""
    if named := re.match(r"([A-Za-z_]\w*)\s*=(?!=)\s*(.*)", text):
        if named.group(1) != name:
            raise UsageError(f"{text!r} stands where the kernel takes {name}; arguments come in the kernel's order.")
        text = named.group(2)
    if text in ("null", "nullptr", "None"):
        return None
    if text in ("true", "false", "inf", "-inf", "nan"):
        return {"true": True, "false": False}.get(text, float(text) if text[0] not in "tf" else 0)
    if call := re.fullmatch(r"(\w+)\s*\((.*)\)", text):
        return _made(text, call.group(1), call.group(2), kind.given)
    if text.lower().endswith(".npy"):
        return _loaded(text)
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError):
        value = None
    if isinstance(value, int | float | tuple):
        return value
    raise UsageError(f"{text!r} is no argument: give a number, a .npy file, or {', '.join(MAKERS)}, as zeros(1024).")


def _made(text: str, maker: str, words: str, dtype: np.dtype) -> Any:
    if maker not in MAKERS:
        raise UsageError(f"{text!r}: there is no {maker}; there are {', '.join(MAKERS)}.")
    seed = 0
    try:
        numbers = [word.strip() for word in words.split(",") if word.strip()]
        if numbers and (found := re.fullmatch(r"seed\s*=\s*(\d+)", numbers[-1])):
            seed = int(found.group(1))
            numbers.pop()
        values = [ast.literal_eval(number) for number in numbers]
        made = MAKERS[maker](np.random.default_rng(seed), *values)
        return made if isinstance(made, Empty) else made.astype(dtype)
    except (ValueError, SyntaxError, TypeError, MemoryError):
        raise UsageError(f"{text!r} cannot be made: expected {EXAMPLES[maker]}.") from None


def _sizes(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Check a shape before its memory is taken."""
    if (
        not shape
        or any(not isinstance(size, int) or size < 0 for size in shape)
        or np.prod(shape, dtype=float) > LARGEST
    ):
        raise ValueError
    return shape


MAKERS: dict[str, Callable[..., Any]] = {
    "zeros": lambda rng, *shape: np.zeros(_sizes(shape)),
    "ones": lambda rng, *shape: np.ones(_sizes(shape)),
    "full": lambda rng, value, *shape: np.full(_sizes(shape), value),
    "arange": lambda rng, count: np.arange(*_sizes((count,))),
    "empty": lambda rng, *shape: Empty(_sizes(shape)),
    "random": lambda rng, *shape: rng.random(_sizes(shape)),
    "randint": lambda rng, low, high, *shape: rng.integers(low, high, _sizes(shape)),
}
EXAMPLES = {"full": "full(7, 64)", "randint": "randint(0, 10, 128)", "random": "random(128, seed=1)"}
EXAMPLES = {name: EXAMPLES.get(name, f"{name}(128)") for name in MAKERS}


def _loaded(path: str) -> np.ndarray:
    if not Path(path).is_file():
        raise UsageError(f"{path}: there is no such file.")
    try:
        return np.asarray(np.load(path, allow_pickle=False))
    except (ValueError, EOFError, OSError) as error:
        raise UsageError(f"{path} cannot be read as a .npy file: {error}.") from None
