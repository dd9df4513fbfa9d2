"""Networks of one's own: made by a function in a Python file, kept as plain values in weights files and runs.

    --network my.py:mine  ->  the Network that mine() returns  ->  {"layers": {"conv1": {"type": "Conv", ...}}, ...}

The file is run only where the user names it. What weights files and runs keep of it is the list of layers, numbers by
name, from which `build` makes the network again wherever it is read; nothing of it is code. Such networks are called
FILE:FUNCTION, without the folder.
"""

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from types import NoneType
from typing import Any, get_args

from cualex import layers as every
from cualex.errors import UsageError
from cualex.layers import Dense, Layer
from cualex.networks.network import Network

COUNTS = ("filters", "outputs", "size", "stride", "groups", "n", "towers")  # at least one of each
MARK = ":"  # in the name of such a network
MOST, LARGEST, LONGEST = 1000, 2**31, 100  # layers; numbers of a layer; letters of a name
TYPES: dict[str, type[Layer]] = {
    name: kind
    for name in every.__all__
    if isinstance(kind := getattr(every, name), type) and issubclass(kind, Layer) and dataclasses.is_dataclass(kind)
}


def is_own(name: str) -> bool:
    """Return whether a name is that of a network of one's own."""
    return MARK in name


def same(one: Network, other: Network) -> bool:
    """Return whether networks compute the same: their remarks and the functions that made them do not matter."""
    fields = ("towers", "classes", "crop", "stored", "scale", "mean_at", "mean")
    own, theirs = (list(network.layers.items()) for network in (one, other))
    return own == theirs and all(getattr(one, name) == getattr(other, name) for name in fields)


def described(network: Network) -> dict[str, Any]:
    """Return a network as plain values, which are the arguments of `build`.

    Raise UsageError for a layer that is not one of cualex's.
    """
    layers = {}
    for name, layer in network.layers.items():
        if TYPES.get(type(layer).__name__) is not type(layer):
            raise UsageError(
                f"network {network.name}: {name} is a {type(layer).__name__}, which no weights file can hold. "
                f"Use the layers of cualex.layers: {', '.join(TYPES)}."
            )
        layers[name] = {"type": type(layer).__name__, **vars(layer)}
    numbers = {name: getattr(network, name) for name in ("classes", "crop", "mean_at", "towers", "stored")}
    lists = {name: _plain(getattr(network, name)) for name in ("scale", "mean")}
    return {**numbers, **lists, "layers": layers}


def builder(name: str) -> Callable[..., Network]:
    """Return the function that builds a network of that name from what `described` returned."""

    def build(
        classes: int = 0,
        crop: int = 0,
        mean_at: str = "crop",
        layers: Mapping[str, Any] | None = None,
        towers: int = 1,
        stored: int = 0,
        scale: float | Sequence[float] = 1.0,
        mean: Sequence[float] | None = None,
    ) -> Network:
        """Build the network; its last dense layer gets an output a class."""
        if not layers:
            raise ValueError("its layers are not kept; a Python file is run only as --network FILE.py:FUNCTION")
        try:
            made = _with_classes({own: _layer(own, values) for own, values in _listed(layers)}, classes)
            network = Network(
                name,
                made,
                _whole("towers", towers),
                _whole("classes", classes),
                _whole("crop", crop),
                _whole("stored", stored),
                _colours(scale) if isinstance(scale, list | tuple) else _number(scale),
                mean_at,
                None if mean is None else _colours(mean),
            )
        except (ArithmeticError, AttributeError, LookupError) as error:
            raise ValueError(f"its layers do not fit together ({error})") from None
        return dataclasses.replace(network, arguments=described(network))

    return build


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _listed(layers: Any) -> list[tuple[str, Any]]:
    """Return the layers by name; raise ValueError for what are none."""
    if not isinstance(layers, Mapping) or len(layers) > MOST:
        raise ValueError(f"layers: expected up to {MOST} by name")
    for name in layers:
        if not isinstance(name, str) or not 0 < len(name) <= LONGEST or not name.isprintable():
            raise ValueError(f"{ascii(name)[:LONGEST]}: expected the name of a layer")
    return list(layers.items())


def _layer(name: str, values: Any) -> Layer:
    """Make a layer of its values; raise ValueError that names what is not known or of another type."""
    if not isinstance(values, Mapping) or not isinstance(values.get("type"), str):
        raise ValueError(f"layer {name} has no type")
    kind = TYPES.get(values["type"])
    if kind is None:
        raise ValueError(
            f"layer {name} is a {values['type'][:LONGEST]!r}, which is not known; there are {', '.join(TYPES)}"
        )
    given = {key: value for key, value in values.items() if key != "type"}
    types: dict[str, Any] = {each.name: each.type for each in dataclasses.fields(kind)}  # type: ignore[arg-type]
    for key, value in given.items():
        if key not in types:
            raise ValueError(f"layer {name}, a {kind.__name__}, has {key[:LONGEST]!r}, which is not known")
        allowed = get_args(types[key]) or (types[key],)
        if not _fits(value, allowed):
            raise ValueError(f"layer {name} has {key} {str(value)[:LONGEST]!r}, expected {_said(allowed)}")
        if key in COUNTS and value < 1:
            raise ValueError(f"layer {name} has {key} {value}, expected at least 1")
    try:
        return kind(**given)
    except TypeError as error:
        raise ValueError(f"layer {name}: {error}") from None


def _fits(value: Any, allowed: tuple[type, ...]) -> bool:
    """Return whether a value is of one of the types; a whole number is a float too."""
    if isinstance(value, bool) or value is None or isinstance(value, str):
        return type(value) in allowed
    if isinstance(value, int):
        return (int in allowed or float in allowed) and abs(value) <= LARGEST
    return isinstance(value, float) and float in allowed and math.isfinite(value)


def _said(allowed: tuple[type, ...]) -> str:
    names = {int: "a whole number", float: "a number", bool: "true or false", str: "a text", NoneType: "null"}
    return " or ".join(names[kind] for kind in allowed)


def _whole(name: str, value: Any) -> int:
    if type(value) is not int or not 0 < value <= LARGEST:
        raise ValueError(f"{name} {str(value)[:LONGEST]!r}: expected a whole number above 0")
    return value


def _number(value: Any) -> float:
    if not _fits(value, (float,)):
        raise ValueError(f"{str(value)[:LONGEST]!r}: expected a number")
    return value


def _colours(values: Any) -> tuple[float, float, float]:
    """Return a number each for red, green and blue."""
    if not isinstance(values, list | tuple) or len(values) != 3:
        raise ValueError(f"{str(values)[:LONGEST]!r}: expected a number each for red, green and blue")
    red, green, blue = map(_number, values)
    return red, green, blue


def _with_classes(layers: dict[str, Layer], classes: int) -> dict[str, Layer]:
    """Return the layers with an output a class in the last dense one."""
    last = next((name for name in reversed(layers) if isinstance(layers[name], Dense)), None)
    if last is None:
        raise ValueError("it has no Dense layer, whose outputs would be the classes")
    return {**layers, last: dataclasses.replace(layers[last], outputs=_whole("classes", classes))}  # type: ignore[type-var]
