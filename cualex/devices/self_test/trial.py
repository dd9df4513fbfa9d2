"""One launch on trial: what its arguments hold, what some of its outputs must then be, and whether they are.

Inputs are small integers that repeat after a prime number of values: a device fills an array of any size by copying
what is there already, and the CPU knows each value by its index. Products and sums of such integers are exact in every
precision, in any order; only what a kernel rounds on purpose is rounded here too.
"""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np

from cualex.devices.control import Control
from cualex.devices.runtime import Array, Runtime, Stream, address
from cualex.devices.stored import control_words, from_bf16, to_bf16, to_tf32
from cualex.kernels import Launch

PERIOD = 65521  # a prime, so that no shape and no stride divides it
UNIT = 2.0**-24  # half the spacing of float32 at 1
BLOCK = 1 << 22  # bytes of a copy between host and device
FAR = 4096  # values between two sampled ones, beyond which they are read apart
POISON = 0xFF  # of every byte of an output: NaN, or a number that no kernel writes
# No number is the default, so that one that is read from the wrong word shows.
CONTROL = Control(0.0625, 0.7, 0.11, bias_rate=0.3, step=5, began=2, seed=0x12_3456_789A, slot=1, part=1, trust=0.4)


@cache
def _integers(name: str, low: int, high: int) -> np.ndarray:
    """Return PERIOD integers from `low` to `high`, others for each name."""
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    return rng.integers(low, high + 1, PERIOD).astype(np.float64)


