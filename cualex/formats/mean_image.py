"""The mean that is subtracted from images: an image or three numbers, of the source or from another file.

It is kept as a mean image, RGB from 0 to 255: float32 (stored, stored, 3).
"""

from pathlib import Path

import numpy as np

from cualex.errors import WeightsError
from cualex.formats import recognise
from cualex.formats.reading.contents import Contents
from cualex.formats.reading.tensors import short
from cualex.networks import Network


def plain(network: Network, mean: tuple[float, float, float]) -> np.ndarray:
    """Return a mean image of one colour."""
    return np.tile(np.asarray(mean, np.float32), (network.stored, network.stored, 1))


def read(path: str | Path, network: Network, colours: str) -> np.ndarray:
    """Read a mean image from a NumPy array or Caffe's binaryproto; see `checked`."""
    with Contents(path) as contents:
        tensor = recognise.read_mean(contents)
        check(tensor.shape, network)
        return checked(tensor.shape, tensor.read(), network, colours)


def check(shape: tuple[int, ...], network: Network) -> tuple[int, ...]:
    """Return a mean's shape without leading ones, or raise WeightsError."""
    side, plain = network.stored, shape
    while len(plain) > 3 and plain[0] == 1:
        plain = plain[1:]
    if plain not in ((3,), (3, side, side), (side, side, 3), (3, 1, 1)):
        raise WeightsError(
            f"a mean of {short(shape)}, expected 3 numbers or 3x{side}x{side}. Give another with --mean."
        )
    return plain


def checked(shape: tuple[int, ...], values: np.ndarray, network: Network, colours: str) -> np.ndarray:
    """Make a mean image of (3,), (3, stored, stored) or (stored, stored, 3), with `colours` RGB or BGR."""
    shape = check(shape, network)
    values = np.array(values, np.float32).reshape(shape)
    if shape[0] == 3 and len(shape) == 3:
        values = values.transpose(1, 2, 0)
    if colours == "BGR":
        values = values[..., ::-1]
    if not (np.isfinite(values).all() and values.min() >= -1 and values.max() <= 256):
        raise WeightsError("a mean with NaN, Inf or values outside 0 to 255. Give another with --mean.")
    return np.array(np.broadcast_to(values, (network.stored, network.stored, 3)), np.float32)
