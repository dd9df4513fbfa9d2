"""The methods of a model that show what it sees; `Model` has them all."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from functools import cached_property

import numpy as np

from cualex.data.images import ImageSource
from cualex.errors import UsageError
from cualex.explain import activation_maximisation, explanation
from cualex.explain.activation_maximisation import Dream
from cualex.explain.explanation import Explanation
from cualex.explain.neighbours import Embedding, Neighbour, nearest, principal_components
from cualex.explain.passes import Passes
from cualex.explain.receptive_fields import receptive_field
from cualex.explain.strongest import Strongest, check_count, largest
from cualex.networks import Network
from cualex.system.keywords import checked
from cualex.weights import initial
from cualex.weights.parameters import Parameters


class Explainable(ABC):
    """A model as its explanations need it: network, weights, class names, mean image, and a way to read images."""

    network: Network
    classes: list[str]
    mean: np.ndarray
    parameters: Parameters

    @abstractmethod
    def read(self, source: ImageSource) -> np.ndarray:
        """Return an image at the network's stored size."""

    @abstractmethod
    def _every(self, sources: Sequence[ImageSource], layer: str | None) -> Iterator[np.ndarray]:
        """Yield the output of a layer for every image."""

    @cached_property
    def _passes(self) -> Passes:
        return Passes(self.parameters, self.mean)

    @property
    def scores(self) -> str:
        """Name of the layer whose output are the classes' scores, before the softmax.

        >>> model.scores
        'fc8'
        """
        return self._passes.scores

    @property
    def untrained(self) -> list[str]:
        """Layers whose weights are random, as before a training: what is seen of them is chance.

        >>> model.untrained
        []
        """
        return initial.untrained(self.network, lambda name: self.parameters.gather(self.parameters.arrays, name))

    def maps(self, image: ImageSource, layer: str) -> np.ndarray:
        """Return the feature maps of one image at a layer, float32 (channels, rows, columns), towers concatenated.

            >>> model.maps("cat.jpg", "conv1").shape
            (48, 15, 15)
            >>> model.maps(image, "fc8").shape
            (10, 1, 1)

        image: as for `predict`. Raise ImageError where it cannot be read, UsageError for a layer that does not exist.
        """
        (maps,) = self._every([image], layer)
        return maps if maps.ndim == 3 else maps[:, None, None]

    @checked()
    def explain(
        self,
        image: ImageSource,
        cls: str | int | None = None,
        method: str = "saliency",
        *,
        layer: str | None = None,
        steps: int | None = None,
        patch: int | None = None,
        stride: int | None = None,
    ) -> Explanation:
        """Explain a class's score: which pixels of an image it comes from.

            >>> found = model.explain("cat.jpg", "cat", "grad-cam")
            >>> found
            Explanation(grad-cam of cat, score ...)
            >>> found.heat.shape, found.settings["layer"]
            ((67, 67), 'relu5')

        image: as for `predict`.  cls: a class's name or index; None: the likeliest.  method: "saliency",
        "guided-backpropagation", "grad-cam", "integrated-gradients" or "occlusion"; the beginning is enough. Options of
        methods: `layer` of Grad-CAM; `steps` of integrated gradients; `patch` and `stride` of occlusion, in pixels. The
        functions of cualex/explain/ have formulas and sources.

        Raise ImageError where the image cannot be read, UsageError for a class, a method or an option that does not
        exist.
        """
        options = {"layer": layer, "steps": steps, "patch": patch, "stride": stride}
        return explanation.explain(self._passes, self.classes, self.read(image), cls, method, **options)

    def strongest(self, layer: str, filter: int, images: Sequence[ImageSource], count: int = 9) -> list[Strongest]:
        """Return the images that excite a filter most, the strongest first, with the pixels that its unit sees.

            >>> best, other = model.strongest("conv5", 42, ["cat.jpg", "dog.jpg"])
            >>> best.activation > other.activation, best.patch.shape
            (True, (67, 67, 3))

        layer: of maps or dense.  filter: the channel, of both towers.  images: a list, each as for `predict`.  count:
        at most so many. Zeiler and Fergus (2013). Raise ImageError for the first image that cannot be read, UsageError
        for a layer or filter that does not exist.
        """
        check_count(count, 1, images)
        maps = (each if each.ndim == 3 else each[:, None, None] for each in self._every(images, layer))
        field, found = receptive_field(self.network, layer), []
        (strong,) = largest(maps, [filter], count)
        for index, activation, row, column in strong:
            crop = np.ascontiguousarray(self._passes.crop(self.read(images[index])[None])[0].transpose(1, 2, 0))
            box = field.box(row, column)
            found.append(Strongest(index, images[index], activation, row, column, box, crop))
        return found

    def dream(
        self,
        layer: str,
        filter: int,
        *,
        steps: int = 128,
        rate: float = 4.0,
        jitter: int = 4,
        blur: float = 0.5,
        decay: float = 0.01,
        seed: int = 0,
    ) -> Dream:
        """Make an image that excites a filter, by gradient ascent from the mean image with noise.

            >>> found = model.dream("conv4", 7, steps=20)
            >>> found.image.shape, bool(found.course[-1] > found.course[0])
            ((67, 67, 3), True)

        layer: not the softmax.  filter: the channel, of both towers.  steps: of the ascent; `course` has the activation
        before each.  rate: pixel values a step, of 255.  jitter: pixels by which the image is shifted at random.  blur:
        deviation of the Gaussian, in pixels, 0 for none.  decay: share by which each step draws the image to the mean.
        The seed determines the image. `explain.dream` has formula and sources.
        """
        settings = {"steps": steps, "rate": rate, "jitter": jitter, "blur": blur, "decay": decay, "seed": seed}
        return activation_maximisation.dream(self._passes, layer, filter, **settings)  # type: ignore[arg-type]

    def neighbours(
        self,
        image: ImageSource,
        images: Sequence[ImageSource],
        count: int = 5,
        *,
        layer: str | None = None,
        metric: str = "cosine",
        features: np.ndarray | None = None,
    ) -> list[Neighbour]:
        """Return the images that are nearest to an image by a layer's features, the nearest first.

            >>> nearest, other = model.neighbours("cat.jpg", ["dog.jpg", "cat.jpg"])
            >>> nearest.image, other
            ('cat.jpg', Neighbour(image 0, distance 0...))

        images: a list, each as for `predict`; among equals the earlier is nearer. Where the query is among them it is
        its own nearest, at distance 0 or nearly: ask for one more.  layer: by default the last hidden one, as in
        section 6.1 of the paper.  metric: "cosine" or "l2".  features: those of `images`, where `model.features` has
        made them already. Raise ImageError for the first that cannot be read.
        """
        check_count(count, 1, images)
        (query,) = self._every([image], layer)
        if features is None:
            features = np.stack(list(self._every(images, layer)))
        if len(features) != len(images):
            raise UsageError(f"expected features of {len(images)} images, got {len(features)}")
        return nearest(query, features, images, count, metric)

    def embedding(self, images: Sequence[ImageSource], layer: str | None = None, dimensions: int = 2) -> Embedding:
        """Return images as points of a plane, which lie apart where the network tells them apart: PCA of features.

            >>> found = model.embedding(["cat.jpg", "dog.jpg", "cat.jpg"])
            >>> found.points.shape
            (3, 2)
            >>> found.explained.round(3)
            array([1., 0.])

        layer: by default the last hidden one.  `explained` is the share of the variance along each dimension. Raise
        ImageError for the first image that cannot be read.
        """
        check_count(len(images), 1, images)
        features = np.stack(list(self._every(images, layer)))
        return principal_components(features, dimensions)
