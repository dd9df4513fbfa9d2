"""Explanations that are gradients of a class's score S at the pixels: saliency, guided, integrated.

Each function takes pixels (3, crop, crop) from 0 to 255 and the index of a class, and returns values of that shape with
what it found beside them.
"""

from typing import Any

import numpy as np

from cualex.errors import UsageError
from cualex.explain.passes import Passes, class_seed


def saliency(passes: Passes, pixels: np.ndarray, index: int) -> tuple[np.ndarray, dict[str, Any]]:
    """Return dS/dx: how the score changes with each colour of each pixel, by the value of 1 of 255.

    Simonyan, Vedaldi and Zisserman (2013), who draw the largest absolute value of the three colours.
    """
    return _gradient(passes, pixels, index, guided=False)


def guided_backpropagation(passes: Passes, pixels: np.ndarray, index: int) -> tuple[np.ndarray, dict[str, Any]]:
    """Return the gradient of which every activation passes on the positive part alone.

        dx = dy where y > 0 and dy > 0, else 0

    Springenberg, Dosovitskiy, Brox and Riedmiller (2014). Sharp, but less of the class than of the image: Adebayo et
    al. (2018) found that it hardly changes where the upper layers' weights are drawn anew.
    """
    return _gradient(passes, pixels, index, guided=True)


def _gradient(passes: Passes, pixels: np.ndarray, index: int, guided: bool) -> tuple[np.ndarray, dict[str, Any]]:
    found = passes.gradient(pixels[None], passes.scores, class_seed(index), guided=guided)
    return found.pixels[0], {"score": float(found.outputs[passes.scores][0, index, 0, 0])}


def integrated_gradients(
    passes: Passes, pixels: np.ndarray, index: int, steps: int = 64
) -> tuple[np.ndarray, dict[str, Any]]:
    """Return the share of each colour of each pixel in the difference of scores between the image and a baseline.

        values = (x - x') * 1/steps * SUM over k = 1..steps of dS/dx at x' + (k - 1/2) / steps * (x - x')

    The baseline x' is the mean image, of which the network sees zeros; the sum is the midpoint rule of the integral of
    Sundararajan, Taly and Yan (2017). Complete: all values add up to S(x) - S(x'), but for the sum's own error.

    Beside the values: baseline_score, S(x'), and error, by how much they miss S(x) - S(x'). More steps make it smaller.
    """
    if steps < 1:
        raise UsageError(f"steps must be 1 or more, got {steps}")
    scores, seed = passes.scores, class_seed(index)
    path = (pixels - passes.mean).astype(passes.dtype)
    total = np.zeros(path.shape, np.float64)
    for first in range(0, steps, 16):
        shares = (np.arange(first, min(first + 16, steps)) + 0.5) / steps
        points = passes.mean + shares.astype(passes.dtype)[:, None, None, None] * path
        total += passes.gradient(points, scores, seed).pixels.sum(axis=0, dtype=np.float64)
    values = path * (total / steps)
    ends = passes.output(np.stack([pixels.astype(passes.dtype), passes.mean]), scores)[:, index, 0, 0].astype(float)
    error = float(values.sum() - (ends[0] - ends[1]))
    return values, {"score": float(ends[0]), "baseline_score": float(ends[1]), "steps": steps, "error": error}
