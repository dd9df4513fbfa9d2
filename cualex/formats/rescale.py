"""Rescale weights of one network for another with other constants of LRN and dropout, so that both compute the same.

If ReLU follows, a layer's weights and biases may be scaled by c > 0 and the weights above by 1 / c. So LRN with other
constants computes the same up to such a factor, if n and beta are equal:

    x (k' + alpha' SUM x^2)^-beta    of c x, with c^2 = (alpha / k) (k' / alpha'), is c (k' / k)^-beta times
    x (k  + alpha  SUM x^2)^-beta    of x

Classic dropout multiplies by the keep probability at test, inverted dropout by 1: the weights above take the quotient,
and those of the first layer the quotient of the scales of images. No factor can make up for windows of LRN that cross
from tower to tower: `crossing` lists those layers.
"""

import dataclasses
import math

import numpy as np

from cualex.errors import WeightsError
from cualex.layers import LRN, Dropout, Exchange
from cualex.networks import Network, Stage

THROUGH = ("relu", "maxpool", "averagepool")  # positively homogeneous: f(c x) = c f(x) for c > 0
FREE = {
    "filters",
    "outputs",
    "groups",
    "std",
    "bias",
    "share",
    "inverted",
    "k",
    "alpha",
    "round_up",
}  # may differ


def factors(source: Network, target: Network) -> dict[str, np.ndarray]:
    """Return the factors of the parameters with which `target` computes what `source` does, by name.

    A factor is a number, or for the first weights one a channel: (channels, 1, 1). Parameters with factor 1 are left
    out. Raise WeightsError when the networks differ in more than such factors.
    """
    stages, others = _computing(source), _computing(target)
    if source.parameters() != target.parameters() or len(stages) != len(others):
        raise _differ(source, target, "their layers")
    made: dict[str, np.ndarray] = {}
    ratio = np.divide(target.scale, source.scale).reshape(-1)  # of the target's activations to the source's
    last: list[str] = []
    for one, other in zip(stages, others, strict=True):
        _check(source, target, one, other)
        kind = one.layer.kind
        if one.parameters:
            last = list(one.parameters)
            made |= {name: np.ones(()) for name in last}
            made[last[0]] = 1 / (ratio.reshape(-1, 1, 1) if ratio.size > 1 else ratio.reshape(()))
            ratio = np.ones(1)
        elif isinstance(one.layer, LRN) and isinstance(other.layer, LRN):
            old, new = one.layer, other.layer
            if (old.k, old.alpha) != (new.k, new.alpha) or not np.all(ratio == 1):
                if min(old.k, old.alpha, new.k, new.alpha) <= 0 or not last:
                    raise _differ(source, target, one.name)
                factor = math.sqrt(old.alpha * new.k / (old.k * new.alpha))
                made |= {name: made[name] * factor / ratio.reshape(()) for name in last}
                ratio = np.array([factor * (new.k / old.k) ** -new.beta])
        elif isinstance(one.layer, Dropout) and isinstance(other.layer, Dropout):
            ratio = ratio * other.layer.at_test / one.layer.at_test
        elif kind not in THROUGH and not np.all(ratio == 1):
            raise _differ(source, target, one.name)
    return {name: factor for name, factor in made.items() if not np.all(factor == 1)}


def crossing(network: Network) -> list[str]:
    """Return the LRN layers whose windows end at the end of a tower."""
    return [stage.name for stage in network.stages() if stage.layer.kind == "lrn" and stage.towers > 1]


def _computing(network: Network) -> list[Stage]:
    """Return the layers that compute something."""
    return [stage for stage in network.stages() if not isinstance(stage.layer, Exchange)]


def _check(source: Network, target: Network, one: Stage, other: Stage) -> None:
    """Raise WeightsError when layers differ in more than factors can make up for."""
    if type(one.layer) is not type(other.layer):
        raise _differ(source, target, f"{one.name} is {one.layer.kind}, {other.name} is {other.layer.kind}")
    if one.output[1:] != other.output[1:]:
        raise _differ(source, target, f"{one.name} has maps of another size")
    assert dataclasses.is_dataclass(one.layer)  # as all layers are
    names = [field.name for field in dataclasses.fields(one.layer) if field.name not in FREE]
    for name in names:
        old, new = getattr(one.layer, name), getattr(other.layer, name)
        if old != new:
            raise _differ(source, target, f"{one.name} has {name} {old}, {other.name} {new}")


def _differ(source: Network, target: Network, how: str) -> WeightsError:
    return WeightsError(
        f"{source.name}'s weights cannot run as {target.name}: {how}. Import them without --network or --towers."
    )
