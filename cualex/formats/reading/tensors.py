"""Tensors as a file holds them: described and checked first, read later."""

import math
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from cualex.errors import WeightsError
from cualex.formats.reading.contents import Contents

TYPES = {"<f4": "float32", "<f8": "float64", "<f2": "float16"}
AXES = 8  # more than any of these formats writes for a network
NUMBERS = 1 << 40  # in a tensor; what is more has no file


@dataclass
class Sum:
    """Hold the CRC-32 that a file keeps of a part of itself, until that has been compared."""

    start: int
    count: int
    expected: int
    compared: bool = False

    def compare(self, contents: Contents) -> None:
        """Raise WeightsError unless the part is as it was written; read it once however often this is asked."""
        if not self.compared:
            total = 0
            for piece in contents.pieces(self.start, self.count):
                total = zlib.crc32(piece, total)
            self._settle(total)

    def compare_read(self, contents: Contents, start: int, read: np.ndarray) -> None:
        """Do the same where bytes have been read: if they are the whole part, it is not read again."""
        if not self.compared and (start, read.nbytes) == (self.start, self.count):
            self._settle(zlib.crc32(read))
        self.compare(contents)

    def _settle(self, total: int) -> None:
        if total != self.expected:
            raise WeightsError("checksum mismatch. Copy it again.")
        self.compared = True


@dataclass(frozen=True)
class Tensor:
    """Describe a tensor of a file: `shape` in the file's own order, numbers of `kind`, the first at byte `start`.

    `steps` are the distances between neighbours along each axis, in numbers. Every number lies in the file and has a
    place of its own: `described` sees to it.
    """

    contents: Contents = field(repr=False)
    shape: tuple[int, ...]
    kind: str
    start: int
    steps: tuple[int, ...]
    sum: Sum | None = None

    @property
    def span(self) -> tuple[int, int]:
        """Return where the bytes begin and end."""
        return self.start, self.start + math.prod(self.shape) * np.dtype(self.kind).itemsize

    def read(self) -> np.ndarray:
        """Read the numbers: float32, or what the file has, in the shape that it says."""
        begin, end = self.span
        flat = self.contents.array(begin, end - begin)
        if self.sum:
            self.sum.compare_read(self.contents, begin, flat)
        flat = flat.view(self.kind)
        strides = [step * flat.itemsize for step in self.steps]
        # Within the array: the steps are those of its axes in some order.
        return np.lib.stride_tricks.as_strided(flat, self.shape, strides, writeable=False)


def described(
    contents: Contents,
    name: str,
    shape: Sequence[int],
    kind: str,
    start: int,
    room: int,
    steps: Sequence[int] | None = None,
    sum: Sum | None = None,
) -> Tensor:
    """Describe a tensor, or raise WeightsError where its numbers do not fit into the `room` bytes at `start`.

    The axes may lie in any order, as a transposed tensor's do, but without gaps and without two numbers in one
    place.
    """
    shape = tuple(shape)
    if kind not in TYPES:
        raise WeightsError(f"{said(name)} has dtype {said(kind)}, expected a floating-point dtype such as float32.")
    if len(shape) > AXES or not all(type(length) is int and 0 <= length <= NUMBERS for length in shape):
        raise WeightsError(f"{said(name)} has the invalid shape {said(shape)}. Copy it again.")
    count = math.prod(shape)
    if count == 0 or count * np.dtype(kind).itemsize > room:
        raise WeightsError(f"{said(name)} of {said(shape)} numbers does not fit into its {room} bytes. Copy it again.")
    contents.check(start, count * np.dtype(kind).itemsize)
    plain, distance = [], 1
    for length in reversed(shape):
        plain.insert(0, distance)
        distance *= length
    steps = tuple(plain if steps is None else steps)
    if not _dense(shape, steps):
        raise WeightsError(f"{said(name)} is not contiguous. Save it contiguous.")
    return Tensor(contents, shape, kind, start, steps, sum)


def _dense(shape: tuple[int, ...], steps: tuple[int, ...]) -> bool:
    """Tell whether steps fill the places 0 to n - 1, each once: those of a contiguous array in some order of axes."""
    if len(shape) != len(steps) or not all(type(step) is int for step in steps):
        return False
    distance = 1
    for step, length in sorted((step, length) for step, length in zip(steps, shape, strict=True) if length > 1):
        if step != distance:
            return False
        distance *= length
    return all(0 <= step <= NUMBERS for step in steps)


def apart(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return tensors as they are, or raise WeightsError where two of them share bytes."""
    end, before = 0, ""
    for name, tensor in sorted(tensors.items(), key=lambda item: item[1].span):
        if tensor.span[0] < end:
            raise WeightsError(f"{said(before)} and {said(name)} share bytes. Save each tensor by itself.")
        end, before = tensor.span[1], name
    return tensors


def said(value: object) -> str:
    """Write a name or value of a file that may hold anything: short."""
    if isinstance(value, tuple):
        value = "x".join(f"{length}" if type(length) is int else "?" for length in value[:AXES]) or "no"
    text = str(value)[:200]
    return text if len(text) <= 60 else f"{text[:57]}..."
