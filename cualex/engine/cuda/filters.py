"""Convolution filters in the CUDA engine's order: (towers, filters, sources, rows, columns, channels of a group).

Space to depth: kernels copy 16 bytes at a time, and an image has but three channels. Where a convolution has a stride,
the image is stored in blocks of stride x stride pixels, each block one pixel with 3 * stride^2 channels (row in block,
column in block, colour). The filters become smaller ones, of stride 1, over these; they are zero-padded to whole
blocks, and the padding stays zero.
"""

import numpy as np

COLOURS = 3


def block(size: int, stride: int, channels: int) -> int:
    """Return the side of the blocks of pixels in which a convolution reads its maps: `stride`, or 1 for none."""
    return stride if channels == COLOURS and stride > 1 and size > 1 else 1


def picture(shape: tuple[int, int, int], *, size: int, stride: int, pad: int) -> tuple[int, int, int]:
    """Return (channels, rows, columns) in which the first layer reads the image, its padding included."""
    channels, rows, columns = shape
    side = block(size, stride, channels)
    if side == 1:
        return shape
    return channels * side**2, -(-(rows + 2 * pad) // side), -(-(columns + 2 * pad) // side)


def pack_picture(images: np.ndarray, *, size: int, stride: int, pad: int) -> np.ndarray:
    """Turn images (n, channels, rows, columns) into blocks of pixels, with their padding of zeros."""
    n, channels, rows, columns = images.shape
    depth, height, width = picture((channels, rows, columns), size=size, stride=stride, pad=pad)
    side = block(size, stride, channels)
    if side == 1:
        return images.transpose(0, 2, 3, 1)
    padded = np.zeros((n, channels, height * side, width * side), images.dtype)
    padded[:, :, pad : pad + rows, pad : pad + columns] = images
    split = padded.reshape(n, channels, height, side, width, side)
    return split.transpose(0, 2, 4, 3, 5, 1).reshape(n, height, width, depth)


def unpack_picture(packed: np.ndarray, shape: tuple[int, int, int], *, size: int, stride: int, pad: int) -> np.ndarray:
    """Turn blocks of pixels back into images (n, *shape), without their padding."""
    channels, rows, columns = shape
    side = block(size, stride, channels)
    if side == 1:
        return packed.transpose(0, 3, 1, 2)
    n, height, width, _ = packed.shape
    split = packed.reshape(n, height, width, side, side, channels)
    padded = split.transpose(0, 5, 1, 3, 2, 4).reshape(n, channels, height * side, width * side)
    return padded[:, :, pad : pad + rows, pad : pad + columns]


def pack(canonical: np.ndarray, *, stride: int = 1, towers: int = 1, sources: int = 1, groups: int = 1) -> np.ndarray:
    """Convert (towers * filters, sources * channels / groups, rows, columns) to the engine's layout.

    Groups change nothing: the first filters of a tower read the first channels.
    """
    filters, channels, size, _ = canonical.shape
    side = block(size, stride, channels * groups)
    blocks = -(-size // side)
    padding = side * blocks - size
    padded = np.pad(canonical, ((0, 0), (0, 0), (0, padding), (0, padding)))
    split = padded.reshape(towers, filters // towers, sources, -1, blocks, side, blocks, side)
    ordered = np.ascontiguousarray(split.transpose(0, 1, 2, 4, 6, 5, 7, 3))
    return ordered.reshape(*ordered.shape[:5], -1)


def unpack(packed: np.ndarray, *, size: int, stride: int = 1, sources: int = 1) -> np.ndarray:
    """Convert the engine's layout to the canonical one."""
    towers, filters, _, blocks = packed.shape[:4]
    side = 1 if blocks == size else stride
    split = packed.reshape(towers, filters, sources, blocks, blocks, side, side, -1)
    ordered = split.transpose(0, 1, 2, 7, 3, 5, 4, 6)
    padded = ordered.reshape(towers * filters, -1, blocks * side, blocks * side)
    return np.ascontiguousarray(padded[:, :, :size, :size])
