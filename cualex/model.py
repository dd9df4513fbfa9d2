"""A model: a network with weights on a device, for inference."""

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar, overload

import numpy as np

from cualex import views
from cualex.data import images as image_files
from cualex.data.decoding import decode_ahead
from cualex.data.images import ImageSource
from cualex.errors import ImageError, UsageError
from cualex.explain.explainable import Explainable
from cualex.plan import Plan
from cualex.plan.buffers import fitting
from cualex.system.keywords import checked
from cualex.weights import Weights, packed
from cualex.weights.parameters import Parameters

BATCH = 32  # images in a plan; the last batch is padded

SomeSource = TypeVar("SomeSource", bound=ImageSource)
Predictions = list[tuple[str, float]]  # (class, probability), likeliest first


@checked()
def load(
    path: str | os.PathLike[str],
    device: str = "auto",
    precision: str | None = None,
    compiling: Callable[[int, int], None] | None = None,
) -> "Model":
    """Load a weights file, or the best weights of a run directory, onto a device.

        >>> cualex.load("cifar10")
        Model(alexnet, 10 classes, crops of 67, cpu)

    path: of a file or a run directory, a Run, or "cifar10" for the bundled network.  device: "auto" (cuda:0 if there is
    a GPU that can be used, else cpu), "cpu", "cuda:0", "cuda:0,cuda:1".  precision: fp32 on the CPU; tf32, fp32 or bf16
    on GPUs.  compiling: called with (done, total) while kernels compile.

    Raise WeightsError for a file that is missing, damaged or of another program, DeviceError where there is no device.
    """
    weights, parameters = packed.load(Path(path), device, precision, compiling)
    return Model(weights, parameters=parameters)


