"""A model: a network with weights on a device, for inference.

model = cualex.load("best.safetensors")
model.predict("cat.jpg")        [("cat", 0.93), ("dog", 0.04), ...]
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar, overload

import numpy as np

from cualex import weights as weights_file
from cualex.data import images as image_files
from cualex.data.images import ImageSource
from cualex.errors import ImageError, UsageError
from cualex.plan import Plan
from cualex.system.environment import cores
from cualex.weights import Weights
from cualex.weights.parameters import Parameters

BATCH = 32  # images in a plan; the last batch is padded

SomeSource = TypeVar("SomeSource", bound=ImageSource)
Predictions = list[tuple[str, float]]  # (class, probability), likeliest first


def load(
    path: str | Path,
    device: str = "auto",
    precision: str | None = None,
    compiling: Callable[[int, int], None] | None = None,
) -> "Model":
    """Load a weights file, or the best weights of a run directory, onto a device.

    device: "auto" (cuda:0 if there is a GPU that can be used, else cpu), "cpu", "cuda:0", "cuda:0,cuda:1".

    precision: fp32 on the CPU; tf32, fp32 or bf16 on GPUs.  compiling: called with (done, total) while kernels compile.
    """
    return Model(weights_file.load(path), device, precision, compiling=compiling)


class Model:
    """A network with weights, class names and preprocessing, on a device."""

    def __init__(
        self,
        weights: Weights,
        device: str = "cpu",
        precision: str | None = None,
        parameters: Parameters | None = None,
        compiling: Callable[[int, int], None] | None = None,
    ) -> None:
        """Copy the weights to the device; with `parameters`, use those, which a training updates."""
        self.network, self.classes, self.mean = weights.network, list(weights.classes), weights.mean
        if parameters is None:
            parameters = Parameters(weights.network, device, precision=precision, compiling=compiling)
            parameters.load(weights.tensors)
        self.parameters = parameters
        self._plans: dict[tuple[int, tuple[str, ...]], Plan] = {}

    @overload
    def predict(self, sources: ImageSource, top: int = 5) -> Predictions: ...

    @overload
    def predict(self, sources: list[SomeSource] | tuple[SomeSource, ...], top: int = 5) -> list[Predictions]: ...

    def predict(
        self, sources: ImageSource | list[SomeSource] | tuple[SomeSource, ...], top: int = 5
    ) -> Predictions | list[Predictions]:
        """Return the `top` likeliest classes of an image: a list of (class, probability).

        sources: a path or the bytes of an image file, a Pillow image, or an array, uint8 (rows, columns, 3); or a list
        of them, for which a list of such lists is returned.
        Raise ImageError for a file that is not a readable image.

            model.predict("cat.jpg", top=2)    [("cat", 0.93), ("dog", 0.04)]
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
        self, sources: Sequence[tuple[str, ImageSource | ImageError]], layer: str | None = None
    ) -> Iterator[np.ndarray | ImageError]:
        """Yield the output of a layer for every (name, image) in order, or an ImageError.

        An image is a path, the bytes of a file, or an ImageError, which is yielded as it is. Threads read the images,
        one batch in advance. See `features` for layers and shapes.
        """
        parts = [sources[first : first + BATCH] for first in range(0, len(sources), BATCH)]
        with ThreadPoolExecutor(cores(), thread_name_prefix="read") as threads:
            queued = deque(threads.map(self._read, part) for part in parts[:1])
            for number in range(len(parts)):
                queued.extend(threads.map(self._read, part) for part in parts[number + 1 : number + 2])
                read = list(queued.popleft())
                good = [image for image in read if not isinstance(image, ImageError)]
                outputs = iter(self.features(np.stack(good), layer) if good else ())
                for image in read:
                    yield image if isinstance(image, ImageError) else next(outputs)

    def read(self, source: ImageSource) -> np.ndarray:
        """Decode an image file, or its bytes, at the network's stored size: (stored, stored, 3), RGB uint8.

        Raise ImageError when it cannot be read.
        """
        return image_files.load(source, self.network.stored)

    def _read(self, named: tuple[str, ImageSource | ImageError]) -> np.ndarray | ImageError:
        """Decode an image; return the ImageError when it cannot be read."""
        name, source = named
        try:
            if isinstance(source, ImageError):
                raise source
            return image_files.load(source, self.network.stored, name)
        except ImageError as error:
            return error

    def best(self, probabilities: np.ndarray, top: int = 5) -> Predictions:
        """Return the `top` likeliest classes with their probabilities; ties in the order of the classes."""
        order = np.argsort(-probabilities, kind="stable")[:top]
        return [(self.classes[index], float(probabilities[index])) for index in order]

    def probabilities(self, images: np.ndarray) -> np.ndarray:
        """Return probabilities (n, classes) for the centre crops of images (n, stored, stored, 3)."""
        return self.features(images, self.output)

    def features(self, images: np.ndarray, layer: str | None = None) -> np.ndarray:
        """Return a layer's output for images (n, stored, stored, 3): (n, channels, rows, columns) or (n, features).

        The towers are concatenated along the channels. The default is the last hidden layer (relu7 of `alexnet`).
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
        """Name of the layer of probabilities."""
        return list(self.network.layers)[-1]

    @property
    def hidden(self) -> str:
        """Name of the last hidden layer, dropout excepted."""
        names = list(self.network.layers)
        output = max(i for i, name in enumerate(names) if self.network.layers[name].kind == "dense")
        passing = ("exchange", "join", "dropout")
        return next(n for n in reversed(names[:output]) if self.network.layers[n].kind not in passing)

    def plan(self, batch: int, outputs: tuple[str, ...] = ()) -> Plan:
        """Return the inference plan for a batch size, made at the first use."""
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
        """Run the network batch by batch; yield the plan, and how many images of the batch are not padding."""
        batch = BATCH if len(images) > 1 else 1
        for first in range(0, len(images), batch):
            part = images[first : first + batch]
            plan = self.plan(batch, (layer,))
            padded = np.zeros((batch, *part.shape[1:]), np.uint8)
            padded[: len(part)] = part
            plan.put(padded, np.tile(self.centre(), (batch, 1)), np.full(batch, -1))
            plan.run()
            yield plan, len(part)


def _name(source: ImageSource) -> str:
    """Return the name of an image in errors: its path, if it has one."""
    return str(source) if isinstance(source, str | Path) else "picture"
