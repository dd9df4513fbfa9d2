"""Augmentation that makes small images look like photographs: the bundled network is trained with it.

CIFAR-10's subjects fill the image, and it holds 32x32 pixels of detail. A photograph resized to the network's input is
sharper, and its subject is smaller and off the centre. So most training images are framed anew: the image is padded by
reflection, a rectangle of 0.7 to 1.8 times its side is cropped, resampled, and sharpened or blurred; the rest stay as
they are. The variant of an image is a pure function of (seed, image, variant).
"""

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from PIL import Image, ImageFilter

from cualex.data.images import square
from cualex.data.split import Split
from cualex.random import philox

VARIANTS = 8  # of each image, of which
PLAIN = 2  # are the image itself
ZOOM = (0.7, 1.8)  # side of the rectangle in sides of the image, drawn evenly in its logarithm
ASPECT = 1.25  # width to height, at the most; and its inverse
SHIFT = 0.6  # how far off the centre the rectangle may lie, as a share of what its size makes room for
JITTER = 2.0  # and pixels of the image that are added to it
FILTERS = (Image.Resampling.BILINEAR, Image.Resampling.BICUBIC, Image.Resampling.LANCZOS)
SHARPENED, BLURRED = 0.3, 0.3  # shares of the images framed anew
RADIUS = (0.3, 1.0)  # pixels of the small image, of sharpening and blurring alike


@dataclass(frozen=True, eq=False)
class Framed:
    """A view of a split of n small images as one of larger images, `VARIANTS` of an image.

    pack: the small images.  size: rows and columns of the larger.  Image `i` is variant i // n of image i % n.
    """

    pack: Split
    size: int
    seed: int = 0
    skipped: tuple[tuple[str, str], ...] = field(default=())

    def __len__(self) -> int:
        """Count the images."""
        return VARIANTS * len(self.pack)

    def __getattr__(self, name: str) -> Any:
        """Return an attribute that framing does not change: classes, components of colour."""
        if name == "pack":
            raise AttributeError(name)
        return getattr(self.pack, name)

    @cached_property
    def labels(self) -> np.ndarray:
        """Labels: int32 (VARIANTS n,)."""
        return np.tile(self.pack.labels, VARIANTS)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Names of the images."""
        return tuple(self.pack.names) * VARIANTS

    @cached_property
    def mean(self) -> np.ndarray:
        """Mean of the images that are not framed anew: float32 (size, size, 3)."""
        assert self.pack.mean is not None  # train has one
        return enlarged_mean(self.pack.mean, self.size)

    def read(self, indices: np.ndarray, out: np.ndarray) -> None:
        """Write the images `indices` (k,) into `out`, uint8 (k, size, size, 3)."""
        variants, images = np.divmod(indices, len(self.pack))
        small = np.empty((len(indices), self.pack.size, self.pack.size, 3), np.uint8)
        self.pack.read(images, small)
        # Two blocks of four numbers from 0 to 1 an image.
        words = [philox.blocks(self.seed, philox.FRAMING, part, 0, indices) for part in (0, 1)]
        drawn = (np.concatenate(words).T / 2.0**32).tolist()
        for row, variant in enumerate(variants.tolist()):
            plain = variant < PLAIN
            out[row] = square(small[row], self.size) if plain else framed(small[row], self.size, drawn[row])


def framed(image: np.ndarray, size: int, drawn: list[float]) -> np.ndarray:
    """Frame an image (side, side, 3) uint8 anew: uint8 (size, size, 3).

    drawn: numbers from 0 to 1 for zoom, aspect, position (x, y), filter, sharpness and its radius.
    """
    side = len(image)
    reflected = np.r_[side - 1 : -1 : -1, 0:side, side - 1 : -1 : -1]  # the image between its mirror images
    canvas = Image.fromarray(_focused(image, *drawn[5:7])[reflected][:, reflected])
    zoom = ZOOM[0] * (ZOOM[1] / ZOOM[0]) ** drawn[0]
    aspect = ASPECT ** (2 * drawn[1] - 1)
    box = []
    for extent, position in ((zoom * aspect**0.5, drawn[2]), (zoom / aspect**0.5, drawn[3])):
        extent = min(extent * side, 2.75 * side)
        reach = SHIFT * abs(extent - side) / 2 + JITTER
        middle = 1.5 * side + (2 * position - 1) * reach
        first = min(max(middle - extent / 2, 0), 3 * side - extent)
        box.append((first, first + extent))
    (left, right), (top, bottom) = box
    return np.asarray(
        canvas.resize((size, size), FILTERS[int(drawn[4] * len(FILTERS))], box=(left, top, right, bottom))
    )


def _focused(image: np.ndarray, kind: float, radius: float) -> np.ndarray:
    """Sharpen or blur an image, or leave it, by two numbers from 0 to 1; while it is small, in a fifth of the time."""
    radius = RADIUS[0] + (RADIUS[1] - RADIUS[0]) * radius
    change: ImageFilter.Filter
    if kind < SHARPENED:
        change = ImageFilter.UnsharpMask(radius, percent=150, threshold=0)
    elif kind < SHARPENED + BLURRED:
        change = ImageFilter.GaussianBlur(radius)
    else:
        return image
    return np.asarray(Image.fromarray(image).filter(change))


def enlarged_mean(mean: np.ndarray, size: int) -> np.ndarray:
    """Resize a mean image (side, side, 3) float32 to (size, size, 3), as images are resized."""
    bands = [
        Image.fromarray(np.ascontiguousarray(band)).resize((size, size), Image.Resampling.BILINEAR)
        for band in np.moveaxis(mean, 2, 0)
    ]
    return np.stack([np.asarray(band) for band in bands], axis=2)
