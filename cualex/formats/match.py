"""Match the tensors of another program's file to a network here: by names, shapes and hyperparameters.

Everything that can be refused is refused before a tensor is read.
"""

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from cualex import networks
from cualex.errors import WeightsError
from cualex.formats import names, plain_weights, rescale
from cualex.formats.conventions import Convention
from cualex.formats.reading.tensors import Tensor, TensorFile, short
from cualex.layers import Activation, Layer
from cualex.networks import Network


@dataclass(frozen=True)
class Import:
    """A file matched to a network: `source` is the network in the file, `network` the one to load into.

    tensors: by canonical name.  factors: what to multiply parameters with, by canonical name (see rescale.py).
    remarks: (topic, sentence) about names, and what in the file was left alone.
    """

    file: TensorFile
    convention: Convention
    source: Network
    network: Network
    tensors: dict[str, Tensor]
    factors: dict[str, np.ndarray]
    remarks: list[tuple[str, str]] = field(default_factory=list)


def plan(file: TensorFile, network: str | None = None, towers: int | None = None, **arguments: object) -> Import:
    """Match a file's tensors to a network; raise WeightsError where none fits.

    network: by default the convention's.  arguments: of the network, such as the crop; classes and width follow from
    the shapes.
    """
    if network is not None:
        networks.find(network)  # the user's argument, so the user's error
    convention, told, remarks = names.recognised(file, network)
    source = _fitting(file, convention, convention.network, told | arguments)
    wanted = network or (TWO.get(source.name) if towers == 2 else None) or source.name
    target = source if wanted == source.name else names.built(wanted, _taken(wanted, source.arguments))
    if towers is not None and target.towers != towers:
        raise WeightsError(f"{target.name} has no variant with {towers} tower{'s'[: towers - 1]}. Leave out --towers.")
    learned = plain_weights.inverted(source) if convention.plain else source
    if not convention.plain:
        _compare(file, source)
    factors = {} if learned == target else rescale.factors(learned, target)
    tensors = {name: file.tensors[theirs] for name, theirs in convention.names.items()}
    return Import(file, convention, source, target, tensors, factors, remarks)


SIZES = ("classes", "crop", "width", "mean_at")  # arguments that mean the same in every network
# The network of two towers that computes the same, except that LRN's windows end at the end of a tower.
TWO = {"alexnet-caffe": "alexnet"}


def _fitting(file: TensorFile, convention: Convention, name: str, arguments: dict[str, Any]) -> Network:
    """Build the network whose shapes are the file's."""
    whole = names.built(name, arguments)
    *hidden, last = whole.parameters()
    widest = max(hidden, key=lambda name: whole.parameters()[name][0])
    shapes = whole.tensors()
    units = names.lengths(file, convention, widest, shapes[widest])[0]
    classes = names.lengths(file, convention, last, shapes[last])[0]
    told = dict(arguments)
    if classes != whole.classes:
        told["classes"] = classes
    if units != shapes[widest][0] and "width" not in arguments:
        told["width"] = units / shapes[widest][0]
    network = names.built(name, told)
    expected = network.tensors()
    for canonical, theirs in convention.names.items():
        shape = names.lengths(file, convention, canonical, expected[canonical])
        if shape != expected[canonical]:
            way = "Give its architecture with --network, or its input size with --crop."
            raise WeightsError(
                f"{short(theirs)} is {short(shape)} here, {name} has {short(expected[canonical])}. {way}"
            )
    extra = [each for each in names.beside(file, convention) if not names.counter(file, each)]
    if extra and file.format != "onnx":
        raise WeightsError(f"has {short(extra[0])}, which {name} does not have. Give its architecture with --network.")
    return network


def _compare(file: TensorFile, network: Network) -> None:
    """Raise WeightsError when layers or hyperparameters in a file differ from those of the network."""
    if file.format == "keras" and file.layers:
        kinds = [kind for _, kind in file.layers]
        known = [_function(layer) for layer in network.layers.values() if layer.kind not in ("dropout", "softmax")]
        if [kind for kind in kinds if kind != "softmax"] != known:
            raise WeightsError(
                f"its layers are {short(', '.join(kinds))}, of {network.name} {short(', '.join(known))}. {names.OTHER}"
            )
    for kind in ("conv", "lrn", "maxpool", "batchnorm"):
        told = [(name, numbers) for other, name, numbers in file.numbers if other == kind]
        layers = [(name, layer) for name, layer in network.layers.items() if layer.kind == kind]
        if told and len(told) != len(layers):
            raise WeightsError(f"{len(told)} layers of kind {kind}, {network.name} has {len(layers)}. {names.OTHER}")
        for (theirs, numbers), (name, layer) in zip(told, layers, strict=False):
            for key, value in numbers.items():
                ours = getattr(layer, key)
                if value is None or not math.isclose(value, ours, rel_tol=1e-4):
                    raise WeightsError(
                        f"{short(theirs)} has {key} {value}, {network.name}'s {name} {ours}. {names.OTHER}"
                    )


def _function(layer: Layer) -> str:
    """Return a layer's kind, or the name of its function."""
    return layer.function if isinstance(layer, Activation) else layer.kind


def _taken(name: str, arguments: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments of one network that are sizes, for network `name`; without dropout if the first has none."""
    known = networks.build(name).arguments
    taken = {key: arguments[key] for key in SIZES if key in arguments and key in known}
    return taken | ({"dropout": 0} if "dropout" in known and not arguments.get("dropout", 1) else {})