class Model(Explainable):
    """A network with weights, class names and preprocessing, on a device.

    >>> model = cualex.load("cifar10")
    >>> model.classes[:4], model.network.crop
    (['airplane', 'automobile', 'bird', 'cat'], 67)
    """

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
            settings: dict[str, Any] = {"precision": precision, "compiling": compiling}
            parameters = Parameters(weights.network, device, **settings, tensors=weights.tensors)
        self.parameters = parameters
        self._plans: dict[tuple[int, tuple[str, ...]], Plan] = {}

    def __repr__(self) -> str:
        network, device = self.network, self.parameters.placement
        return f"Model({network.name}, {len(self.classes)} classes, crops of {network.crop}, {device})"

    def _repr_html_(self) -> str:
        import cualex  # whose notebook stands above this class, and is imported when Jupyter asks

        return cualex.notebook.model(self)

    @overload
    def predict(self, sources: ImageSource, top: int = 5, crops: int = 1) -> Predictions: ...

    @overload
    def predict(
        self, sources: list[SomeSource] | tuple[SomeSource, ...], top: int = 5, crops: int = 1
    ) -> list[Predictions]: ...

    def predict(
        self, sources: ImageSource | list[SomeSource] | tuple[SomeSource, ...], top: int = 5, crops: int = 1
    ) -> Predictions | list[Predictions]:
        """Return the `top` likeliest classes of an image: a list of (class, probability).

            >>> model.predict("cat.jpg", top=2)
            [('cat', 0.8...), ('dog', 0.06...)]
            >>> [found[0][0] for found in model.predict([image, "dog.jpg"])]
            ['cat', 'dog']

        sources: a path or the bytes of an image file, a Pillow image, or an array, uint8 (rows, columns, 3); or a list
        of them, for which a list of such lists is returned.  crops: as for `cualex.evaluate`. Raise ImageError.
        """
        if not isinstance(sources, (list, tuple)):
            return self.predict([sources], top, crops)[0]
        return [self.best(probabilities, top) for probabilities in self._every(sources, self.output, crops)]

    def each(
        self, sources: Sequence[tuple[str, ImageSource | ImageError]], layer: str | None = None, crops: int = 1
    ) -> Iterator[np.ndarray | ImageError]:
        """Yield the output of a layer for every (name, image) in order, or an ImageError.

        An image is a path, the bytes of a file, or an ImageError, which is yielded as it is. Threads read the images,
        one batch in advance. See `features` for layers and shapes.  crops: 10 gives mean probabilities, of no layer.

            >>> [str(getattr(found, "shape", found)) for found in model.each([("a", "cat.jpg"), ("b", b"")], "fc7")]
            ['(2048,)', 'b: ...']
        """
        for read in decode_ahead(sources, self.network.stored, BATCH):
            good = [image for image in read if not isinstance(image, ImageError)]
            outputs = iter(self._outputs(np.stack(good), layer, crops) if good else ())
            for image in read:
                yield image if isinstance(image, ImageError) else next(outputs)

    def read(self, source: ImageSource) -> np.ndarray:
        """Decode an image file, or its bytes, at the network's stored size: (stored, stored, 3), RGB uint8.

        Raise ImageError when it cannot be read.

            >>> model.read("cat.jpg").shape
            (76, 76, 3)
        """
        return image_files.load(source, self.network.stored)

    def best(self, probabilities: np.ndarray, top: int = 5) -> Predictions:
        """Return the `top` likeliest classes with their probabilities (classes,); ties in the order of the classes.

        >>> model.best(np.array([0, 0.25, 0.75] + 7 * [0]), top=2)
        [('bird', 0.75), ('automobile', 0.25)]
        """
        order = np.argsort(-probabilities, kind="stable")[:top]
        return [(self.classes[index], float(probabilities[index])) for index in order]

    def probabilities(self, images: np.ndarray) -> np.ndarray:
        """Return probabilities, float32 (n, classes), for the centre crops of images, uint8 (n, stored, stored, 3).

        >>> images = np.stack([model.read("cat.jpg"), model.read("dog.jpg")])
        >>> model.probabilities(images).argmax(axis=1)
        array([3, 5])
        """
        return self._outputs(images, self.output)

    def features(
        self, images: ImageSource | list[SomeSource] | tuple[SomeSource, ...], layer: str | None = None
    ) -> np.ndarray:
        """Return a layer's output, float32: (n, features), or (n, channels, rows, columns) of a layer of maps.

            >>> model.features(["cat.jpg", image]).shape
            (2, 2048)
            >>> model.features("cat.jpg").shape
            (2048,)
            >>> model.features(np.stack([model.read("cat.jpg")]), "conv5").shape
            (1, 128, 3, 3)

        images: a list of paths, bytes, Pillow images and arrays, as for `predict`; or those that `read` gives, uint8
        (n, stored, stored, 3); or one image, for which there is no first axis.  layer: one of `network.layers`, by
        default the last hidden one (relu7 of `alexnet`; fc7 is before ReLU). Towers are concatenated along the
        channels. Raise ImageError where one cannot be read, and UsageError for a layer that does not exist.
        """
        if isinstance(images, np.ndarray) and images.ndim not in (2, 3):
            return self._outputs(images, layer)
        if not isinstance(images, list | tuple):
            return self.features([images], layer)[0]
        outputs = list(self._every(images, layer))
        if not outputs:
            raise UsageError("no pictures were given")
        return np.stack(outputs)

    def _every(self, sources: Sequence[ImageSource], layer: str | None, crops: int = 1) -> Iterator[np.ndarray]:
        """Yield the output of a layer for every image; raise the first ImageError."""
        for output in self.each([(_name(source), source) for source in sources], layer, crops):
            if isinstance(output, ImageError):
                raise output
            yield output

    def _outputs(self, images: np.ndarray, layer: str | None, crops: int = 1) -> np.ndarray:
        """Return a layer's output for images (n, stored, stored, 3): (n, channels, rows, columns) or (n, features)."""
        layer, side = layer or self.hidden, self.network.stored
        if images.dtype != np.uint8 or images.shape[1:] != (side, side, 3):
            raise UsageError(
                f"pictures must be uint8 (n, {side}, {side}, 3), got {images.dtype} {images.shape}; "
                "model.read(path) makes such a picture of a file"
            )
        if not len(images):
            raise UsageError("no pictures were given")
        parts, batch = [], BATCH if len(images) > 1 else 1
        if crops != 1:
            return views.probabilities(self, images, views.fitting(self, batch), crops)
        plan = fitting(lambda images: self.plan(images, (layer,)), batch)
        batch = plan.batch
        centre = np.full((batch, 3), self.centre(), np.int32)
        for first in range(0, len(images), batch):
            part = images[first : first + batch]
            plan.put(views.padded(part, batch), centre, np.full(batch, -1, np.int32))
            plan.run()
            parts.append(plan.output(layer)[: len(part)])
        features = np.concatenate(parts) if len(parts) > 1 else parts[0]
        return features[:, :, 0, 0] if features.shape[2:] == (1, 1) else features

    @property
    def output(self) -> str:
        """Name of the layer of probabilities.

        >>> model.output
        'softmax'
        """
        return list(self.network.layers)[-1]

    @property
    def hidden(self) -> str:
        """Name of the last hidden layer, dropout excepted.

        >>> model.hidden
        'relu7'
        """
        names = list(self.network.layers)
        output = max(i for i, name in enumerate(names) if self.network.layers[name].kind == "dense")
        passing = ("exchange", "join", "dropout")
        return next(n for n in reversed(names[:output]) if self.network.layers[n].kind not in passing)

    def plan(self, batch: int, outputs: tuple[str, ...] = ()) -> Plan:
        """Return the inference plan for a batch size, made at the first use."""
        if (batch, outputs) not in self._plans:
            self._plans[batch, outputs] = plan = Plan(self.parameters, batch, "infer", outputs=outputs)
            plan.put_mean(self.mean)
        return self._plans[batch, outputs]

    def centre(self) -> tuple[int, int, int]:
        """Return the view of the centre crop: row, column, not mirrored."""
        first = self.network.centre.start
        return first, first, 0


def _name(source: ImageSource) -> str:
    """Return the name of an image in errors: its path, if it has one."""
    return str(source) if isinstance(source, str | Path) else "picture"
