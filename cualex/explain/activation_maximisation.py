"""Activation maximisation: an image that excites one filter, made by gradient ascent from noise."""

from dataclasses import dataclass

import numpy as np

from cualex.errors import UsageError
from cualex.explain.passes import Passes


@dataclass(frozen=True, eq=False)
class Dream:
    """An image that excites a filter: uint8 (crop, crop, 3), and its activation before each step and at the end."""

    image: np.ndarray
    course: np.ndarray

    def __repr__(self) -> str:
        return f"Dream(activation {self.course[0]:.3g} to {self.course[-1]:.3g} in {len(self.course) - 1} steps)"


def dream(
    passes: Passes,
    layer: str,
    channel: int,
    *,
    steps: int = 128,
    rate: float = 4.0,
    jitter: int = 4,
    blur: float = 0.5,
    decay: float = 0.01,
    seed: int = 0,
) -> Dream:
    """Make an image that excites a filter of a layer: the mean of its map, or the unit of a dense layer.

        x <- x + rate * g / (RMS of g),    g = d mean(A[channel]) / dx
        x <- mean + (1 - decay) (x - mean), then blurred, then cut to 0..255

    x starts as the mean image with noise of deviation 10. Before each step x is rolled by up to `jitter` pixels each
    way, and back after it, so that no pixel is tied to the strides of the network. `blur`, every fourth step, is the
    deviation of a Gaussian in pixels; `decay` draws x to the mean image. Erhan et al. (2009), Simonyan et al. (2013);
    blur and decay: Yosinski et al. (2015).

    The same seed gives the same image on one type of machine. Raise UsageError for a filter that does not exist.
    """
    if steps < 1 or jitter < 0 or blur < 0 or not 0 <= decay < 1:
        raise UsageError(
            f"expected steps of 1 or more, jitter and blur of 0 or more and a decay from 0 to 1; got steps {steps}, "
            f"jitter {jitter}, blur {blur}, decay {decay}"
        )
    rng, side, mean = np.random.default_rng(seed), passes.network.crop, passes.mean.astype(np.float64)

    def upwards(maps: np.ndarray) -> np.ndarray:
        if not 0 <= channel < maps.shape[1]:
            raise UsageError(f"filter {channel} of {layer}: expected a number from 0 to {maps.shape[1] - 1}")
        given = np.zeros_like(maps)
        given[:, channel] = 1 / maps[0, 0].size
        return given

    x = np.clip(mean + rng.normal(0, 10, (3, side, side)), 0, 255)
    course = []
    for step in range(steps):
        down, across = rng.integers(-jitter, jitter + 1, 2).tolist()
        found = passes.gradient(np.roll(x, (down, across), (1, 2))[None], layer, upwards)
        course.append(float(found.outputs[layer][0, channel].mean()))
        gradient = np.roll(found.pixels[0].astype(np.float64), (-down, -across), (1, 2))
        size = np.sqrt(np.square(gradient).mean())
        if size > 0:
            x = x + rate * gradient / size
        x = mean + (1 - decay) * (x - mean)
        if blur and step % 4 == 3:
            x = blurred(x, blur)
        x = np.clip(x, 0, 255)
    image = np.rint(x).astype(np.uint8)
    course.append(float(passes.output(image[None].astype(passes.dtype), layer)[0, channel].mean()))
    return Dream(np.ascontiguousarray(image.transpose(1, 2, 0)), np.array(course))


def blurred(x: np.ndarray, deviation: float) -> np.ndarray:
    """Blur (channels, rows, columns) by a Gaussian of that deviation in pixels; the edges are repeated."""
    reach = max(1, int(np.ceil(3 * deviation)))
    weights = np.exp(-0.5 * np.square(np.arange(-reach, reach + 1) / deviation))
    weights /= weights.sum()
    for axis in (1, 2):
        length = x.shape[axis]
        padded = np.pad(x, [(reach, reach) if each == axis else (0, 0) for each in range(3)], mode="edge")
        parts = (weight * padded.take(range(i, i + length), axis) for i, weight in enumerate(weights.tolist()))
        x = sum(parts, np.zeros_like(x))
    return x
