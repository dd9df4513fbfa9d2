"""What can be changed in a network: how wide it is, how it normalises and pools, and how its weights begin."""

from collections.abc import Mapping
from dataclasses import replace
from typing import TypeVar

from cualex.layers import LRN, BatchNorm, Layer, MaxPool, SpatialLRN

T = TypeVar("T")
WIDEST = 2**20  # filters or units of a layer
UNSCALED = "-unscaled"
NORMS: dict[str, Layer | None] = {
    "across": LRN(),
    "within": SpatialLRN(k=LRN.k, alpha=LRN.alpha),
    "batch": BatchNorm(),
    "none": None,
}
INITIAL: dict[
    str, tuple[float | None, float | None]
] = {  # deviations of weights in general, and of those in conv3 to conv5; None for Glorot's
    "2012": (0.01, 0.03),
    "paper": (0.01, 0.01),
    "glorot": (None, None),
}


def scaled(count: float, width: float, towers: int = 1) -> int:
    """Return `width` times a count of filters or units, in each of so many equal parts, and at least one."""
    if not 0 < width <= WIDEST / count:
        raise ValueError(f"expected a width above 0, at most {WIDEST / count:g}, got {width}")
    return max(1, round(count * width / towers))


def normalisation(norm: str, scale: float = 1.0) -> Layer | None:
    """Return the layer that normalises: LRN "across" channels, the same numbers "within" one, "batch"; or "none".

    The numbers are the paper's, for images from 0 to 255. Where images are multiplied by a small `scale`, squares
    are scale^2 times as small, and LRN only divides by k^beta. "across-unscaled" and "within-unscaled" have an alpha
    that is 1 / scale^2 times the paper's, and normalise such images as the paper's does its own.
    """
    layer = one_of(NORMS, "normalisation", norm.removesuffix(UNSCALED))
    if not norm.endswith(UNSCALED):
        return layer
    if not isinstance(layer, LRN):
        raise ValueError(f"normalisation {norm!r}: only across and within can be {UNSCALED[1:]}")
    return replace(layer, alpha=layer.alpha / scale**2)


def pooling(size: int) -> MaxPool:
    """Return a pool of windows `size` by `size`, each two pixels from the next: 3 overlap, 2 do not."""
    if size not in (2, 3):
        raise ValueError(f"expected pooling windows of 3 (overlapping) or 2 (not overlapping), got {size}")
    return MaxPool(size=size, stride=2)


def deviations(initial: str) -> tuple[float | None, float | None]:
    """Return the deviation of initial weights, in general and in conv3 to conv5.

    As the code of "2012" had them; as the "paper" says, 0.01 everywhere; or Glorot's, for which both are None.
    """
    return one_of(INITIAL, "initial weights", initial)


def one_of(table: Mapping[str, T], what: str, name: str) -> T:
    """Return the entry of a table; raise ValueError that names the entries for a name that is not there."""
    if name not in table:
        raise ValueError(f"{what} {name!r}: expected {', '.join(table)}")
    return table[name]
