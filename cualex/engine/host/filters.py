"""Convolution filters in the host engine's order: (towers, groups, K, filters / groups).

K runs over (source, row, column, channel), as the columns of windows do. Going there and back only permutes.
"""

import numpy as np


def pack(canonical: np.ndarray, *, stride: int = 1, towers: int = 1, sources: int = 1, groups: int = 1) -> np.ndarray:
    """Turn (towers * filters, sources * channels / groups, rows, columns) into the engine's order."""
    filters, channels, size, _ = canonical.shape
    parts = canonical.reshape(towers, groups, filters // towers // groups, sources, channels // sources, size, size)
    return np.ascontiguousarray(parts.transpose(0, 1, 3, 5, 6, 4, 2)).reshape(
        towers, groups, channels * size * size, -1
    )


def picture(shape: tuple[int, int, int], *, size: int, stride: int, pad: int) -> tuple[int, int, int]:
    """Return (channels, rows, columns) in which the first layer reads the picture: as it is."""
    return shape


def pack_picture(images: np.ndarray, *, size: int, stride: int, pad: int) -> np.ndarray:
    """Turn images (n, channels, rows, columns) into the engine's order."""
    return images.transpose(0, 2, 3, 1)


def unpack_picture(packed: np.ndarray, shape: tuple[int, int, int], *, size: int, stride: int, pad: int) -> np.ndarray:
    """Turn the engine's order back into images (n, *shape)."""
    return packed.transpose(0, 3, 1, 2)


def unpack(packed: np.ndarray, *, size: int, stride: int = 1, sources: int = 1) -> np.ndarray:
    """Turn the engine's order back into the canonical one."""
    towers, groups, depth, filters = packed.shape
    parts = packed.reshape(towers, groups, sources, size, size, -1, filters)
    return np.ascontiguousarray(parts.transpose(0, 1, 6, 2, 5, 3, 4)).reshape(
        towers * groups * filters, depth // size // size, size, size
    )
