"""Make our weights file of another program's: which network it is, what its tensors mean, and what was assumed.

Everything that can be refused is refused before a number is read: names, shapes and places come first.
"""

import json
import math
from dataclasses import dataclass

import numpy as np

from cualex import networks
from cualex.errors import CualexError, WeightsError
from cualex.formats import conventions, plain_weights, rescale
from cualex.formats.conventions import Convention
from cualex.formats.names import MEAN, NETWORK
from cualex.formats.reading.found import Found
from cualex.formats.reading.tensors import Tensor, said
from cualex.networks import Network


@dataclass(frozen=True)
class Import:
    """Hold what a file is taken for: the network it becomes, and where each canonical tensor comes from."""

    found: Found
    convention: Convention
    source: Network
    network: Network
    tensors: dict[str, Tensor]
    factors: dict[str, np.ndarray]


def plan(found: Found, network: str | None = None, towers: int | None = None, **arguments: object) -> Import:
    """Decide what a file's tensors are and which network they become; raise WeightsError where nothing fits.

    `network` is the name of the one that is wanted; by default that of the convention. `arguments` are the network's
    own, such as the crop; classes and width follow from the shapes.
    """
    if network is not None:
        networks.find(network)  # the user's word, and so the user's error
    convention, told = recognised(found, network)
    source = _fitting(found, convention, convention.network, told | arguments)
    wanted = network or (TWO.get(source.name) if towers == 2 else None) or source.name
    target = source if wanted == source.name else _built(wanted, _taken(wanted, source.arguments))
    if towers is not None and target.towers != towers:
        raise WeightsError(f"{target.name} has no variant with {towers} tower{'s'[: towers - 1]}. Leave out --towers.")
    learned = plain_weights.inverted(source) if convention.plain else source
    if not convention.plain:
        _compare(found, source)
    factors = {} if learned == target else rescale.factors(learned, target)
    tensors = {name: found.tensors[theirs] for name, theirs in convention.names.items()}
    return Import(found, convention, source, target, tensors, factors)


POOLING = {"Pooling": "pooling", "MaxPool": "pooling"}  # Caffe's word, and ONNX's
SIZES = ("classes", "crop", "width", "mean_at")  # arguments that mean the same in every network
# The network of two towers that computes the same, but that normalisation ends at the end of a tower.
TWO = {"alexnet-caffe": "alexnet"}


def recognised(found: Found, network: str | None) -> tuple[Convention, dict]:
    """Find the convention whose names a file has, and the network's arguments where the file says them."""
    told, arguments = note(found, NETWORK), {}
    if isinstance(told, dict) and isinstance(told.get("name"), str) and isinstance(told.get("arguments"), dict):
        network, arguments = told["name"], told["arguments"]
    fitting = [
        each
        for each in conventions.CONVENTIONS
        if found.format in each.formats and set(each.names.values()) <= found.tensors.keys()
    ]
    order = tuple(POOLING.get(kind, kind) for _, kind in found.layers if kind == "LRN" or kind in POOLING)
    if order and any(each.order for each in fitting):
        fitting = [each for each in fitting if each.order == order]
        if not fitting:
            raise WeightsError(f"its LRN and pooling ({', '.join(order[:8])}) match no known AlexNet. {_OTHER}")
    if fitting:
        return fitting[0], arguments
    if network is not None:
        names = list(_built(network, arguments).tensors())
        if set(names) <= found.tensors.keys():
            return conventions.own(network, names), arguments
    raise WeightsError(_no_names(found, network))


def _built(name: str, arguments: dict) -> Network:
    """Build a network as a file says it, which may say anything."""
    try:
        made = networks.build(name, **arguments)
        made.tensors()
    except (
        CualexError,
        ArithmeticError,
        ValueError,
        TypeError,
        LookupError,
        AttributeError,
        RecursionError,
    ) as error:
        raise WeightsError(f"its metadata describes an impossible network ({said(error)}).") from None
    return made


