"""The same network with parts switched off: what it loses without them, not what it would learn without them.

tower1, tower2, ...   what the tower sends to layers that read several towers counts as zero
exchange              towers that go on read their own maps alone; the last layer still reads all
norm                  the sum of squares in LRN counts as zero: y = x / k^beta
activation            y = x in place of ReLU, tanh and others

Layers are replaced or removed. Weights are the network's, but for the exchange: towers of one device read the same
maps, so that those for the other tower's are zero.
"""

from collections.abc import Collection
from dataclasses import dataclass, replace

import numpy as np

from cualex.layers import LRN, Activation, Exchange, Join, Layer, ReLU
from cualex.layers.build import Build
from cualex.layers.layer import Kept, Then
from cualex.layers.maps import Maps, Operand
from cualex.networks import Network, Stage


class Silence(Exchange):
    """What an exchange or a join gives its readers, with zeros for the maps of some towers."""

    silent: tuple[int, ...]

    def forward(self, build: Build, x: Maps, then: Then) -> tuple[Maps, Kept]:
        """Gather the maps of all towers, and hand on zeros that no step writes in place of some."""
        gathered, kept = super().forward(build, x, then)
        zeros = build.maps(x.shape, x.towers, "zeros")
        for part in zeros.parts:
            if part:
                part.lasting = True  # else its memory would be shared with what other steps write
        sources = tuple(
            tuple(Operand(zeros.part(place), 0) if tower in self.silent else own for tower, own in enumerate(each))
            for place, each in enumerate(gathered.sources)
        )
        return replace(gathered, sources=sources), kept

    def backward(self, build: Build, x: Maps, y: Maps, kept: Kept, dy: Maps, then: Then) -> Maps:
        """Bring back the gradients of towers that are heard, and zeros for the others, which nothing hears."""
        dx = super().backward(build, x, y, kept, dy, then)
        towers = ((place, part, own) for place, part in enumerate(dx.parts) if part for own in range(part.shape[0]))
        for tower, (place, part, own) in enumerate(towers):
            if tower in self.silent:
                zero, each = build.engine.activation.forward, Operand(part, own)
                build.step(zero, reads={"x": each}, writes={"y": each}, place=place, function="linear:0,0")
        return dx


@dataclass(frozen=True)
class SilentExchange(Silence):
    """An exchange with towers that are off."""

    silent: tuple[int, ...] = ()


@dataclass(frozen=True)
class SilentJoin(Silence, Join):
    """A join with towers that are off."""

    silent: tuple[int, ...] = ()


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
        if "exchange" in off and _meets(stage) and stage.parameters:
            name = f"{stage.name}.weight"
            changed[name] = _own(stage, tensors[name])
    layers = {name: _replaced(layer, off, silent(network, off)) for name, layer in network.layers.items()}
    return replace(network, layers={name: layer for name, layer in layers.items() if layer}), changed


def silent(network: Network, off: Collection[str]) -> tuple[int, ...]:
    """Return the towers, from 0, that are off."""
    return tuple(tower for tower in range(network.towers) if f"tower{tower + 1}" in off)


def _own(stage: Stage, weight: np.ndarray) -> np.ndarray:
    """Return weights (outputs, inputs, ...) of which those for the maps of other towers are zero."""
    sources = stage.reading.sources
    # (towers, filters of a tower, sources, weights of a source)
    each = stage.turned("weight", weight).reshape(stage.towers, -1, sources, weight[0].size // sources).copy()
    for to in range(stage.towers):
        for source in range(sources):
            if source != to:
                each[to, :, source] = 0
    return stage.turned("weight", each.reshape(weight.shape), back=True)


def _replaced(layer: Layer, off: Collection[str], towers: tuple[int, ...]) -> Layer | None:
    if isinstance(layer, Exchange) and towers:
        kind = SilentJoin if isinstance(layer, Join) else SilentExchange
        return kind(layer.towers, layer.own_first, towers)
    if "norm" in off and isinstance(layer, LRN):
        return replace(layer, alpha=0.0) if layer.k else None
    return None if "activation" in off and _activates(layer) else layer


def _meets(stage: Stage) -> bool:
    """Return whether several towers read one another's maps here."""
    return stage.towers > 1 and stage.reading.sources > 1


def _activates(layer: Layer) -> bool:
    return isinstance(layer, ReLU | Activation)
