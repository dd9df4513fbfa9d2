"""How two networks differ, point by point: pictures, layers, numbers, sizes."""

from collections.abc import Iterator
from dataclasses import dataclass

from cualex.layers import Layer
from cualex.networks import Network, Stage
from cualex.networks.summary import rows, totals

# What the numbers of layers and networks are called; others have the names that they have in the code.
WORDS = {
    "std": "initial deviation",
    "bias": "initial biases",
    "limit": "initial weights up to",
    "round_up": "size of the output rounded",
    "own_first": "weights above begin with",
    "inverted": "dropout",
    "share": "share dropped",
    "crop": "pixels a side",
    "stored": "pixels a side as stored",
    "mean": "mean",
    "mean_at": "mean picture taken at the",
}
VALUES = {
    ("round_up", False): "down",
    ("round_up", True): "up",
    ("own_first", False): "the first tower's inputs",
    ("own_first", True): "the tower's own inputs",
    ("inverted", False): "classic: scaled at test",
    ("inverted", True): "inverted: scaled in training",
    ("std", None): "Glorot's",
    ("mean", None): "of the training pictures",
}
PICTURE = ("crop", "stored", "scale", "mean", "mean_at", "towers")
TOGETHER = ("filters", "outputs")  # said for all towers together


@dataclass(frozen=True)
class Difference:
    """Say one thing that differs: where, what, and how it is in either network; "" where there is no such thing."""

    where: str
    what: str
    first: str
    second: str


def compare(first: Network, second: Network) -> list[Difference]:
    """List the differences from the picture to the probabilities; none for networks that are alike."""
    found = [
        Difference("picture" if name != "towers" else "network", _word(name), *both)
        for name in PICTURE
        if len(set(both := [_value(name, getattr(network, name)) for network in (first, second)])) > 1
    ]
    stages = [{stage.name: stage for stage in network.stages()} for network in (first, second)]
    after = [_predecessors(network) for network in (first, second)]
    kept = set(_in_order(first, second))
    for name in _merged(first, second, kept):
        own, other = (each.get(name) for each in stages)
        if own is None or other is None:
            said = (described(stage) if stage else "" for stage in (own, other))
            found.append(Difference(name, "layer", *said))
            continue
        if name not in kept:
            found.append(Difference(name, "place", *(f"after {each[name]}" for each in after)))
        found += _numbers(own, other)
    sums = [totals(rows(network)) for network in (first, second)]
    for count in ("parameters", "state", "multiply_adds", "neurons"):
        values = [f"{getattr(total, count):,}" for total in sums]
        if values[0] != values[1]:
            found.append(Difference("total", count.replace("_", "-"), *values))
    return found


def described(stage: Stage) -> str:
    """Describe a layer in a line: its kind and its numbers."""
    numbers = [f"{_word(name)} {_value(name, value)}" for name, value in _own(stage).items() if value is not False]
    return ", ".join([stage.layer.kind, *numbers])


def _numbers(own: Stage, other: Stage) -> Iterator[Difference]:
    """Yield what differs within a layer of one name."""
    if own.layer.kind != other.layer.kind:
        yield Difference(own.name, "layer", described(own), described(other))
    else:
        ours, theirs = _own(own), _own(other)
        for name in ours:
            values = _value(name, ours[name]), _value(name, theirs[name])
            if values[0] != values[1]:
                yield Difference(own.name, _word(name), *values)
    channels = [str(stage.reading.shape[0]) for stage in (own, other)]
    if own.layer.kind == other.layer.kind == "lrn" and channels[0] != channels[1]:
        yield Difference(own.name, "channels that lie side by side", *channels)
    sides = [_beyond(stage) for stage in (own, other)]
    if sides[0] != sides[1]:
        yield Difference(own.name, "pixels of zeros to the right and below", *map(str, sides))
    shapes = ["x".join(map(str, _together(stage))) for stage in (own, other)]
    if shapes[0] != shapes[1]:
        yield Difference(own.name, "output of all towers", *shapes)


def _own(stage: Stage) -> dict:
    """Return the numbers of a layer by their names; counts are of all towers together."""
    numbers = vars(stage.layer)
    return {name: value * stage.towers if name in TOGETHER else value for name, value in numbers.items()}


def _together(stage: Stage) -> tuple[int, int, int]:
    channels, rows, columns = stage.output
    return (channels if stage.layer.kind in ("exchange", "join") else channels * stage.towers), rows, columns


def _beyond(stage: Stage) -> int:
    """Return how far a layer's windows reach beyond the end of what it reads, more than its padding."""
    return max(0, stage.layer.border(stage.reading.shape) - stage.layer.pad)


def _word(name: str) -> str:
    return WORDS.get(name, name)


def _value(name: str, value) -> str:
    """Write a number as a reader expects it."""
    if (name, value) in VALUES:
        return VALUES[name, value]
    if isinstance(value, tuple):
        return " ".join(_value("", each) for each in value)
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _predecessors(network: Network) -> dict[str, str]:
    """Return what each layer stands after."""
    names = list(network.layers)
    return dict(zip(names, ["the picture", *names], strict=False))


def _in_order(first: Network, second: Network) -> list[str]:
    """Return the names that stand in both in the same order: as many as can be, layers with weights before others."""
    ours, theirs = list(first.layers), list(second.layers)
    best: list[list[tuple[float, list[str]]]] = [[(0.0, [])] * (len(theirs) + 1) for _ in range(len(ours) + 1)]
    for i, name in enumerate(ours, 1):
        for j, other in enumerate(theirs, 1):
            longest = max(best[i - 1][j], best[i][j - 1], key=lambda each: each[0])
            if name == other:
                weight, names = best[i - 1][j - 1]
                with_it = weight + _weight(first.layers[name]), [*names, name]
                longest = max(longest, with_it, key=lambda each: each[0])
            best[i][j] = longest
    return best[-1][-1][1]


def _weight(layer: Layer) -> float:
    """Return how much a layer counts for the order: what is moved is rather said of an activation than of a pool."""
    return {"relu": 1.0, "activation": 1.0, "conv": 4.0, "dense": 4.0}.get(layer.kind, 2.0)


def _merged(first: Network, second: Network, kept: set[str]) -> list[str]:
    """Return all names in an order that fits both, the first's before the second's between what they share."""
    merged: list[str] = []
    theirs = iter(second.layers)
    for name in first.layers:
        if name in kept:
            for other in theirs:
                if other == name:
                    break
                if other not in first.layers:
                    merged.append(other)
        merged.append(name)
    merged += [other for other in theirs if other not in first.layers]
    return merged
