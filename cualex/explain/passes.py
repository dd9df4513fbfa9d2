"""Forward and backward passes of explanations: from pixels to a layer's output, and a gradient back to the pixels."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from cualex.plan import ExplainPlan
from cualex.plan.buffers import fitting
from cualex.plan.explain_builder import source
from cualex.weights.parameters import Parameters

BATCH = 16  # images in a plan, where there is more than one; the last batch is padded

Seed = Callable[[np.ndarray], np.ndarray]  # from the output of the layer to the gradient that is put in there


@dataclass(frozen=True)
class Found:
    """What passes have given: outputs and gradients by layer, and the gradient of the pixels.

    outputs, gradients: (images, channels, rows, columns).  pixels: (images, 3, crop, crop), a unit of output for each
    unit of a value from 0 to 255.
    """

    outputs: dict[str, np.ndarray]
    gradients: dict[str, np.ndarray]
    pixels: np.ndarray


class Passes:
    """The passes of one network, with its weights and mean image; plans are kept from call to call.

    Images are pixels (images, 3, crop, crop), RGB from 0 to 255, real numbers; the mean image is subtracted here.
    """

    def __init__(self, parameters: Parameters, mean: np.ndarray) -> None:
        """Take the parameters on their devices and the mean image (stored, stored, 3)."""
        self.parameters, self.network = parameters, parameters.network
        self.dtype = parameters.devices[0].master
        self.mean = self.crop(mean[None])[0].astype(self.dtype)
        self._scale = np.asarray(np.broadcast_to(self.network.scale, 3), self.dtype)[:, None, None]
        self._plans: dict[tuple[Any, ...], ExplainPlan] = {}

    def crop(self, images: np.ndarray) -> np.ndarray:
        """Return the centre crops of images (n, stored, stored, 3): (n, 3, crop, crop)."""
        centre = self.network.centre
        return images[:, centre, centre].transpose(0, 3, 1, 2)

    @property
    def scores(self) -> str:
        """Name of the layer whose output are the classes' scores: fc8 of alexnet, before the softmax."""
        return source(self.network, list(self.network.layers)[-2])

    def output(self, pixels: np.ndarray, layer: str) -> np.ndarray:
        """Return a layer's output: (images, channels, rows, columns)."""
        plan = self._plan(len(pixels), layer, (), (), False)
        parts = []
        for first in range(0, len(pixels), plan.batch):
            part = pixels[first : first + plan.batch]
            plan.put(self._read(part, plan.batch))
            plan.forward()
            parts.append(plan.output(layer)[: len(part)])
        return np.concatenate(parts)

    def gradient(
        self,
        pixels: np.ndarray,
        layer: str,
        seed: Seed,
        *,
        outputs: tuple[str, ...] = (),
        gradients: tuple[str, ...] = (),
        guided: bool = False,
    ) -> Found:
        """Return what a gradient at a layer's output, chosen by `seed` from that output, gives at the pixels.

        outputs, gradients: layers whose maps, and the gradients of whose maps, are returned as well; the output of
        `layer` always is.  guided: see `plan.ExplainPlan`.
        """
        plan = self._plan(len(pixels), layer, outputs, gradients, guided)
        read: dict[str, list[np.ndarray]] = {name: [] for name in (layer, *outputs)}
        kept: dict[str, list[np.ndarray]] = {name: [] for name in gradients}
        parts = []
        for first in range(0, len(pixels), plan.batch):
            count = len(pixels[first : first + plan.batch])
            plan.put(self._read(pixels[first : first + plan.batch], plan.batch))
            plan.forward()
            plan.put_gradient(seed(plan.output(layer)))
            plan.backward()
            for name, found in read.items():
                found.append(plan.output(name)[:count])
            for name, found in kept.items():
                found.append(plan.gradient(name)[:count])
            parts.append(plan.image_gradient()[:count] * self._scale)
        return Found(_joined(read), _joined(kept), np.concatenate(parts))

    def _read(self, pixels: np.ndarray, batch: int) -> np.ndarray:
        """Return pixels as the first layer reads them, filled up to a batch."""
        read = self._scale * (pixels.astype(self.dtype) - self.mean)
        return read if len(read) == batch else np.pad(read, [(0, batch - len(read)), *[(0, 0)] * 3])

    def _plan(
        self, count: int, layer: str, outputs: tuple[str, ...], gradients: tuple[str, ...], guided: bool
    ) -> ExplainPlan:
        def plan(batch: int) -> ExplainPlan:
            key = batch, layer, outputs, gradients, guided
            if key not in self._plans:
                settings: dict[str, Any] = {"outputs": outputs, "gradients": gradients, "guided": guided}
                self._plans[key] = ExplainPlan(self.parameters, batch, layer, **settings)
            return self._plans[key]

        return fitting(plan, BATCH if count > 1 else 1)


def _joined(parts: dict[str, list[np.ndarray]]) -> dict[str, np.ndarray]:
    """Put the parts of each layer one behind the other."""
    return {name: np.concatenate(every) for name, every in parts.items()}


def class_seed(index: int) -> Seed:
    """Return the seed of a class's score: 1 at the class, 0 at all others."""

    def seed(scores: np.ndarray) -> np.ndarray:
        given = np.zeros_like(scores)
        given[:, index] = 1
        return given

    return seed
