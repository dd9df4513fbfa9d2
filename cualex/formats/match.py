"""Match the tensors of another program's file to a network here: by names, shapes and hyperparameters.

Everything that can be refused is refused before a tensor is read.
"""

import json
import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from cualex import networks
from cualex.errors import CualexError, WeightsError
from cualex.formats import conventions, plain_weights, rescale
from cualex.formats.conventions import MEAN, NETWORK, Convention
from cualex.formats.reading.contents import Damaged
from cualex.formats.reading.tensors import Tensor, TensorFile, short
from cualex.networks import Network


@dataclass(frozen=True)
class Import:
    """A file matched to a network: `source` is the network in the file, `network` the one to load into.

    tensors: by canonical name.  factors: what to multiply parameters with, by canonical name (see rescale.py).
    """

    file: TensorFile
    convention: Convention
    source: Network
    network: Network
    tensors: dict[str, Tensor]
    factors: dict[str, np.ndarray]


def plan(file: TensorFile, network: str | None = None, towers: int | None = None, **arguments: object) -> Import:
    """Match a file's tensors to a network; raise WeightsError where none fits.

    network: by default the convention's.  arguments: of the network, such as the crop; classes and width follow from
    the shapes.
    """
    if network is not None:
        networks.find(network)  # the user's argument, so the user's error
    convention, told = recognised(file, network)
    source = _fitting(file, convention, convention.network, told | arguments)
    wanted = network or (TWO.get(source.name) if towers == 2 else None) or source.name
    target = source if wanted == source.name else _built(wanted, _taken(wanted, source.arguments))
    if towers is not None and target.towers != towers:
        raise WeightsError(f"{target.name} has no variant with {towers} tower{'s'[: towers - 1]}. Leave out --towers.")
    learned = plain_weights.inverted(source) if convention.plain else source
    if not convention.plain:
        _compare(file, source)
    factors = {} if learned == target else rescale.factors(learned, target)
    tensors = {name: file.tensors[theirs] for name, theirs in convention.names.items()}
    return Import(file, convention, source, target, tensors, factors)


POOLING = {"Pooling": "pooling", "MaxPool": "pooling"}  # Caffe's word, and ONNX's
SIZES = ("classes", "crop", "width", "mean_at")  # arguments that mean the same in every network
# The network of two towers that computes the same, except that LRN's windows end at the end of a tower.
TWO = {"alexnet-caffe": "alexnet"}


def recognised(file: TensorFile, network: str | None) -> tuple[Convention, dict[str, Any]]:
    """Return the convention whose names a file has, and the network's arguments if the file has them."""
    told = note(file, NETWORK)
    arguments: dict[str, Any] = {}
    if isinstance(told, dict) and isinstance(told.get("name"), str) and isinstance(told.get("arguments"), dict):
        network, arguments = told["name"], told["arguments"]
    fitting = [
        each
        for each in conventions.CONVENTIONS
        if file.format in each.formats and set(each.names.values()) <= file.tensors.keys()
    ]
    order = tuple(POOLING.get(kind, kind) for _, kind in file.layers if kind == "LRN" or kind in POOLING)
    if order and any(each.order for each in fitting):
        fitting = [each for each in fitting if each.order == order]
        if not fitting:
            raise WeightsError(f"its LRN and pooling ({', '.join(order[:8])}) match no known AlexNet. {_OTHER}")
    if fitting:
        return fitting[0], arguments
    if network is not None:
        names = list(_built(network, arguments).tensors())
        if set(names) <= file.tensors.keys():
            return conventions.cualex_names(network, names), arguments
    raise WeightsError(_no_names(file, network))


def _built(name: str, arguments: dict[str, Any]) -> Network:
    """Build a network with arguments from a file, which may be anything."""
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
        raise WeightsError(f"its metadata describes an impossible network ({short(error)}).") from None
    return made