def note(found: Found, name: str) -> object:
    """Return what a file that cualex exported says of itself, or None."""
    try:
        return json.loads(found.notes.get(name, "null"))
    except (ValueError, TypeError, RecursionError):
        raise WeightsError(f"its metadata {name!r} is damaged. Copy it again.") from None


def _fitting(found: Found, convention: Convention, name: str, arguments: dict) -> Network:
    """Build the network whose shapes are those of the file."""
    whole = _built(name, arguments)
    *hidden, last = whole.parameters()
    widest = max(hidden, key=lambda name: whole.parameters()[name][0])
    shapes = whole.tensors()
    units = _lengths(found, convention, widest, shapes[widest])[0]
    classes = _lengths(found, convention, last, shapes[last])[0]
    told = dict(arguments)
    if classes != whole.classes:
        told["classes"] = classes
    if units != shapes[widest][0] and "width" not in arguments:
        told["width"] = units / shapes[widest][0]
    network = _built(name, told)
    expected = network.tensors()
    for canonical, theirs in convention.names.items():
        shape = _lengths(found, convention, canonical, expected[canonical])
        if shape != expected[canonical]:
            way = "Give its architecture with --network, or its input size with --crop."
            raise WeightsError(f"{said(theirs)} is {said(shape)} here, {name} has {said(expected[canonical])}. {way}")
    known = {*convention.names.values(), MEAN}
    extra = sorted(found.tensors.keys() - known)
    if extra and found.format != "onnx":
        raise WeightsError(f"has {said(extra[0])}, which {name} does not have. Give its architecture with --network.")
    return network


def _compare(found: Found, network: Network) -> None:
    """Refuse a file whose own numbers, where it says some, are not those of the network that it is taken for."""
    for kind in ("conv", "lrn"):
        told = [(name, numbers) for own, name, numbers in found.numbers if own == kind]
        layers = [(name, layer) for name, layer in network.layers.items() if layer.kind == kind]
        if told and len(told) != len(layers):
            raise WeightsError(f"{len(told)} layers of kind {kind}, {network.name} has {len(layers)}. {_OTHER}")
        for (theirs, numbers), (name, layer) in zip(told, layers, strict=False):
            for key, value in numbers.items():
                own = getattr(layer, key)
                if value is None or not math.isclose(value, own, rel_tol=1e-4):
                    raise WeightsError(f"{said(theirs)} has {key} {value}, {network.name}'s {name} {own}. {_OTHER}")


_OTHER = "It is a different network, which is not supported."


def _lengths(found: Found, convention: Convention, name: str, like: tuple[int, ...]) -> tuple[int, ...]:
    """Return a tensor's shape with its axes in canonical order, if it has as many as `like`."""
    shape = found.tensors[convention.names[name]].shape
    while len(shape) > len(like) and shape[0] == 1:
        shape = shape[1:]  # of Caffe's old layout, which always says four lengths
    if len(shape) != len(like) or len(shape) not in (2, 4):
        return shape
    order, own = (convention.dense, "OI") if len(shape) == 2 else (convention.conv, "OIHW")
    return tuple(shape[order.index(axis)] for axis in own)


def _taken(name: str, arguments: dict) -> dict:
    """Return the arguments that say the sizes of one network, for another; without dropout the other has none."""
    known = networks.build(name).arguments
    taken = {key: arguments[key] for key in SIZES if key in arguments and key in known}
    return taken | ({"dropout": 0} if "dropout" in known and not arguments.get("dropout", 1) else {})


def _no_names(found: Found, network: str | None) -> str:
    """Say that no convention's names are there."""
    has = ", ".join(said(name) for name in list(found.tensors)[:3]) or "none"
    if network is None:
        way = "If its tensors have cualex's names (conv1.weight), name its network with --network."
    else:
        way = f"{network} has conv1.weight and so on."
    return f"{found.kind} whose tensors ({has}, ...) are those of no AlexNet known here. {way}"
