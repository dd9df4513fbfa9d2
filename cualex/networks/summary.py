"""What a network is made of, as plain rows: shapes, parameters, products, neurons, and what crosses."""

import math
from dataclasses import dataclass
from typing import Any

from cualex.layers import Activation, Exchange, Parameter, ReLU
from cualex.networks import ELSEWHERE, Network, Stage, arguments, build, find, named, own
from cualex.system.amounts import written
from cualex.system.keywords import known

WEIGHTED = ("conv", "dense")  # kinds of the layers whose row has their activation


@dataclass(frozen=True)
class Row:
    """Describe one layer.

    `output` is (channels, rows, columns) of one tower, for one picture; counts are of all `towers` together.
    `parameters` are those that an update moves, `state` the numbers of a trained layer that none does.
    `neurons` are counted as the paper does: the outputs of convolution and dense layers, before any pooling,
    without the picture. `sent_forward` and `sent_backward` are the floats that each tower sends to the other
    for one picture when the two lie on different places; empty where nothing can cross.
    `output_of_all` are the maps of all towers side by side. `window`, `stride` and `padding` are in pixels, None for
    layers without windows; `activation` is the layer's function, "" for layers that are none.
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
    output_of_all: tuple[int, int, int] = (0, 0, 0)
    window: int | None = None
    stride: int | None = None
    padding: int | None = None
    activation: str = ""


@dataclass(frozen=True)
class Totals:
    """Add up the rows of a network; `sent` is what each tower sends for one picture, both ways together."""

    parameters: int
    multiply_adds: int
    neurons: int
    sent: tuple[int, ...]
    state: int = 0


@dataclass(frozen=True, repr=False)
class Summary:
    """A network's layers and totals; as a text, the table of `cualex summary`.

    >>> result = cualex.summary("lenet5")
    >>> result.totals.parameters
    61706
    >>> [(row.layer, row.output) for row in result.rows if row.kind == "conv"]
    [('conv1', (6, 28, 28)), ('conv2', (16, 10, 10))]
    """

    network: Network
    rows: list[Row]
    totals: Totals

    def __str__(self) -> str:
        cells = self.cells()
        columns = {name: [name, *(row[name] for row in cells), self.total_cells().get(name, "")] for name in cells[0]}
        drawn = []
        for column in columns.values():
            texts = [f"{cell:,}" if isinstance(cell, int) else cell for cell in column]
            width = max(map(len, texts))
            drawn.append([text.rjust(width) if isinstance(column[1], int) else text.ljust(width) for text in texts])
        head, *body, total = ("  ".join(row) for row in zip(*drawn, strict=True))
        lines = (head, ("─" if written("─") else "-") * len(head), *body, "", total, "", *self.remarks())
        return "\n".join(line.rstrip() for line in lines)

    def __repr__(self) -> str:
        network, total = self.network, self.totals
        return f"Summary({network.name}, {len(self.rows)} layers, {total.parameters:,} parameters)"

    def table(self) -> list[tuple[Row, dict[str, str | int]]]:
        """Return the rows of the table with their cells.

        An activation right after a convolution or dense layer is in the row of that layer.
        """
        cells: list[tuple[Row, dict[str, str | int]]] = []
        above = ""
        for row in self.rows:
            function = _function(row)
            if function and above in WEIGHTED:
                cells[-1][1]["activation"] = function
            else:
                towers = len(row.towers)
                made: dict[str, str | int] = {
                    "layer": row.layer,
                    "window": _window(row),
                    "activation": function,
                    "output": _size(row.output_of_all),
                    "towers": f"{towers} x {row.output[0]}" if towers > 1 else "1",
                    **_counts(row),
                    "crosses": _crosses(row.sent_forward),
                }
                cells.append((row, made))
            above = row.kind
        return cells

    def cells(self) -> list[dict[str, str | int]]:
        """Return the cells of the table's rows."""
        return [cells for _, cells in self.table()]

    def total_cells(self) -> dict[str, str | int]:
        """Return the last row of the table, without the columns that have no total."""
        return {"layer": "total", **_counts(self.totals)}

    def remarks(self) -> list[str]:
        """Return what is said below the table, a sentence each."""
        network, total = self.network, self.totals
        said = [
            f"Images are stored at {network.stored} x {network.stored}; "
            f"the input is a crop of {network.crop} x {network.crop}."
        ]
        if any(row.window for row in self.rows):
            said.append("Windows are rows x columns / stride + padding; towers: how many x channels in each.")
        if total.state:
            said.append(
                f"It has {total.parameters + total.state:,} numbers: {total.parameters:,} parameters, and "
                f"{total.state:,} running averages, which no gradient trains."
            )
        if total.sent:
            sent = " and ".join(f"{floats:,} (tower {tower})" for tower, floats in enumerate(total.sent, 1))
            said.append(f"Floats sent between towers on two devices, per image, forward and backward: {sent}.")
        return said