def note(file: TensorFile, name: str) -> object:
    """Return an entry of the metadata of a file that cualex exported, or None."""
    try:
        return json.loads(file.notes.get(name, "null"))
    except (ValueError, TypeError, RecursionError):
        raise Damaged(f"its metadata {name!r} is not JSON") from None


def _fitting(file: TensorFile, convention: Convention, name: str, arguments: dict[str, Any]) -> Network:
    """Build the network whose shapes are the file's."""
    whole = _built(name, arguments)
    *hidden, last = whole.parameters()
    widest = max(hidden, key=lambda name: whole.parameters()[name][0])
    shapes = whole.tensors()
    units = _lengths(file, convention, widest, shapes[widest])[0]
    classes = _lengths(file, convention, last, shapes[last])[0]
    told = dict(arguments)
    if classes != whole.classes:
        told["classes"] = classes
    if units != shapes[widest][0] and "width" not in arguments:
        told["width"] = units / shapes[widest][0]
    network = _built(name, told)
    expected = network.tensors()
    for canonical, theirs in convention.names.items():
        shape = _lengths(file, convention, canonical, expected[canonical])
        if shape != expected[canonical]:
            way = "Give its architecture with --network, or its input size with --crop."
            raise WeightsError(
                f"{short(theirs)} is {short(shape)} here, {name} has {short(expected[canonical])}. {way}"
            )
    known = {*convention.names.values(), MEAN}
    extra = sorted(file.tensors.keys() - known)
    if extra and file.format != "onnx":
        raise WeightsError(f"has {short(extra[0])}, which {name} does not have. Give its architecture with --network.")
    return network


def _compare(file: TensorFile, network: Network) -> None:
    """Raise WeightsError when hyperparameters in a file differ from those of the network."""
    for kind in ("conv", "lrn"):
        told = [(name, numbers) for other, name, numbers in file.numbers if other == kind]
        layers = [(name, layer) for name, layer in network.layers.items() if layer.kind == kind]
        if told and len(told) != len(layers):
            raise WeightsError(f"{len(told)} layers of kind {kind}, {network.name} has {len(layers)}. {_OTHER}")
        for (theirs, numbers), (name, layer) in zip(told, layers, strict=False):
            for key, value in numbers.items():
                ours = getattr(layer, key)
                if value is None or not math.isclose(value, ours, rel_tol=1e-4):
                    raise WeightsError(f"{short(theirs)} has {key} {value}, {network.name}'s {name} {ours}. {_OTHER}")


_OTHER = "It is a different network, which is not supported."


def _lengths(file: TensorFile, convention: Convention, name: str, like: tuple[int, ...]) -> tuple[int, ...]:
    """Return a tensor's shape in canonical order of axes, if it has as many axes as `like`."""
    shape = file.tensors[convention.names[name]].shape
    while len(shape) > len(like) and shape[0] == 1:
        shape = shape[1:]  # Caffe's old layout always has four lengths
    if len(shape) != len(like) or len(shape) not in (2, 4):
        return shape
    order, ours = (convention.dense, "OI") if len(shape) == 2 else (convention.conv, "OIHW")
    return tuple(shape[order.index(axis)] for axis in ours)


def _taken(name: str, arguments: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments of one network that are sizes, for network `name`; without dropout if the first has none."""
    known = networks.build(name).arguments
    taken = {key: arguments[key] for key in SIZES if key in arguments and key in known}
    return taken | ({"dropout": 0} if "dropout" in known and not arguments.get("dropout", 1) else {})


def _no_names(file: TensorFile, network: str | None) -> str:
    """Return the error text for a file with the names of no convention."""
    has = ", ".join(short(name) for name in list(file.tensors)[:3]) or "none"
    if network is None:
        way = "If its tensors have cualex's names (conv1.weight), name its network with --network."
    else:
        way = f"{network} has conv1.weight and so on."
    return f"{file.kind} whose tensors ({has}, ...) are those of no AlexNet known here. {way}"
