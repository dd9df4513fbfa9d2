"""A network as plain values for the page: blocks of layers, what each reads, and which pixels a value depends on.

A *block* is a layer with filters (convolution or dense) and the layers up to the next such one: what the page draws
as one column of maps a tower. Everything is read from the network's list of layers; no network is named here.
"""

from dataclasses import asdict
from typing import Any

from cualex.data.sources import imagenet_classes
from cualex.engine import activations
from cualex.explain.grad_cam import last_maps
from cualex.explain.receptive_fields import receptive_field
from cualex.layers import Activation, Conv, Dense, Dropout, Exchange, Layer
from cualex.networks import Network, Stage
from cualex.networks.summary import rows
from cualex.page import changes

IMAGE = "image"  # the name of what the first layer reads
WORDS = {  # what the page writes between two blocks
    "lrn": "norm",
    "spatial_lrn": "norm",
    "batchnorm": "norm",
    "maxpool": "pool",
    "averagepool": "pool",
    "exchange": "exchange",
    "join": "join",
}

Field = tuple[int, int, int]  # pixels a side, pixels from one value's field to the next, where the first begins


def describe(network: Network, classes: list[str]) -> dict[str, Any]:
    """Return a network as the page reads it.

    blocks: in order, each with its `layers`; the layer `below` that it reads, times `factor` (of dropout at test), of
    which towers ("image", "own" or "all"); `shown`, the layer that stands for it; and the floats that each tower sends
    for it to the other (`crosses`).
    layers: by name, the maps of all towers together, their size, whether they can be negative, and `field`, the
    receptive field (size, step, start) in pixels of the crop; None where it is the whole image.
    parts: what can be switched off (changes.py).  last_maps: the layer that Grad-CAM reads; None without maps.
    """
    sent = {row.layer: row.sent_forward for row in rows(network)}
    layers: dict[str, Any] = {IMAGE: _image(network.crop)}
    blocks: list[dict[str, Any]] = []
    below, factor, crossing = IMAGE, 1.0, 0
    whole = False  # from the first dense layer on every value depends on all pixels
    for stage in network.stages():
        name, layer = stage.name, stage.layer
        if blocks and layer.kind in WORDS:
            blocks[-1]["after"].append(WORDS[layer.kind])
        if isinstance(layer, Exchange):
            crossing = max(sent[name], default=0)
        elif isinstance(layer, Dropout):
            factor *= layer.at_test
        else:
            whole = whole or isinstance(layer, Dense)
            layers[name] = _layer(stage, None if whole else _field(network, name), layers[below])
            if isinstance(layer, Conv | Dense):
                reads = IMAGE if not blocks else "all" if stage.reading.sources > 1 else "own"
                blocks.append(_block(stage, below, factor, reads, crossing))
                factor, crossing = 1.0, 0
            elif blocks:
                blocks[-1]["layers"].append(name)
                if layer.kind in ("relu", "activation") and blocks[-1]["shown"] == blocks[-1]["name"]:
                    blocks[-1]["shown"] = name
            below = name
    return {
        "network": network.name,
        "crop": network.crop,
        "stored": network.stored,
        "towers": network.towers,
        "classes": [imagenet_classes.english(name) for name in classes],
        "blocks": blocks,
        "layers": layers,
        "parts": changes.parts(network),
        "last_maps": last_maps(network) if any(block["window"] for block in blocks) else None,
    }


def _image(crop: int) -> dict[str, Any]:
    return {"kind": IMAGE, "maps": 3, "rows": crop, "columns": crop, "towers": 1, "signed": True, "field": (1, 1, 0)}


def _block(stage: Stage, below: str, factor: float, reads: str, crossing: int) -> dict[str, Any]:
    layer = stage.layer
    window = (layer.size, layer.stride, layer.pad) if isinstance(layer, Conv) else None
    return {
        "name": stage.name,
        "kind": layer.kind,
        "layers": [stage.name],
        "shown": stage.name,
        "below": below,
        "factor": factor,
        "reads": reads,
        "towers": stage.towers,
        "window": window,
        "groups": layer.groups if isinstance(layer, Conv) else 1,
        "crosses": crossing,
        "after": [],
    }


def _layer(stage: Stage, field: Field | None, below: dict[str, Any]) -> dict[str, Any]:
    layer, (maps, rows_, columns) = stage.layer, stage.output
    return {
        "kind": layer.kind,
        "maps": maps * stage.towers,
        "rows": rows_,
        "columns": columns,
        "towers": stage.towers,
        "signed": _signed(layer, below["signed"]),
        "field": field,
        "numbers": {name: value for name, value in asdict(layer).items() if value is not None},  # type: ignore[call-overload]
        "formula": activations.find(layer.function).formula if isinstance(layer, Activation) else "",
    }


def _signed(layer: Layer, below: bool) -> bool:
    """Return whether a layer's output can be negative."""
    if isinstance(layer, Activation):
        grid = [step / 8 for step in range(-64, 65)]
        return bool(activations.find(layer.function).function(grid).min() < 0)
    if layer.kind in ("conv", "dense", "batchnorm"):
        return True
    return below and layer.kind not in ("relu", "softmax")


def _field(network: Network, layer: str) -> Field:
    seen = receptive_field(network, layer)
    return seen.size, seen.stride, seen.start
