"""Occlusion: by how much a class's score falls where a patch of the image is covered."""

from typing import Any

import numpy as np

from cualex.errors import UsageError
from cualex.explain.passes import BATCH, Passes


def occlusion(
    passes: Passes, pixels: np.ndarray, index: int, patch: int | None = None, stride: int | None = None
) -> tuple[np.ndarray, dict[str, Any]]:
    """Return how much the score falls where a pixel is covered, (crop, crop).

        value[i, j] = mean over the patches that cover i, j of S(x) - S(x with the mean image in the patch)

    Patches are squares of `patch` pixels, by default a quarter of the crop, `stride` apart, by default half a patch;
    the last ones end with the image. Zeiler and Fergus (2013), who cover with grey; the network sees zeros here.

    Beside the values: patch, stride, and falls, (rows, columns) of S(x) - S(covered) of every patch.
    """
    side = pixels.shape[1]
    patch = max(1, side // 4) if patch is None else patch
    stride = max(1, patch // 2) if stride is None else stride
    if not 1 <= patch <= side:
        raise UsageError(f"patch must have 1 to {side} pixels a side, got {patch}")
    if stride < 1:
        raise UsageError(f"stride must be 1 or more, got {stride}")
    firsts = sorted({*range(0, side - patch, stride), side - patch})
    places = [(row, column) for row in firsts for column in firsts]
    (score,) = passes.output(pixels[None].astype(passes.dtype), passes.scores)[:, index, 0, 0].tolist()
    falls = []
    for first in range(0, len(places), BATCH):
        own = places[first : first + BATCH]
        covered = np.repeat(pixels[None].astype(passes.dtype), len(own), axis=0)
        for image, (row, column) in zip(covered, own, strict=True):
            part = np.s_[:, row : row + patch, column : column + patch]
            image[part] = passes.mean[part]
        found = passes.output(covered, passes.scores)[:, index, 0, 0]
        falls += (score - found.astype(float)).tolist()
    total, count = np.zeros((side, side)), np.zeros((side, side))
    for (row, column), fall in zip(places, falls, strict=True):
        total[row : row + patch, column : column + patch] += fall
        count[row : row + patch, column : column + patch] += 1
    # A stride beyond the patch leaves pixels that no patch covers: nothing is known of them.
    values = np.divide(total, count, out=np.zeros_like(total), where=count > 0)
    shape = len(firsts), len(firsts)
    return values, {"score": score, "patch": patch, "stride": stride, "falls": np.reshape(falls, shape)}
