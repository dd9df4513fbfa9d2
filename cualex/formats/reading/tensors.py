"""Tensors in a file: described and checked first, read later."""

import math
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from cualex.errors import WeightsError
from cualex.formats.reading.contents import Contents, Damaged

BFLOAT16 = "bf16"  # the upper half of a float32, which NumPy has not
TYPES = {"<f4": "float32", "<f8": "float64", "<f2": "float16", BFLOAT16: "bfloat16"}
AXES = 8  # at most
NUMBERS = 1 << 40  # in a tensor, at most


@dataclass
class Sum:
    """The CRC-32 that a file has of `count` bytes at `start`. compared: whether it has been verified."""

    start: int
    count: int
    expected: int
    compared: bool = False

    def compare(self, contents: Contents) -> None:
        """Verify the checksum, once; raise WeightsError when it is wrong."""
        if not self.compared:
            total = 0
            for piece in contents.pieces(self.start, self.count):
                total = zlib.crc32(piece, total)
            self._settle(total)

    def compare_read(self, contents: Contents, start: int, read: np.ndarray) -> None:
        """Verify the checksum without reading again if the bytes `read` at `start` are the whole part."""
        if not self.compared and (start, read.nbytes) == (self.start, self.count):
            self._settle(zlib.crc32(read.data))
        self.compare(contents)

    def _settle(self, total: int) -> None:
        if total != self.expected:
            raise Damaged("checksum mismatch")
        self.compared = True


@dataclass(frozen=True)
class Tensor:
    """A tensor in a file: `shape` in the file's order, numbers of type `kind`, the first at byte `start`.

    `steps` are the strides of the axes, in numbers. All numbers are in the file and none overlap: `described` checks.
    """

    contents: Contents = field(repr=False)
    shape: tuple[int, ...]
    kind: str
    start: int
    steps: tuple[int, ...]
    sum: Sum | None = None

    @property
    def span(self) -> tuple[int, int]:
        """The offsets of the first byte and behind the last."""
        return self.start, self.start + math.prod(self.shape) * width(self.kind)

    def read(self) -> np.ndarray:
        """Read the tensor, in the file's type and shape; bfloat16 as float32."""
        begin, end = self.span
        flat = self.contents.array(begin, end - begin)
        if self.sum:
            self.sum.compare_read(self.contents, begin, flat)
        flat = (flat.view("<u2").astype("<u4") << 16).view("<f4") if self.kind == BFLOAT16 else flat.view(self.kind)
        strides = [step * flat.itemsize for step in self.steps]
        # Within the array: the steps are those of its axes in some order.
        return np.lib.stride_tricks.as_strided(flat, self.shape, strides, writeable=False)


@dataclass(frozen=True)
class Weighted:
    """A layer of a graph: conv or dense, the names of its weights and biases, and the order of the weights' axes."""

    kind: str
    weight: str
    bias: str
    axes: str


@dataclass
class TensorFile:
    """A file's tensors by name, not yet read, and what else it has of its network.

    format: caffe, onnx, torch, safetensors, numpy or keras.  kind: the format in words.
    layers: (name, type) in topological order, if the file has them.
    numbers: (kind of layer, name, hyperparameters as our layers have them), in that order too.  notes: metadata.
    sums: whether the file has checksums of its tensors.
    unread: why a tensor cannot be read, by name; of no consequence unless it is one of the network's.
    groups: the dictionary in the file that a tensor lies in, where there are several.
    remarks: (topic, sentence) for the user, such as what was skipped.
    weighted: the layers with weights in topological order, if the file has its graph.
    """

    format: str
    kind: str
    tensors: dict[str, Tensor]
    layers: list[tuple[str, str]] = field(default_factory=list)
    numbers: list[tuple[str, str, dict[str, Any]]] = field(default_factory=list)
    notes: dict[str, str] = field(default_factory=dict)
    sums: bool = False
    unread: dict[str, WeightsError] = field(default_factory=dict)
    groups: dict[str, str] = field(default_factory=dict)
    remarks: list[tuple[str, str]] = field(default_factory=list)
    weighted: list[Weighted] = field(default_factory=list)


WRAPPERS = ("module", "_orig_mod")  # of data parallelism and torch.compile: part of a name, never of a network


def unwrapped(name: str) -> str:
    """Return a tensor's name without the parts that PyTorch's wrappers add."""
    return ".".join(part for part in name.split(".") if part not in WRAPPERS)


def width(kind: str) -> int:
    """Return the bytes of a number."""
    return 2 if kind == BFLOAT16 else np.dtype(kind).itemsize


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
    """Describe a tensor; raise WeightsError when its numbers do not fit into the `room` bytes at `start`.

    The axes may be in any order, as in a transposed tensor, but without gaps and overlaps.
    """
    shape = tuple(shape)
    if kind not in TYPES:
        raise WeightsError(f"{short(name)} has dtype {short(kind)}, expected a floating-point dtype such as float32.")
    if len(shape) > AXES or not all(type(length) is int and 0 <= length <= NUMBERS for length in shape):
        raise Damaged(f"{short(name)} has the invalid shape {short(shape)}")
    count = math.prod(shape)
    if count == 0 or count * width(kind) > room:
        raise Damaged(f"{short(name)} of {short(shape)} numbers does not fit into its {room} bytes")
    contents.check(start, count * width(kind))
    plain: list[int] = []
    distance = 1
    for length in reversed(shape):
        plain.insert(0, distance)
        distance *= length
    steps = tuple(plain if steps is None else steps)
    if not _dense(shape, steps):
        raise WeightsError(f"{short(name)} is not contiguous. Save tensor.contiguous().")
    return Tensor(contents, shape, kind, start, steps, sum)


def _dense(shape: tuple[int, ...], steps: tuple[int, ...]) -> bool:
    """Return whether strides are those of a contiguous array in some order of axes."""
    if len(shape) != len(steps) or not all(type(step) is int for step in steps):
        return False
    distance = 1
    for step, length in sorted((step, length) for step, length in zip(steps, shape, strict=True) if length > 1):
        if step != distance:
            return False
        distance *= length
    return all(0 <= step <= NUMBERS for step in steps)


def apart(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors; raise WeightsError when two of them share bytes."""
    end, before = 0, ""
    last: Contents | None = None
    for name, tensor in sorted(tensors.items(), key=lambda item: (id(item[1].contents), item[1].span)):
        if tensor.contents is last and tensor.span[0] < end:
            raise WeightsError(f"{short(before)} and {short(name)} share memory. Save tensor.clone() of one.")
        end, before, last = tensor.span[1], name, tensor.contents
    return tensors


def short(value: object) -> str:
    """Return a name or value from an untrusted file as a short text."""
    if isinstance(value, tuple):
        value = "x".join(f"{length}" if type(length) is int else "?" for length in value[:AXES]) or "no"
    text = str(value)[:200]
    if not text.isprintable():  # an error would escape it to four times its length
        text = ascii(text)[1:-1]
    return text if len(text) <= 60 else f"{text[:57]}..."
