"""A network with weights, ready to name images.

model = cualex.load("best.safetensors")
model.predict("cat.jpg")        [("cat", 0.93), ("dog", 0.04), ...]
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from cualex import weights as weights_file
from cualex.data import images as image_files
from cualex.errors import ImageError, UsageError
from cualex.plan import Plan
from cualex.system.environment import cores
from cualex.weights import Weights
from cualex.weights.parameters import Parameters

BATCH = 32  # images in a plan; the last part of a set is padded


def load(
    path: str | Path,
    device: str = "cpu",
    precision: str | None = None,
    compiling: Callable[[int, int], None] | None = None,
) -> "Model":
    """Read a weights file and put its network on a device: "cpu", "cuda:0", "cuda:0,cuda:1", "auto"; see `placement`.

    `precision` is fp32 on the CPU; tf32, fp32 or bf16 on GPUs, where `compiling` hears how many kernels are compiled.
    """
    return Model(weights_file.load(path), device, precision, compiling=compiling)


class Model:
    """Hold a network with its weights, class names and preprocessing, on a device."""

    def __init__(
        self,
        weights: Weights,
        device: str = "cpu",
        precision: str | None = None,
        parameters: Parameters | None = None,
        compiling: Callable[[int, int], None] | None = None,
    ):
        """Put the weights on the device; with `parameters`, use those that a training moves."""
        self.network, self.classes, self.mean = weights.network, list(weights.classes), weights.mean
        if parameters is None:
            parameters = Parameters(weights.network, device, precision=precision, compiling=compiling)
            parameters.load(weights.tensors)
        self.parameters = parameters
        self._plans: dict[tuple, Plan] = {}

    def predict(self, sources, top: int = 5):
        """Name what is in an image, likeliest first: a list of (class, probability).

        `sources` is a path or the bytes of an image file, or a list of them, for which a list of such lists
        comes back. Raise ImageError for a file that is no readable image.
        """
        if not isinstance(sources, (list, tuple)):
            return self.predict([sources], top)[0]
        named = []
        for probabilities in self.each([(_name(source), source) for source in sources], self.output):
            if isinstance(probabilities, ImageError):
                raise probabilities
            named.append(self.best(probabilities, top))
        return named

    def each(
        self, sources: Sequence[tuple[str, str | Path | bytes | ImageError]], layer: str | None = None
    ) -> Iterator[np.ndarray | ImageError]:
        """Yield the output of a layer for each (name, image) in turn, or the ImageError of what is none.

        An image is a path, the bytes of a file, or the ImageError met in looking for it, which comes back in its
        place. They are read in threads, a batch ahead of the network. See `features` for layers and shapes.
        """
        parts = [sources[first : first + BATCH] for first in range(0, len(sources), BATCH)]
        with ThreadPoolExecutor(cores(), thread_name_prefix="read") as threads:
            ahead = deque(threads.map(self._read, part) for part in parts[:1])
            for number in range(len(parts)):
                ahead.extend(threads.map(self._read, part) for part in parts[number + 1 : number + 2])
                read = list(ahead.popleft())
                good = [image for image in read if not isinstance(image, ImageError)]
                found = iter(self.features(np.stack(good), layer) if good else ())
                for image in read:
                    yield image if isinstance(image, ImageError) else next(found)

    def read(self, source: str | Path | bytes) -> np.ndarray:
        """Read an image file, or its bytes, as the network wants it stored: (stored, stored, 3), RGB uint8.

        Raise ImageError where it cannot be read.
        """
        return image_files.load(source, self.network.stored)

    def _read(self, named: tuple[str, str | Path | bytes | ImageError]) -> np.ndarray | ImageError:
        """Read an image, or return the reason why not."""
        name, source = named
        try:
            if isinstance(source, ImageError):
                raise source
            return image_files.load(source, self.network.stored, name)
        except ImageError as error:
            return error

    def best(self, probabilities: np.ndarray, top: int = 5) -> list[tuple[str, float]]:
        """Return the likeliest classes with their probabilities; of equals the first class comes first."""
        order = np.argsort(-probabilities, kind="stable")[:top]
        return [(self.classes[index], float(probabilities[index])) for index in order]

    def probabilities(self, images: np.ndarray) -> np.ndarray:
        """Return (images, classes) for stored images (n, stored, stored, 3), seen at their centre."""
        return self.features(images, self.output)

    def features(self, images: np.ndarray, layer: str | None = None) -> np.ndarray:
        """Return the output of a layer for stored images: (n, channels, rows, columns), or (n, features).

        The towers lie side by side along the channels. By default the layer is the last hidden one: the network
        without its output layer (relu7 of `alexnet`).
        """
        layer, side = layer or self.hidden, self.network.stored
        if images.dtype != np.uint8 or images.shape[1:] != (side, side, 3):
            raise UsageError(
                f"pictures must be uint8 (n, {side}, {side}, 3), got {images.dtype} {images.shape}; "
                "model.read(path) makes such a picture of a file"
            )
        parts = [plan.output(layer)[:count] for plan, count in self._batches(images, layer)]
        if not parts:
            raise UsageError("no pictures were given")
        features = np.concatenate(parts)
        return features[:, :, 0, 0] if features.shape[2:] == (1, 1) else features

    @property
    def output(self) -> str:
        """Name the layer that gives the probabilities."""
        return list(self.network.layers)[-1]

    @property
    def hidden(self) -> str:
        """Name the last layer that changes what the output layer reads, but for dropout."""
        names = list(self.network.layers)
        output = max(i for i, name in enumerate(names) if self.network.layers[name].kind == "dense")
        passing = ("exchange", "join", "dropout")
        return next(n for n in reversed(names[:output]) if self.network.layers[n].kind not in passing)

    def plan(self, batch: int, outputs: tuple[str, ...] = ()) -> Plan:
        """Return the inference plan for a batch, made at its first use."""
        key = batch, outputs
        if key not in self._plans:
            self._plans[key] = plan = Plan(self.parameters, batch, "infer", outputs=outputs)
            plan.put_mean(self.mean)
        return self._plans[key]

    def centre(self) -> tuple[int, int, int]:
        """Return the view of the centre crop: row, column, not mirrored."""
        offset = (self.network.stored - self.network.crop) // 2
        return offset, offset, 0

    def _batches(self, images: np.ndarray, layer: str) -> Iterator[tuple[Plan, int]]:
        """Run the network over the images; yield the plan after each batch, and how many of it count."""
        batch = BATCH if len(images) > 1 else 1
        for first in range(0, len(images), batch):
            part = images[first : first + batch]
            plan = self.plan(batch, (layer,))
            padded = np.zeros((batch, *part.shape[1:]), np.uint8)
            padded[: len(part)] = part
            plan.put(padded, np.tile(self.centre(), (batch, 1)), np.full(batch, -1))
            plan.run()
            yield plan, len(part)


def _name(source: str | Path | bytes) -> str:
    """Name an image in errors: by its path where it has one."""
    return "picture" if isinstance(source, bytes) else str(source)
