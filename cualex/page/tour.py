"""`cualex tour`: the page in one HTML file, which answers without a server.

Where the weights are few enough they are in the file, and engine.js computes in the browser: 8 bits a weight where that
is exact, as for the bundled network, else 16 (quantisation.py). A file of a larger network holds what cualex answers
for its images, the maps in 8 bits:

    value = (byte - middle) * step        middle: 0, or 128 of maps that can be negative

Arrays are base64 of little-endian numbers, one after another; `arrays` says (type, offset, count) of each. The policy
of the file allows its own script and style by their hash, the worker, and nothing from elsewhere.
"""

import base64
import hashlib
import html
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Any

import numpy as np

from cualex.errors import UsageError
from cualex.explain.strongest import peaks
from cualex.page.bundle import bundle
from cualex.page.gallery import STRONGEST, VIEW, Example, decoded
from cualex.page.seeing import COVER, GRID, Seer
from cualex.weights.quantisation import SCALE, dequantise, quantise

MOST = 24_000_000  # bytes of weights in a file; the file has four thirds of it
EXACT = 4096  # values of a layer up to which its maps are float32
KINDS = {  # of layers that engine.js computes
    *("image", "grey", "conv", "dense", "relu", "activation", "lrn", "spatial_lrn", "batchnorm"),
    *("maxpool", "averagepool", "softmax"),
}
FUNCTIONS = {"tanh", "sigmoid", "softplus", "linear", "leaky-relu", "elu"}


class Arrays:
    """Arrays, one after another, and where each is: {name: (type, offset in bytes, count)}."""

    def __init__(self) -> None:
        self.places: dict[str, tuple[str, int, int]] = {}
        self.data = bytearray()

    def add(self, name: str, values: np.ndarray) -> None:
        """Append an array, at a multiple of four bytes."""
        self.data += bytes(-len(self.data) % 4)
        self.places[name] = values.dtype.str[1:], len(self.data), values.size
        self.data += np.ascontiguousarray(values, values.dtype.newbyteorder("<")).tobytes()


@dataclass(frozen=True)
class Tour:
    """The text of the HTML file, how many images it has, and whether it holds the network and computes."""

    text: str
    images: int
    computes: bool


def tour(seer: Seer, examples: Sequence[Example], progress: Callable[[int], object] = lambda done: None) -> Tour:
    """Make the file of a network and images; the same image twice is in it once.

    progress: called with the number of images that are done. Raise ImageError for an image that cannot be read, and
    UsageError for a network whose values are NaN or Inf.
    """
    network, arrays = seer.weights.network, Arrays()
    described = seer.description | {"files": seer.files}
    weights = _weights(seer)
    alive = _computes(seer) and sum(each.nbytes for each in weights.values()) <= MOST
    shown: list[dict[str, Any]] = []
    answers = {}
    for done, example in enumerate(examples, 1):
        identity, image, png = decoded(example.data, network.stored, VIEW)
        if not any(each["id"] == identity for each in shown):
            layers = seer.maps(image)
            _check_finite(example.name, layers)
            likeliest = int(layers[seer.model.output].argmax())
            view = base64.b64encode(png).decode()
            shown.append({"id": identity, "name": example.name, "png": view, "likeliest": likeliest})
            for method in seer.methods[1:]:  # by gradients, which the browser does not compute
                heat = np.array(list(seer.heat(image, likeliest, (), method)))
                arrays.add(f"{identity}.{method}", np.rint(255 * heat).astype(np.uint8))
            for block in described["blocks"]:
                most, where = peaks(layers[block["shown"]])
                arrays.add(f"{identity}.{block['shown']}.most", most)
                arrays.add(f"{identity}.{block['shown']}.where", where.astype(np.uint16))
            if alive:
                arrays.add(f"{identity}.pixels", image)
            else:
                answers[identity] = _answer(seer, image, identity, arrays)
        progress(done)
    if alive:
        for name, tensor in weights.items():
            arrays.add(name, tensor)
    else:
        described["parts"] = {}
        first = described["blocks"][0]["name"]
        for name in (f"{first}.weight", f"{first}.bias"):  # the filters that see the image, as they are
            arrays.add(name, seer.weights.tensors[name].astype(np.float32))
    found = {
        "networks": [described],
        "examples": shown,
        "grid": GRID,
        "methods": seer.methods,
        "cover": COVER,
        "strongest": STRONGEST,
        "run": None,
        "stamp": "",
        "offset": network.centre.start,
        "scale": np.broadcast_to(np.asarray(network.scale, float), 3).tolist(),
        "tensors": list(weights) if alive else [],
        "answers": answers,
        "arrays": arrays.places,
        "lacking": "" if alive else "This file holds answers, not the network. cualex explore computes others.",
    }
    return Tour(_file(found, arrays.data), len(shown), alive)


def _check_finite(name: str, layers: dict[str, np.ndarray]) -> None:
    """Raise UsageError where values are NaN or Inf: a diverged network has no answers to hand out."""
    if broken := next((layer for layer, maps in layers.items() if not np.isfinite(maps).all()), ""):
        raise UsageError(
            f"{name}: from {broken} on the network gives NaN or Inf, so there is no tour of it. Its training may have "
            "diverged: cualex explore shows its layers"
        )


