"""Occlusion: by how much a class's score falls where a patch of the image is covered."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from cualex.errors import UsageError
from cualex.explain.passes import BATCH, Passes

Square = tuple[int, int, int]  # top, left and side in pixels; it may reach beyond the image's edges


def cover(image: np.ndarray, mean: np.ndarray, square: Square) -> None:
    """Put the mean image into a square of an image, both (rows, columns, 3), in place."""
    top, left, side = square
    part = tuple(slice(max(0, first), max(0, first + side)) for first in (top, left))
    image[part] = mean[part]


def falls(
    scores: Callable[[np.ndarray], np.ndarray],
    image: np.ndarray,
    mean: np.ndarray,
    squares: Sequence[Square],
    batch: int = BATCH,
) -> tuple[float, Iterator[list[float]]]:
    """Return S(x), and for each batch of squares S(x) - S(x with the mean image in the square).

    scores: gives S of images (n, rows, columns, 3).  image, mean: (rows, columns, 3).
    """
    (score,) = scores(image[None]).tolist()

    def each() -> Iterator[list[float]]:
        for first in range(0, len(squares), batch):
            own = squares[first : first + batch]
            covered = np.repeat(image[None], len(own), axis=0)
            for one, square in zip(covered, own, strict=True):
                cover(one, mean, square)
            yield (score - scores(covered).astype(float)).tolist()

    return score, each()


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
    squares = [(row, column, patch) for row in firsts for column in firsts]

    def scores(images: np.ndarray) -> np.ndarray:
        return passes.output(images.transpose(0, 3, 1, 2), passes.scores)[:, index, 0, 0]

    image, mean = (each.transpose(1, 2, 0) for each in (pixels.astype(passes.dtype), passes.mean))
    score, parts = falls(scores, image, mean, squares)
    every = [fall for part in parts for fall in part]
    total, count = np.zeros((side, side)), np.zeros((side, side))
    for (row, column, _), fall in zip(squares, every, strict=True):
        total[row : row + patch, column : column + patch] += fall
        count[row : row + patch, column : column + patch] += 1
    # A stride beyond the patch leaves pixels that no patch covers: nothing is known of them.
    values = np.divide(total, count, out=np.zeros_like(total), where=count > 0)
    shape = len(firsts), len(firsts)
    return values, {"score": score, "patch": patch, "stride": stride, "falls": np.reshape(every, shape)}
