"""Initial weights, drawn from a seed."""

import zlib

import numpy as np

from cualex.networks import Network


def draw(network: Network, seed: int) -> dict[str, np.ndarray]:
    """Draw initial parameters, normal or uniform by layer, and the initial state; the same for every placement.

    Every parameter has a separate generator, so a layer's weights do not depend on the other layers.
    """
    tensors: dict[str, np.ndarray] = {}
    shapes = network.tensors()
    for stage in network.stages():
        for name, parameter in {**stage.parameters, **stage.state}.items():
            tensors[name] = parameter.draw(shapes[name], [seed, zlib.crc32(name.encode())])
    return tensors
