"""The same network with parts switched off: what it loses without them, not what it would learn without them.

tower1, tower2, ...   what the tower sends to layers that read several towers counts as zero
exchange              towers that go on read their own maps alone; the last layer still reads all
norm                  the sum of squares in LRN counts as zero: y = x / k^beta
activation            y = x in place of ReLU, tanh and others

Layers are exchanged or removed, and weights that read what is off are zero; all others are the network's.
"""

from collections.abc import Collection
from dataclasses import replace

import numpy as np

from cualex.layers import LRN, Activation, Layer, ReLU
from cualex.networks import Network, Stage


def parts(network: Network) -> dict[str, str]:
    """Return what can be switched off, with its name for people."""
    layers = list(network.layers.values())
    found = {f"tower{tower}": f"tower {tower}" for tower in range(1, network.towers + 1) if network.towers > 1}
    if any(_meets(stage) for stage in network.stages()):
        found["exchange"] = "exchange"
    if any(isinstance(layer, LRN) for layer in layers):
        found["norm"] = "normalisation"
    functions = {"ReLU" if isinstance(layer, ReLU) else "activation" for layer in layers if _activates(layer)}
    if functions:
        found["activation"] = functions.pop() if len(functions) == 1 else "activation"
    return found


def without(
    network: Network, tensors: dict[str, np.ndarray], off: Collection[str]
) -> tuple[Network, dict[str, np.ndarray]]:
    """Return the network without parts, and the tensors that differ from `tensors`."""
    changed = {}
    for stage in network.stages():
        if stage.reading.sources > 1 and stage.parameters:
            name = f"{stage.name}.weight"
            weight = _cut(stage, tensors[name], off)
            if weight is not None:
                changed[name] = weight
    layers = {name: _exchanged(layer, off) for name, layer in network.layers.items()}
    return replace(network, layers={name: layer for name, layer in layers.items() if layer}), changed


def _cut(stage: Stage, weight: np.ndarray, off: Collection[str]) -> np.ndarray | None:
    """Return weights (outputs, inputs, ...) of which those for what is off are zero; None where all is on."""
    sources = stage.reading.sources
    cut = [
        (to, source)
        for to in range(stage.towers)
        for source in range(sources)
        if f"tower{source + 1}" in off or ("exchange" in off and _meets(stage) and source != to)
    ]
    if not cut:
        return None
    # (towers, filters of a tower, sources, weights of a source)
    parts_ = stage.turned("weight", weight).reshape(stage.towers, -1, sources, weight[0].size // sources).copy()
    for to, source in cut:
        parts_[to, :, source] = 0
    return stage.turned("weight", parts_.reshape(weight.shape), back=True)


def _exchanged(layer: Layer, off: Collection[str]) -> Layer | None:
    if "norm" in off and isinstance(layer, LRN):
        return replace(layer, alpha=0.0) if layer.k else None
    return None if "activation" in off and _activates(layer) else layer


def _meets(stage: Stage) -> bool:
    """Return whether several towers read one another's maps here."""
    return stage.towers > 1 and stage.reading.sources > 1


def _activates(layer: Layer) -> bool:
    return isinstance(layer, ReLU | Activation)
