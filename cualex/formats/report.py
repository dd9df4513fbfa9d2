"""Report the assumptions about an imported file: a line a topic."""

import numpy as np

from cualex.formats import rescale
from cualex.formats.match import Import
from cualex.formats.reading.tensors import TYPES
from cualex.layers import LRN, Dropout
from cualex.networks import Network

Lines = list[tuple[str, str]]


def lines(made: Import, sha256: str, size: int, classes: str, mean: str) -> Lines:
    """Return (topic, sentence) in order; `classes` and `mean` are the sentences about these."""
    convention, network = made.convention, made.network
    rows = [
        ("file", f"{made.file.kind}, {size:,} bytes"),
        ("SHA-256", sha256),
        ("checksum", _checksum(made)),
    ]
    rows += [("source", convention.title), *made.remarks, ("network", _named(network)), ("tensors", _axes(made))]
    rows += [("colours", _colours(convention.colours)), ("pictures", _images(network)), ("mean", mean)]
    rows += [("LRN", text) for text in _normalised(network)]
    rows += [("dropout", text) for text in _dropped(network)]
    rows += [("classes", classes)]
    for remark in convention.remarks:
        topic, _, sentence = remark.partition(": ")
        rows.append((topic, sentence))
    return rows + _changed(made)


def _checksum(made: Import) -> str:
    if made.file.sums:
        return "the format keeps a CRC-32 of every tensor; all are as they were written"
    return "this format keeps none and cannot tell a changed value: compare the SHA-256 with its publisher's"


def _named(network: Network) -> str:
    def word(value: object) -> object:
        value = len(value) if isinstance(value, dict) else value  # the layers of a network of one's own
        return f"{value:.6g}" if isinstance(value, float) else value

    arguments = ", ".join(f"{key} {word(value)}" for key, value in network.arguments.items())
    towers = "one tower" if network.towers == 1 else f"{network.towers} towers"
    return f"{network.name}, {towers} ({arguments})"


def _axes(made: Import) -> str:
    convention, kinds = made.convention, {TYPES[tensor.kind] for tensor in made.tensors.values()}
    text = f"filters {convention.conv}, dense {convention.dense}, {' and '.join(sorted(kinds))}"
    if (convention.conv, convention.dense, convention.flatten) == ("OIHW", "OI", "CHW"):
        return f"{text}: as here"
    return f"{text}, inputs of the first dense layer as {convention.flatten}: turned to OIHW, OI, CHW"


def _colours(order: str) -> str:
    if order == "BGR":
        return "the source reads BGR: the first filters' channels are turned about, pictures stay RGB"
    return "RGB, as here"


def _images(network: Network) -> str:
    scale = network.scale if isinstance(network.scale, tuple | list) else (network.scale,)
    times = ", ".join(f"{number:.6g}" for number in scale)
    crop = f"the middle {network.crop} of {network.stored} pixels"
    return f"{crop}, 0 to 255, less the mean" + ("" if set(scale) == {1} else f", times {times}")


def _normalised(network: Network) -> list[str]:
    made = {layer for layer in network.layers.values() if isinstance(layer, LRN)}
    texts = []
    for layer in sorted(made, key=repr):
        terms = layer.n if layer.kind == "lrn" else layer.n**2
        where = "across channels" if layer.kind == "lrn" else "within each map"
        numbers = f"{where}, n {layer.n}, k {layer.k:g}, beta {layer.beta:g}, alpha {layer.alpha:g} for each term"
        texts.append(f"{numbers} (in a prototxt, and ONNX, alpha {layer.alpha * terms:g})")
    return texts


def _dropped(network: Network) -> list[str]:
    made = {layer.inverted for layer in network.layers.values() if isinstance(layer, Dropout)}
    way = {True: "inverted: nothing is scaled at test", False: "classic: what it keeps is scaled at test"}
    return [way[inverted] for inverted in sorted(made)]


def _changed(made: Import) -> Lines:
    """Return what differs when the weights run in another network than the one that learned them."""
    if made.network.name == made.source.name:
        return []
    rows = [("instead", f"the weights are {made.source.name}'s and run as {made.network.name}")]
    for name, factor in made.factors.items():
        by = ", ".join(f"{number:.6g}" for number in np.ravel(factor))
        rows.append(("scaled", f"{name} by {by}, so that LRN, dropout and scale come to the same"))
    for layer in rescale.crossing(made.network):
        rows.append(
            (
                "differs",
                f"{layer} ends at the end of a tower; in the source its windows cross, so the maps "
                "beside that border come out otherwise",
            )
        )
    return rows