def _computes(seer: Seer) -> bool:
    """Return whether engine.js has all the network's layers."""
    layers = seer.description["layers"].values()
    functions = {each["numbers"]["function"].partition(":")[0] for each in layers if each["kind"] == "activation"}
    return {each["kind"] for each in layers} <= KINDS and functions <= FUNCTIONS


def _weights(seer: Seer) -> dict[str, np.ndarray]:
    """Return what the browser computes with: tensors with weights as integers, and the mean image at the crop."""
    made: dict[str, np.ndarray] = {}
    stages = {stage.name: stage for stage in seer.weights.network.stages()}
    for name, tensor in seer.weights.tensors.items():
        if tensor.ndim == 1:
            made[name] = tensor.astype(np.float32)
            continue
        turned = stages[name.rpartition(".")[0]].turned("weight", tensor)
        q, scale = quantise(turned)
        if not np.allclose(dequantise(q, scale), turned, rtol=1e-6, atol=0):
            q, scale = quantise(turned, 16)
        made[name], made[name + SCALE] = q, scale
    centre = seer.weights.network.centre
    made["mean"] = seer.model.mean[centre, centre].astype(np.float32)
    return made


def _answer(seer: Seer, image: np.ndarray, identity: str, arrays: Arrays) -> dict[str, Any]:
    """Keep all maps of an image, and return what else the page asks of it."""
    names = list(seer.description["layers"])
    seen = seer.see(image, names)
    scales: dict[str, dict[str, float]] = {}
    for name in names:
        maps = seen.layers[name].astype(np.float32)
        if maps.size <= EXACT:
            arrays.add(f"{identity}.{name}", maps)
            continue
        signed = bool(maps.min() < 0)
        middle, most = (128, 127) if signed else (0, 255)
        step = float(np.abs(maps).max()) / most or 1.0
        arrays.add(f"{identity}.{name}", (np.rint(maps / step) + middle).astype(np.uint8))
        scales[name] = {"middle": middle, "step": step}
    towers = [f"tower{tower}" for tower in range(1, seer.weights.network.towers + 1)]
    others = [[part for part in towers if part != tower] for tower in towers] if len(towers) > 1 else []
    return {
        "probabilities": seen.probabilities.tolist(),
        "passed": seen.passed,
        "scales": scales,
        "without": {",".join(off): seer.name(image, off).tolist() for off in others},
        "heat": list(seer.heat(image, int(seen.probabilities.argmax()))),
    }


def _file(found: dict[str, Any], data: bytearray) -> str:
    """Return the page as one file."""
    here = resources.files(__package__)
    text = {  # offline/server.js takes the place of the other
        file.name: file.read_text("utf-8")
        for folder in ("static", "offline")
        for file in here.joinpath(folder).iterdir()
        if not file.name.startswith(".")
    }
    modules = {name: body for name, body in text.items() if name.endswith(".js")}
    script, style = bundle(modules, "app.js"), text["style.css"]
    policy = (
        f"default-src 'none'; script-src '{_hash(script)}'; style-src '{_hash(style)}'; worker-src blob:; "
        "img-src data: blob:; base-uri 'none'; form-action 'none'"
    )
    networks, count = found["networks"][0], len(found["examples"])
    page = text["index.html"]
    for old, new in (
        (
            '<meta charset="utf-8">',
            f'<meta charset="utf-8">\n<meta http-equiv="Content-Security-Policy" content="{policy}">',
        ),
        ("<title>cualex explore</title>", f"<title>cualex tour: {html.escape(networks['network'])}</title>"),
        ("<b>cualex</b> explore", "<b>cualex</b> tour"),
        ('<link rel="stylesheet" href="style.css">', f"<style>{style}</style>"),
        ('<script type="module" src="app.js"></script>\n', ""),
    ):
        if old not in page:
            raise ValueError(f"index.html has no {old}")
        page = page.replace(old, new)
    base = base64.b64encode(data).decode()
    size = (len(page) + len(script) + len(text["engine.js"]) + len(base) + len(json.dumps(found))) / 1e6
    images = "1 image" if count == 1 else f"{count} images"
    found["kept"] = f"This file ({size:.1f} MB) needs no net. " + (
        f"It holds answers for {images}, not the network: maps, comparing and heat maps of the likeliest class "
        "stay alive; covering, switching parts off, other images and the sums of later layers need cualex explore."
        if found["lacking"]
        else "It holds the network, which computes here: covers, switches, sums, and images of your own, which the "
        "browser resizes in its own way. Grad-CAM and saliency are those of each image's likeliest class."
    )
    blocks = [
        f'<script type="application/json" id="tour">{json.dumps(found).replace("<", chr(92) + "u003c")}</script>',
        f'<script type="text/plain" id="arrays">{base}</script>',
        *([] if found["lacking"] else [f'<script type="text/plain" id="engine">{text["engine.js"]}</script>']),
        f'<script type="module">{script}</script>',
    ]
    return page.replace("</body>", "\n".join([*blocks, "</body>"]))


def _hash(text: str) -> str:
    """Return a text as a policy names it."""
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"
