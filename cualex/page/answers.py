"""What the page's server answers: networks, and the images that users have shown them."""

import json
import struct
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

import numpy as np

from cualex.explain.occlusion import Square
from cualex.page.gallery import VIEW, Example, Strongest, decoded
from cualex.page.guard import Queue, Refused
from cualex.page.live import Live
from cualex.page.seeing import COVER, GRID, Seen, Seer
from cualex.system.strict_json import plain

KEPT = 256  # images
AT_ONCE = 1  # examples that one question looks at: what another user waits for


class Page:
    """The answers: networks, and the images that users have shown them."""

    def __init__(self, seers: Sequence[Seer], examples: Sequence[Example], live: Live | None = None) -> None:
        """Take networks that read images of one size; `live` is where the first one's weights come from."""
        self.seers, self.live, self.queue = list(seers), live, Queue()
        self._images: OrderedDict[str, tuple[np.ndarray, bytes]] = OrderedDict()
        self.stored = self.seers[0].weights.network.stored
        self.examples = [(each.name, *decoded(each.data, self.stored, VIEW)) for each in examples]
        self._strongest: dict[int, Strongest] = {}

    def keep(self, data: bytes) -> str:
        """Decode an image file and return its id; raise ImageError when it cannot be read."""
        identity, image, png = decoded(data, self.stored)
        self._images[identity] = image, png
        self._images.move_to_end(identity)
        while len(self._images) > KEPT:
            self._images.popitem(last=False)
        return identity

    def image(self, identity: Any) -> tuple[np.ndarray, bytes]:
        """Return an image and its PNG; raise Refused for one that is not held, or no more."""
        if isinstance(identity, str) and identity in self._images:
            return self._images[identity]
        for _, held, image, png in self.examples:
            if held == identity:
                return image, png
        raise Refused(404, "That image is no longer held: choose it again.")

    def networks(self) -> dict[str, Any]:
        """Return all that the page must know before its first question."""
        described = [seer.description | {"files": seer.files} for seer in self.seers]
        return {
            "networks": described,
            "examples": [{"name": name, "id": identity} for name, identity, *_ in self.examples],
            "grid": GRID,
            "methods": self.seers[0].methods,
            "cover": COVER,
            "run": self.live.curves() if self.live else None,
            "stamp": self.stamp,
        }

    def run(self) -> dict[str, Any]:
        """Return the curves of the run; read its weights again where it has saved new ones."""
        if self.live and self.live.stamp != self.live.loaded:
            old = self.seers[0]
            self.seers[0] = Seer(self.live.weights(), old.device, old.precision)
            self._strongest.pop(0, None)
        return {"run": self.live.curves() if self.live else None, "stamp": self.stamp}

    @property
    def stamp(self) -> str:
        """A text that is another one after new weights were read."""
        return str(self.live.loaded) if self.live else ""

    def excites(self, network: int, name: str, index: int) -> dict[str, Any]:
        """Return the strongest examples of a map, of those looked at so far, and look at a few more."""
        seer = self.seers[network]
        block = next((block for block in seer.description["blocks"] if block["name"] == name), None)
        if block is None or not 0 <= index < seer.description["layers"][block["shown"]]["maps"]:
            raise Refused(404, f"There is no map {index} of {name}.")
        found = self._strongest.setdefault(
            network, Strongest(seer, [(identity, image) for _, identity, image, _ in self.examples])
        )
        found.advance(AT_ONCE)
        return {"done": found.done, "of": len(found.examples), "strongest": found.of(block["shown"], index)}

    def asked(self, question: dict[str, Any]) -> tuple[Seer, np.ndarray, list[str], Square | None]:
        """Return network, image, parts off and cover of a question; raise Refused for what they cannot be."""
        number, off, cover = question.get("network", 0), question.get("off", []), question.get("cover")
        if not isinstance(number, int) or not 0 <= number < len(self.seers):
            raise Refused(404, f"There are {len(self.seers)} networks, got number {number!r}.")
        if not isinstance(off, list) or not all(isinstance(part, str) for part in off):
            raise Refused(400, f"off: expected a list of parts, got {off!r}.")
        side = self.seers[number].weights.network.crop
        if cover is not None and not (
            isinstance(cover, list) and len(cover) == 3 and all(type(n) is int and abs(n) <= 2 * side for n in cover)
        ):
            raise Refused(400, f"cover: expected [top, left, side] in pixels, got {cover!r}.")
        square = None if cover is None else (cover[0], cover[1], cover[2])
        return self.seers[number], self.image(question.get("image"))[0], off, square

    def warm(self) -> None:
        """Make all plans now, so that the first user does not wait for them."""
        for seer in self.seers:
            if self.examples:
                seer.see(self.examples[0][2], ())
                seer.name(self.examples[0][2])


def strict(value: object) -> bytes:
    """Write strict JSON: null for NaN and Inf, of which browsers read none."""
    return json.dumps(plain(value), ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()


def packed(seen: Seen) -> bytes:
    """Write maps: the length of the JSON, the JSON, zeros up to a multiple of four, float32 maps in its order."""
    layers = [[name, *layer.shape] for name, layer in seen.layers.items()]
    head = {"layers": layers, "probabilities": seen.probabilities, "passed": seen.passed, "broken": seen.broken}
    text = strict(head)
    text += b" " * (-len(text) % 4)
    parts = [np.ascontiguousarray(layer, "<f4").tobytes() for layer in seen.layers.values()]
    return b"".join((struct.pack("<I", len(text)), text, *parts))
