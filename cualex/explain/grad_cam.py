"""Grad-CAM: which places of the last convolution's maps speak for a class."""

from typing import Any

import numpy as np

from cualex.errors import UsageError
from cualex.explain.passes import Passes, class_seed
from cualex.networks import Network


def last_maps(network: Network) -> str:
    """Return the layer that Grad-CAM reads: the activation of the last convolution, relu5 of alexnet."""
    names = list(network.layers)
    last = max(i for i, name in enumerate(names) if network.layers[name].kind == "conv")
    above = next((i for i in range(last + 1, len(names)) if network.layers[names[i]].kind != "batchnorm"), last)
    return names[above] if network.layers[names[above]].kind in ("relu", "activation") else names[last]


def grad_cam(
    passes: Passes, pixels: np.ndarray, index: int, layer: str | None = None
) -> tuple[np.ndarray, dict[str, Any]]:
    """Return the heat of each pixel, (crop, crop), 0 or more.

        weight[k] = mean over i, j of dS/dA[k, i, j]        heat[i, j] = max(0, SUM over k of weight[k] A[k, i, j])

    A are the maps of `layer`, of both towers, by default of the last convolution after its activation. Selvaraju et al.
    (2017). The heat is as coarse as the maps, 13 x 13 in alexnet, and interpolated to the crop (bilinear).

    Beside it: layer, and coarse, the heat of the maps.
    """
    layer, scores = layer or last_maps(passes.network), passes.scores
    found = passes.gradient(pixels[None], scores, class_seed(index), outputs=(layer,), gradients=(layer,))
    maps, slope = found.outputs[layer][0], found.gradients[layer][0]
    if maps.shape[1:] == (1, 1):
        raise UsageError(f"Grad-CAM needs a layer with maps; {layer} has one value a channel")
    weights = slope.mean(axis=(1, 2))
    coarse = np.maximum(np.einsum("k,kij->ij", weights, maps), 0)
    score = float(found.outputs[scores][0, index, 0, 0])
    return resize(coarse, passes.network.crop), {"score": score, "layer": layer, "coarse": coarse}


def resize(values: np.ndarray, side: int) -> np.ndarray:
    """Interpolate (rows, columns) to (side, side), bilinear between the centres of the values, constant beyond."""
    for axis in (0, 1):
        length = values.shape[axis]
        at = np.clip((np.arange(side) + 0.5) * length / side - 0.5, 0, length - 1)
        low = np.minimum(at.astype(int), max(length - 2, 0))
        share = (at - low).reshape((-1, 1) if axis == 0 else (1, -1))
        high = np.minimum(low + 1, length - 1)
        values = np.take(values, low, axis) * (1 - share) + np.take(values, high, axis) * share
    return values
