"""Initial weights, drawn from a seed."""

import zlib

import numpy as np

from cualex.layers import Parameter
from cualex.networks import Network


def draw(network: Network, seed: int) -> dict[str, np.ndarray]:
    """Draw initial parameters, normal or uniform by layer, and the initial state; the same for every placement.

    Every parameter has a separate generator, so a layer's weights do not depend on the other layers.
    """
    tensors: dict[str, np.ndarray] = {}
    shapes = network.tensors()
    for stage in network.stages():
        for name, parameter in {**stage.parameters, **stage.state}.items():
            tensors[name] = _drawn(parameter, shapes[name], [seed, zlib.crc32(name.encode())])
    return tensors


def _drawn(parameter: Parameter, shape: tuple[int, ...], key: list[int]) -> np.ndarray:
    """Draw the initial values of a parameter from a generator with that key."""
    generator = np.random.Generator(np.random.Philox(key=np.array(key, np.uint64)))
    if parameter.limit:
        values = generator.random(shape, np.float32)
        values *= np.float32(2 * parameter.limit)
        values += np.float32(parameter.value - parameter.limit)
    elif parameter.std:
        values = generator.standard_normal(shape, np.float32)
        values *= np.float32(parameter.std)
        values += np.float32(parameter.value)
    else:
        values = np.full(shape, parameter.value, np.float32)
    return values
