"""Values as the arrays of a GPU store them: the bits of bfloat16, of TF32, and of struct Control."""

import numpy as np

from cualex.devices.control import Control
from cualex.devices.runtime import Array

CONTROL_WORDS = 14
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
