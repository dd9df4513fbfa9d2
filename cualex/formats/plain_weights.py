"""The weights of a network of towers for one without: for programs that have only groups.

Maps of all towers are concatenated along the channels, so that towers become groups of one layer. Dropout becomes
inverted, which does nothing at test: the factor of classic dropout goes into the weights above.
"""

import dataclasses

import numpy as np

from cualex.formats import rescale
from cualex.layers import LRN, Conv, Dropout, Layer
from cualex.networks import Network, Stage


def inverted(network: Network, k: float | None = None) -> Network:
    """Return the network with inverted dropout and, for a `k`, LRN of that k, with alpha in proportion."""
    return dataclasses.replace(network, layers={name: _changed(layer, k) for name, layer in network.layers.items()})


def _changed(layer: Layer, k: float | None) -> Layer:
    if isinstance(layer, Dropout):
        return dataclasses.replace(layer, inverted=True)
    if isinstance(layer, LRN) and k and layer.k > 0:
        return dataclasses.replace(layer, k=k, alpha=layer.alpha * k / layer.k)
    return layer


def plain(network: Network, tensors: dict[str, np.ndarray], k: float | None = None) -> dict[str, np.ndarray]:
    """Return tensors with which `inverted` computes the same as the network; inputs are in the order of the towers."""
    factors = rescale.factors(network, inverted(network, k))
    changed = {name: tensors[name] * factor.astype(np.float32) for name, factor in factors.items()}
    made = {**tensors, **changed}
    for stage in network.stages():
        for name in stage.parameters:
            if name.endswith(".weight"):
                made[name] = in_order(stage, made[name])
    return made


def groups(stage: Stage) -> int:
    """Return the number of groups of a convolution over the maps of all towers."""
    assert isinstance(stage.layer, Conv)
    return stage.layer.groups * (1 if stage.reading.shared else stage.towers)


def in_order(stage: Stage, weight: np.ndarray, back: bool = False) -> np.ndarray:
    """Reorder a weight's inputs from own tower first to the order of the towers, or `back`."""
    sources, towers = stage.reading.sources, stage.towers
    if not stage.reading.own_first or sources == 1:
        return weight
    parts = weight.reshape(towers, len(weight) // towers, sources, -1)
    turned = [np.roll(part, -tower if back else tower, axis=1) for tower, part in enumerate(parts)]
    return np.stack(turned).reshape(weight.shape)
