"""Convolution filters in the host engine's order: (towers, groups, K, filters / groups).

K runs over (source, row, column, channel), as the columns of windows do. Going there and back only permutes.
"""

import numpy as np


def pack(canonical: np.ndarray, *, towers: int = 1, sources: int = 1, groups: int = 1) -> np.ndarray:
    """Turn (towers * filters, sources * channels / groups, rows, columns) into the engine's order."""
    filters, channels, size, _ = canonical.shape
    parts = canonical.reshape(
        towers, groups, filters // towers // groups, sources, channels // sources, size, size
    )
    return np.ascontiguousarray(parts.transpose(0, 1, 3, 5, 6, 4, 2)).reshape(
        towers, groups, channels * size * size, -1
    )


def unpack(packed: np.ndarray, *, size: int, sources: int = 1) -> np.ndarray:
    """Turn the engine's order back into the canonical one."""
    towers, groups, depth, filters = packed.shape
    parts = packed.reshape(towers, groups, sources, size, size, -1, filters)
    return np.ascontiguousarray(parts.transpose(0, 1, 6, 2, 5, 3, 4)).reshape(
        towers * groups * filters, depth // size // size, size, size
    )


def flipped(device, weight: np.ndarray, size: int, sources: int) -> np.ndarray:
    """Turn the filters about and swap inputs with outputs: (towers, groups, size * size * filters, inputs)."""
    towers, groups, depth, filters = weight.shape
    shape = (towers, groups, size, size, filters, sources, depth // size // size // sources)
    turned = device.scratch("flipped", shape, weight.dtype)

    def turn(tower, group, scratch):
        parts = weight[tower, group].reshape(sources, size, size, -1, filters)
        np.copyto(turned[tower, group], parts[:, ::-1, ::-1].transpose(1, 2, 4, 0, 3))

    device.grid(turn, towers, groups)
    return turned.reshape(towers, groups, size * size * filters, -1)
