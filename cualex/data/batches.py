"""Batches as pure functions of a position: the endless training stream, and a split in order for evaluation."""

import functools
from collections.abc import Callable, Iterator, Sized
from typing import Any

import numpy as np

from cualex.data.colour_noise import Noise
from cualex.data.prefetch import Prefetcher
from cualex.data.split import Split, centre
from cualex.errors import DataError, UsageError
from cualex.random import philox

CROPS = (1, 10)  # views of an image that can be averaged at test time


class Stream:
    """The training images, epoch after epoch without end: every batch is full.

    A position counts images from the start of training. The image at a position follows from (seed, position) alone:
    position // n is the epoch, which has an order of the n images, and crop, mirror and colour noise are drawn by
    (epoch, image). So a resumed run needs the position and nothing else, whatever the batch size.

    crop: rows and columns that the network sees.  augment: random crops and mirror images, as in section 4.1 of the
    paper; without, the centre crop.  noise: the colour noise, or None.
    """

    def __init__(self, pack: Split, seed: int, crop: int, augment: bool = True, noise: Noise | None = None) -> None:
        """Keep the arguments; nothing is read yet."""
        self.pack, self.seed, self.crop, self.augment, self.noise = pack, seed, crop, augment, noise
        # A batch may span two epochs, so the orders of two are kept.
        self._order = functools.lru_cache(maxsize=2)(self._draw_order)

    def fill(
        self, position: int, images: np.ndarray, views: np.ndarray, labels: np.ndarray, colours: np.ndarray
    ) -> None:
        """Write the batch at `position`.

        images: uint8 (batch, size, size, 3).  views: int32 (batch, 3), row and column of the crop's corner and
        1 for a mirror image.  labels: int32 (batch,).  colours: float32 (batch, 3), added to red, green and blue.
        """
        self.pack.read(self.chosen(position, len(labels)), images)
        self.draw(position, views, labels, colours)

    def draw(self, position: int, views: np.ndarray, labels: np.ndarray, colours: np.ndarray) -> None:
        """Write what `fill` does, but for the images."""
        done = 0
        for epoch, chosen in self._parts(position, len(labels)):
            part = slice(done, done + len(chosen))
            views[part] = self._views(epoch, chosen)
            labels[part] = self.pack.labels[chosen]
            colours[part] = 0 if self.noise is None else self.noise.draw(self.seed, epoch, chosen)
            done += len(chosen)

    def chosen(self, position: int, count: int) -> np.ndarray:
        """Return the indices in the pack of the `count` images from `position` on: (count,)."""
        return np.concatenate([chosen for _, chosen in self._parts(position, count)])

    def _parts(self, position: int, count: int) -> Iterator[tuple[int, np.ndarray]]:
        """Divide a batch by epochs: yield (epoch, indices of its images)."""
        while count:
            epoch, start = divmod(position, len(self.pack))
            chosen = self._order(epoch)[start : start + count]
            yield epoch, chosen
            position, count = position + len(chosen), count - len(chosen)

    def _draw_order(self, epoch: int) -> np.ndarray:
        """Return the order of the n images in an epoch: sorted by random numbers of 64 bits."""
        words = philox.words(self.seed, philox.ORDER, 0, epoch, 2 * len(self.pack)).astype(np.uint64)
        return np.argsort(words[0::2] << np.uint64(32) | words[1::2], kind="stable")

    def _views(self, epoch: int, chosen: np.ndarray) -> np.ndarray:
        if not self.augment:
            return fixed_views(self.pack.size, self.crop, 1)
        words = philox.blocks(self.seed, philox.VIEWS, 0, epoch, chosen).astype(np.uint64)
        # word * choices / 2**32 is uniform over the choices, to within 2**-32.
        offsets = self.pack.size - self.crop + 1
        choices = np.array([[offsets], [offsets], [2]], np.uint64)
        return (words[:3] * choices >> np.uint64(32)).T


class Sequence:
    """A split in order; the last batch is padded with label -1, which is not counted.

    Iterate to get (images, labels) as Stream.fill writes them, valid until the next; a thread prefetches them.
    staging: makes the arrays, in memory that the device reads by itself.  first, every: go through every
    so many batches, from the `first` on.
    """

    def __init__(
        self,
        pack: Split,
        batch: int,
        staging: Callable[[tuple[int, ...], Any], np.ndarray] = np.empty,
        first: int = 0,
        every: int = 1,
    ) -> None:
        """Keep the arguments; nothing is read yet."""
        self.pack, self.batch, self._staging, self._first, self._every = pack, batch, staging, first, every

    def __len__(self) -> int:
        """Count the batches of the split."""
        return -(-len(self.pack) // self.batch)

    def __iter__(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Go through the split once."""
        start, stride = self._first * self.batch, self._every * self.batch
        kept = {"start": start, "stop": len(self.pack), "stride": stride}
        with Prefetcher(self, self.batch, staging=self._staging, **kept) as prefetcher:
            for images, _, labels, _ in prefetcher:
                yield images, labels

    def fill(
        self, position: int, images: np.ndarray, views: np.ndarray, labels: np.ndarray, colours: np.ndarray
    ) -> None:
        """Write images and labels of the batch that starts with image `position`; the reader chooses the views."""
        chosen = np.arange(position, min(position + len(labels), len(self.pack)))
        self.pack.read(chosen, images[: len(chosen)])
        images[len(chosen) :] = 0
        labels[: len(chosen)] = self.pack.labels[chosen]
        labels[len(chosen) :] = -1


def check_batch(pack: Sized, batch: int) -> None:
    """Raise DataError when a batch is larger than the training set: it would hold images twice."""
    if batch > len(pack):
        raise DataError(
            f"batch size {batch} is larger than the training set of {len(pack)} images; "
            f"use --batch-size {len(pack)} or less"
        )


def views(size: int, crop: int) -> int:
    """Count the views of an image: all offsets of the crop, the last included, and their mirror images.

    1,800 of 227 in 256 pixels and 2,178 of 224. The paper says 2,048, which leaves out the last offset of 224.
    """
    return 2 * (size - crop + 1) ** 2


def fixed_views(size: int, crop: int, crops: int) -> np.ndarray:
    """Return the views at test time, int32 (crops, 3): the centre crop, or ten crops.

    Ten are those of section 4.1 of the paper, in the order of the 2012 code: upper left, upper right, centre, lower
    left, lower right, and then their mirror images. A centre between two pixels is rounded up and left.
    """
    if crops not in CROPS:
        raise UsageError(f"{crops} crops: expected {' or '.join(map(str, CROPS))}")
    middle, last = centre(size, crop).start, size - crop
    corners = ((0, 0), (0, last), (middle, middle), (last, 0), (last, last))
    seen = [(middle, middle, 0)] if crops == 1 else [(*corner, mirror) for mirror in (0, 1) for corner in corners]
    return np.array(seen, np.int32)
