"""Weights in 8 bits: a quarter of the size, for the network that comes with cualex.

    w[filter] ~ q[filter] * scale[filter]        q: integers from -127 to 127, scale = max |w[filter]| / 127

A filter is a row of a canonical weight: (filters, channels, rows, columns) or (outputs, inputs). Biases and the mean
image stay float32. The error of a weight is at most half its filter's scale. Symmetric, one scale a filter, as in
Krishnamoorthi, "Quantizing deep convolutional networks for efficient inference", 2018, section 3.
"""

import numpy as np

LARGEST = {8: 127, 16: 32767}  # by bits
SCALE = ".scale"  # suffix of the name of a quantised weight, for its scales


def quantise(weight: np.ndarray, bits: int = 8) -> tuple[np.ndarray, np.ndarray]:
    """Return q, int8 or int16 of the weight's shape, and scale, float32 (filters,). A filter of zeros has scale 0."""
    largest = LARGEST[bits]
    scale = np.abs(weight).reshape(len(weight), -1).max(axis=1).astype(np.float32) / np.float32(largest)
    divisor = np.where(scale > 0, scale, np.float32(1)).reshape(_column(weight))
    return np.clip(np.rint(weight / divisor), -largest, largest).astype(f"int{bits}"), scale


def dequantise(q: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """Return q * scale: float32 of q's shape."""
    return q.astype(np.float32) * scale.reshape(_column(q))


def quantised(tensors: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return tensors with every weight of two or more axes in 8 bits, and its scales."""
    made: dict[str, np.ndarray] = {}
    for name, tensor in tensors.items():
        if tensor.ndim > 1:
            made[name], made[name + SCALE] = quantise(tensor)
        else:
            made[name] = tensor
    return made


def restored(tensors: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return the result of `quantised` as float32 tensors."""
    return {
        name: dequantise(tensor, tensors[name + SCALE]) if tensor.dtype == np.int8 else tensor
        for name, tensor in tensors.items()
        if not name.endswith(SCALE)
    }


def _column(tensor: np.ndarray) -> tuple[int, ...]:
    """Return the shape in which one number a filter broadcasts over the tensor."""
    return (-1, *[1] * (tensor.ndim - 1))
