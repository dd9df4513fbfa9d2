"""What a network is made of, as plain rows: shapes, parameters, products, neurons, and what crosses."""

import math
from dataclasses import dataclass

from cualex.layers import Exchange, Parameter
from cualex.networks import Network, Stage


@dataclass(frozen=True)
class Row:
    """Describe one layer.

    `output` is (channels, rows, columns) of one tower, for one picture; counts are of all `towers` together.
    `parameters` are those that an update moves, `state` the numbers of a trained layer that none does.
    `neurons` are counted as the paper does: the outputs of convolution and dense layers, before any pooling,
    without the picture. `sent_forward` and `sent_backward` are the floats that each tower sends to the other
    for one picture when the two lie on different places; empty where nothing can cross.
    """

    layer: str
    kind: str
    towers: tuple[int, ...]
    output: tuple[int, int, int]
    parameters: int
    multiply_adds: int
    neurons: int
    state: int = 0
    sent_forward: tuple[int, ...] = ()
    sent_backward: tuple[int, ...] = ()


@dataclass(frozen=True)
class Totals:
    """Add up the rows of a network; `sent` is what each tower sends for one picture, both ways together."""

    parameters: int
    multiply_adds: int
    neurons: int
    sent: tuple[int, ...]
    state: int = 0


def rows(network: Network) -> list[Row]:
    """Describe every layer of a network, from the picture to the probabilities."""
    return [_row(stage) for stage in network.stages()]


def totals(described: list[Row]) -> Totals:
    """Add up rows."""
    crossing = [sent for row in described for sent in (row.sent_forward, row.sent_backward) if sent]
    return Totals(
        parameters=sum(row.parameters for row in described),
        multiply_adds=sum(row.multiply_adds for row in described),
        neurons=sum(row.neurons for row in described),
        sent=tuple(map(sum, zip(*crossing, strict=True))),
        state=sum(row.state for row in described),
    )


def _row(stage: Stage) -> Row:
    layer, shape = stage.layer, stage.reading.shape
    towers = layer.readers(stage.towers) if isinstance(layer, Exchange) else stage.towers
    forward, backward = _sent(stage, towers) if isinstance(layer, Exchange) else ((), ())
    return Row(
        layer=stage.name,
        kind=layer.kind,
        towers=tuple(range(1, towers + 1)),
        output=stage.output,
        parameters=stage.towers * _count(stage.parameters),
        multiply_adds=stage.towers * layer.multiply_adds(shape),
        neurons=stage.towers * layer.neurons(shape),
        state=stage.towers * _count(stage.state),
        sent_forward=forward,
        sent_backward=backward,
    )


def _count(described: dict[str, Parameter]) -> int:
    """Count one tower's numbers."""
    return sum(math.prod(own.shape) for own in described.values())


def _sent(stage: Stage, readers: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Count what crosses: each reader gets the maps of every other tower, and sends their gradient back."""
    maps, towers = math.prod(stage.reading.shape), range(stage.towers)
    forward = tuple(maps * sum(reader != tower for reader in range(readers)) for tower in towers)
    backward = tuple(maps * (stage.towers - 1) if tower < readers else 0 for tower in towers)
    return forward, backward