def summary(network: str | Network = "alexnet", **variant: Any) -> Summary:
    """Summarise a network: layers, shapes, parameters, multiply-adds and neurons, as `cualex summary` prints them.

        >>> print(cualex.summary("lenet5", classes=2))
        layer    window  activation  output    towers  parameters  multiply-adds  neurons  crosses
        ──────────────────────────────────────────────────────────────────────────────────────────
        grey                         1x32x32   1                0              0        0
        conv1    5x5/1   tanh1       6x28x28   1              156        117,600    4,704
        ...
        total                                              61,026        415,848    6,510
        <BLANKLINE>
        Images are stored at 32 x 32; the input is a crop of 32 x 32.
        Windows are rows x columns / stride + padding; towers: how many x channels in each.

    network: a name of `cualex.networks()`, FILE.py:FUNCTION, or a Network, such as `model.network`.  variant: arguments
    of the network's function, such as classes=10, crop=131, norm="none".

    Raise UsageError for a network or an argument that does not exist.
    """
    if isinstance(network, str) and own.is_own(network):
        network = named(network, variant, **{name: variant.pop(name, None) for name in ELSEWHERE})
    elif isinstance(network, str):
        known(f"network {network}", variant, arguments.defaults(find(network)))
        network = build(network, **variant)
    described = rows(network)
    return Summary(network, described, totals(described))


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
    channels, rows, columns = stage.output
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
        output_of_all=(channels if isinstance(layer, Exchange) else channels * towers, rows, columns),
        window=getattr(layer, "size", None),
        stride=getattr(layer, "stride", None),
        padding=layer.pad if hasattr(layer, "stride") else None,
        activation="ReLU" if isinstance(layer, ReLU) else layer.function if isinstance(layer, Activation) else "",
    )


def _function(row: Row) -> str:
    """Return an activation for the table: the layer's name, and its function where the name does not say it."""
    named = row.layer.lower().startswith(row.activation.lower())
    return row.layer if row.activation and named else f"{row.layer} ({row.activation})" if row.activation else ""


def _window(row: Row) -> str:
    return f"{row.window}x{row.window}/{row.stride}{f'+{row.padding}' if row.padding else ''}" if row.window else ""


def _size(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape if shape[1:] != (1, 1) else shape[:1]))


def _count(described: dict[str, Parameter]) -> int:
    """Count one tower's numbers."""
    return sum(math.prod(own.shape) for own in described.values())


def _sent(stage: Stage, readers: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Count what crosses: each reader gets the maps of every other tower, and sends their gradient back."""
    maps, towers = math.prod(stage.reading.shape), range(stage.towers)
    forward = tuple(maps * sum(reader != tower for reader in range(readers)) for tower in towers)
    backward = tuple(maps * (stage.towers - 1) if tower < readers else 0 for tower in towers)
    return forward, backward


def _counts(of: Row | Totals) -> dict[str, str | int]:
    return {"parameters": of.parameters, "multiply-adds": of.multiply_adds, "neurons": of.neurons}


def _crosses(sent: tuple[int, ...]) -> str:
    senders = {tower: floats for tower, floats in enumerate(sent, 1) if floats}
    if len(senders) > 1 and len(set(senders.values())) == 1:
        return f"{sent[0]:,} each way"
    return ", ".join(f"{floats:,} from {tower}" for tower, floats in senders.items())