@dataclass(frozen=True)
class Pattern:
    """What an input holds: `values` again and again, float64; `array` is where."""

    array: Array
    values: np.ndarray

    def at(self, indices: Any) -> np.ndarray:
        """Return the values at flat indices."""
        return self.values[np.asarray(indices) % PERIOD]

    def table(self, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        """Return (rows, columns), float32: the values at the sums of flat indices."""
        twice = np.tile(self.values.astype(np.float32), 2)  # so that only the summands are divided
        return twice[(rows % PERIOD).astype(np.int32)[:, None] + (columns % PERIOD).astype(np.int32)]


@dataclass(frozen=True)
class Expected:
    """What an output must be at flat indices: `values`, give or take `tolerance`; or any index that `allowed` marks."""

    name: str
    at: np.ndarray
    values: np.ndarray
    tolerance: np.ndarray | None = None
    allowed: np.ndarray | None = None

    def fault(self, found: np.ndarray) -> str:
        """Return what is wrong with what was found, or an empty text."""
        if self.allowed is not None:
            right = found < self.allowed.shape[1]
            right[right] = self.allowed[np.flatnonzero(right), found[right].astype(np.int64)]
        else:
            wanted = self.values.astype(found.dtype)
            tolerance = 0.0 if self.tolerance is None else self.tolerance
            right = np.abs(found.astype(np.float64) - wanted) <= tolerance
        if right.all():
            return ""
        first = int(np.argmin(right))
        return (
            f"{(~right).sum()} of {right.size} sampled values of {self.name} are wrong: at {self.at[first]} "
            f"expected {self.values[first]:.7g}, got {found[first]:.7g}"
        )


class Trial:
    """A launch whose reference, a function of this, says what it reads and what it must write.

    `trial["ROWS"]` is a constant. What is never read or expected is left alone.
    """

    def __init__(self, launch: Launch) -> None:
        """Take a launch, with the arrays that it has in its plan."""
        self.launch, self.grid, self.control = launch, launch.grid, CONTROL
        names = [argument.name for argument in launch.kernel.arguments]
        self._given = dict(zip(names, launch.arguments, strict=True))
        rounds = launch.constants.get("PRECISION") == "TF32"
        self._rounded = {each.name for each in launch.kernel.arguments if rounds and each.type == "Value"}
        self._inputs: dict[int, Pattern] = {}
        self.expected: list[Expected] = []
        self._rng = np.random.default_rng(zlib.crc32(" ".join((launch.kernel.name, *launch.defines)).encode()))

    def __getitem__(self, constant: str) -> Any:
        return self.launch.constants[constant]

    def real(self, constant: str) -> float:
        """Return a real constant as the kernel has it, in float32."""
        return float(np.float32(self[constant]))

    def has(self, name: str) -> bool:
        """Return whether an argument is not null."""
        return self._given[name] is not None

    def given(self, name: str) -> Any:
        """Return an argument: an array, or a number."""
        return self._given[name]

    # --- what the reference says

    def read(self, name: str, low: int = -2, high: int = 2) -> Pattern:
        """Let an argument hold integers from `low` to `high`; where two are one array, the first says which."""
        return self.hold(name, _integers(name, low, high))

    def hold(self, name: str, values: np.ndarray) -> Pattern:
        """Let an argument hold PERIOD values again and again; where two are one array, the first says which."""
        return self._inputs.setdefault(address(self._given[name]), Pattern(self._given[name], values))

    def read_last_slot(self, name: str, count: int) -> int:
        """Let the control name the last slot of an input that has `count` values a slot, and return that.

        Training has two slots, inference one.
        """
        self.control = replace(CONTROL, slot=self._given[name].size // count - 1)
        return self.control.slot

    def read_control(self) -> dict[str, np.float32]:
        """Let the control hold CONTROL; return its real numbers by their names in common/control.cuh."""
        array, words = self._given["control"], control_words(self.control)
        self._inputs[address(array)] = Pattern(array, words.astype(np.float64))
        names = ("rate", "bias_rate", "corrected", "bias_corrected", "momentum", "shrink", "decay", "trust")
        return dict(zip(names, words[:8].view(np.float32), strict=True))

    def expect(self, name: str, at: Any, values: Any, tolerance: Any = None) -> None:
        """Expect values of an output at flat indices: just these, as it stores them, or with a tolerance.

        A tolerance is for numbers in float32; what is stored in bfloat16 or TF32 is off by its own rounding as well.
        """
        at, values = np.broadcast_arrays(at, np.asarray(values, np.float64))
        if tolerance is None:
            values = to_tf32(values).astype(np.float64) if name in self._rounded else self.stored(name, values)
        else:
            rounding = 2.0**-8 if self._given[name].dtype == np.uint16 else UNIT
            rounding += 2.0**-11 if name in self._rounded else 0
            tolerance = np.ravel(np.broadcast_to(tolerance, at.shape) + rounding * np.abs(values))
        at, values = at.ravel(), values.ravel()
        self.expected.append(Expected(name, at, values, tolerance))

    def expect_one_of(self, name: str, at: np.ndarray, allowed: np.ndarray) -> None:
        """Expect of an output of integers, at flat indices, one that `allowed` (indices, integers) marks."""
        self.expected.append(Expected(name, at, np.argmax(allowed, axis=1), allowed=allowed))

    def stored(self, name: str, values: np.ndarray) -> np.ndarray:
        """Return numbers as an array of that type stores them between two sums, in float64."""
        dtype = self._given[name].dtype
        if dtype == np.uint16:
            return from_bf16(to_bf16(np.asarray(values, np.float32))).astype(np.float64)
        return np.asarray(values).astype(dtype).astype(np.float64)

    # --- which outputs are sampled

    def some(self, count: int, number: int, tile: int = 0) -> np.ndarray:
        """Choose about so many of `count` indices: the first, the last, those at edges of tiles, and any others."""
        ends = [0, 1, count - 2, count - 1]
        if tile:
            edge = min(tile, count)
            ends += [edge - 1, edge, (count - 1) // tile * tile - 1, (count - 1) // tile * tile]
        chosen = np.concatenate([ends, self._rng.integers(0, count, number)]) if number < count else np.arange(count)
        return np.unique(np.clip(chosen, 0, count - 1)).astype(np.int64)

    def spread(self, count: int, number: int = 300) -> np.ndarray:
        """Choose flat indices: those of the first and last threads, and any others."""
        ends = np.concatenate([np.arange(40), np.arange(count - 40, count)])
        return np.unique(np.clip(np.concatenate([ends, self.some(count, number)]), 0, count - 1)).astype(np.int64)

    # --- on the device

    @property
    def touched(self) -> list[Array]:
        """Return the arrays that a trial writes, each once."""
        outputs = [self._given[each.name] for each in self.expected]
        found = {address(array): array for array in (*(each.array for each in self._inputs.values()), *outputs)}
        return list(found.values())

    def fill(self, runtime: Runtime, stream: Stream) -> None:
        """Queue what the arrays hold before the launch."""
        for name in dict.fromkeys(each.name for each in self.expected):
            if address(self._given[name]) not in self._inputs:
                poison(runtime, stream, self._given[name])
        for pattern in self._inputs.values():
            values = pattern.values
            dtype = np.dtype(pattern.array.dtype)
            stored = to_bf16(values.astype(np.float32)) if dtype == np.uint16 else values.astype(dtype)
            repeat(runtime, stream, pattern.array.reshape(-1), stored)

    def fault(self, runtime: Runtime, stream: Stream) -> str:
        """Wait for the launch; return what is wrong with its outputs, or an empty text."""
        for each in self.expected:
            found = _gather(runtime, stream, self._given[each.name].reshape(-1), each.at)
            if found.dtype == np.uint16:
                found = from_bf16(found)
            if fault := each.fault(found):
                return fault
        return ""


def poison(runtime: Runtime, stream: Stream, array: Array) -> None:
    """Queue the fill of an array with bytes that no kernel writes."""
    repeat(runtime, stream, array.reshape(-1).view(np.uint8), np.full(PERIOD, POISON, np.uint8))


def save(runtime: Runtime, stream: Stream, array: Array) -> np.ndarray:
    """Return what an array holds."""
    return runtime.download(stream, array.reshape(-1))


def restore(runtime: Runtime, stream: Stream, array: Array, values: np.ndarray) -> None:
    """Queue the copy of what an array held, a part at a time: pinned memory for all of it would stay taken."""
    flat, step = array.reshape(-1), BLOCK // array.dtype.itemsize
    for start in range(0, flat.size, step):
        runtime.upload(stream, flat[start : start + step], values[start : start + step])


def repeat(runtime: Runtime, stream: Stream, flat: Array, values: np.ndarray) -> None:
    """Queue the fill of an array with values again and again: some from the host, then copies of what is there."""
    count = flat.size
    times = min(-(-count // values.size), max(1, BLOCK // 4 // values.nbytes))
    ready = min(count, times * values.size)
    runtime.upload(stream, flat[:ready], np.resize(values, ready))
    while ready < count:
        more = min(ready, count - ready)
        runtime.copy(stream, flat[:more], flat[ready : ready + more])
        ready += more


def _gather(runtime: Runtime, stream: Stream, flat: Array, at: np.ndarray) -> np.ndarray:
    """Return the values at flat indices, neighbours read together."""
    order = np.unique(at)
    cuts: Sequence[np.ndarray] = np.split(order, np.flatnonzero(np.diff(order) > FAR) + 1)
    found = np.empty(at.shape, flat.dtype)
    for part in cuts:
        values = runtime.download(stream, flat[int(part[0]) : int(part[-1]) + 1])
        mine = (at >= part[0]) & (at <= part[-1])
        found[mine] = values[at[mine] - part[0]]
    return found
