"""Values as the arrays of a GPU store them: the bits of bfloat16, of TF32, and of struct Control."""

from collections.abc import Callable
from typing import Any

import numpy as np

from cualex.devices.control import Control
from cualex.devices.runtime import Array, Runtime, Stream

CONTROL_WORDS = 14
STORED = {"fp32": np.float32, "tf32": np.float32, "bf16": np.uint16}  # a value of the maps, by precision
FINITE = 13  # the index of that word in struct Control, the last


def as_stored(values: np.ndarray, target: Array) -> np.ndarray:
    """Return values in the type and shape of a device's array."""
    values = np.asarray(values)
    if values.dtype == target.dtype and values.shape == target.shape and values.flags.c_contiguous:
        return values
    if target.dtype == np.uint16:
        values = to_bf16(np.asarray(values, np.float32))
    return np.ascontiguousarray(np.broadcast_to(np.asarray(values, target.dtype), target.shape))


def control_words(control: Control) -> np.ndarray:
    """Return the bits of struct Control."""
    words = np.zeros(CONTROL_WORDS, np.uint32)
    rates = [rate(bias) for rate in (control.rate_of, control.corrected) for bias in (False, True)]
    reals = [*rates, control.momentum, control.rate * control.decay, control.decay, control.trust]
    words[:8] = np.array(reals, np.float32).view(np.uint32)
    words[8:] = control.step, control.seed & 0xFFFFFFFF, control.seed >> 32, control.slot, control.part, 1
    return words


def to_bf16(values: np.ndarray) -> np.ndarray:
    """Round float32 to the bits of bfloat16, to nearest, ties to even."""
    bits = np.ascontiguousarray(values, np.float32).view(np.uint32)
    near = ((bits + np.uint32(0x7FFF) + (bits >> 16 & 1)) >> 16).astype(np.uint16)
    return np.where(np.isnan(values), (bits >> 16 | 0x40).astype(np.uint16), near)


def to_tf32(values: np.ndarray) -> np.ndarray:
    """Round float32 to TF32, to nearest, ties away from zero, as to_tf32 of kernels/common/values.cuh does."""
    bits = np.ascontiguousarray(values, np.float32).view(np.uint32)
    near = np.where(np.isnan(values), bits | np.uint32(0x400000), bits + np.uint32(0x1000))
    return (near & np.uint32(0xFFFFE000)).view(np.float32)


def from_bf16(bits: np.ndarray) -> np.ndarray:
    """Return bfloat16 bits as float32."""
    return (bits.astype(np.uint32) << 16).view(np.float32)


class Stores:
    """The part of a device that brings values into the type of its arrays, and back."""

    runtime: Runtime
    stream: Stream
    precision: str
    dtype: np.dtype[Any]
    master: np.dtype[Any] = np.dtype(np.float32)
    allocate: Callable[..., Array]

    def hold(self, values: np.ndarray) -> Array:
        """Return an array of the master type with these values."""
        array = self.allocate(values.shape, self.master)
        self.upload(array, values)
        return array

    def upload(self, target: Array, values: np.ndarray) -> None:
        """Queue a copy from the host; what has 16 bits on the device is bfloat16, and is rounded."""
        self.runtime.upload(self.stream, target, as_stored(values, target))

    def upload_rounded(self, target: Array, values: np.ndarray) -> None:
        """Queue a copy from the host of what gemms read: in tf32 they do not round it."""
        self.upload(target, to_tf32(values) if self.precision == "tf32" else values)

    def copies(self, dimensions: int) -> bool:
        """Return whether gemms read a copy of weights with so many axes: bfloat16, or filters rounded to TF32.

        engine/cuda/dense.py says why dense weights have none in tf32.
        """
        return self.dtype != self.master or (self.precision == "tf32" and dimensions > 2)

    def download(self, source: Array) -> np.ndarray:
        """Wait for what is queued, and return a copy on the host; bfloat16 comes as float32."""
        values = self.runtime.download(self.stream, source)
        return from_bf16(values) if values.dtype == np.uint16 else values
