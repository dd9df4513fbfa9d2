"""The mean that is taken from pictures: a picture, or three numbers, from the file's source or from a file beside it.

Our weights file keeps it as a picture, RGB from 0 to 255: float32 (stored, stored, 3).
"""

from pathlib import Path

import numpy as np

from cualex.errors import WeightsError
from cualex.formats import recognise
from cualex.formats.reading.contents import Contents
from cualex.formats.reading.tensors import said
from cualex.networks import Network


def plain(network: Network, mean: tuple[float, float, float]) -> np.ndarray:
    """Make a picture of one colour."""
    return np.tile(np.float32(mean), (network.stored, network.stored, 1))


def read(path: str | Path, network: Network, colours: str) -> np.ndarray:
    """Read a mean from a file, an array of NumPy's or Caffe's binaryproto; see `checked`."""
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
        raise WeightsError(f"a mean of {said(shape)}, expected 3 numbers or 3x{side}x{side}.")
    return plain


def checked(shape: tuple[int, ...], values: np.ndarray, network: Network, colours: str) -> np.ndarray:
    """Make a mean picture of (3,), (3, stored, stored) or (stored, stored, 3), its colours in the order said."""
    shape = check(shape, network)
    values = np.array(values, np.float32).reshape(shape)
    if shape[0] == 3 and len(shape) == 3:
        values = values.transpose(1, 2, 0)
    if colours == "BGR":
        values = values[..., ::-1]
    if not (np.isfinite(values).all() and values.min() >= -1 and values.max() <= 256):
        raise WeightsError("a mean with values outside 0 to 255.")
    return np.array(np.broadcast_to(values, (network.stored, network.stored, 3)), np.float32)
