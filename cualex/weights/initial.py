"""Initial weights: drawn from a seed, and recognised where no training has moved them."""

import math
import zlib
from collections.abc import Callable, Sequence

import numpy as np

from cualex.layers.layer import Parameter
from cualex.networks import Network
from cualex.system.amounts import some

SAMPLING, ROUNDING = 6.0, 1e-3  # deviations by which a sample's deviation may differ, and what 8 bits a weight add


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


def untrained(network: Network, tensor: Callable[[str], np.ndarray]) -> list[str]:
    """Return the layers whose parameters are as `draw` makes them, of whatever seed: no training has moved them.

    Biases that all have their initial value tell, since a step of training moves them apart; the weights must have the
    initial deviation too, as imported layers can lack biases. A layer without biases is told only by all the others.

    tensor: gives a canonical parameter by its name; weights are asked for only where the biases are initial.
    """
    stages = [stage for stage in network.stages() if stage.parameters]
    found = [
        stage
        for stage in stages
        if all(_initial(parameter, tensor(name)) for name, parameter in _constant_first(stage.parameters))
    ]
    whole = len(found) == len(stages)
    return [
        stage.name for stage in found if whole or any(not _random(parameter) for parameter in stage.parameters.values())
    ]


def said(untrained: Sequence[str], network: Network) -> str:
    """Say which layers are untrained, in a sentence; "" where there are none."""
    if not untrained:
        return ""
    whole = len(untrained) == sum(bool(stage.parameters) for stage in network.stages())
    if whole:
        return "Untrained: all weights are random."
    return f"Partly untrained: the weights of {some(untrained)} are random."


def _constant_first(parameters: dict[str, Parameter]) -> list[tuple[str, Parameter]]:
    return sorted(parameters.items(), key=lambda each: _random(each[1]))


def _random(parameter: Parameter) -> bool:
    return bool(parameter.std or parameter.limit)


def _initial(parameter: Parameter, values: np.ndarray) -> bool:
    """Return whether values may have been drawn for a parameter."""
    if not _random(parameter):
        return bool((values == np.float32(parameter.value)).all())
    expected = parameter.limit / math.sqrt(3) if parameter.limit else parameter.std
    deviation = math.sqrt(float(np.square(values - np.float32(parameter.value), dtype=np.float64).mean()))
    return abs(deviation / expected - 1) < SAMPLING / math.sqrt(2 * values.size) + ROUNDING
