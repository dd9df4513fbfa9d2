"""A split that is decoded anew in every epoch: for a disk without room for a pack."""

from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from cualex.data.decoding import Decoded, Progress, decode_one, decode_split
from cualex.data.sources import Image, Source
from cualex.system.environment import cores


@dataclass(frozen=True, eq=False)
class Unpacked(Decoded):
    """A split that is decoded anew in every epoch.

    sources: its n images, all readable when it was opened.  decoding: the version, see image_kinds.py.
    """

    sources: tuple[Image, ...]
    decoding: int
    threads: ThreadPoolExecutor

    def read(self, indices: np.ndarray, out: np.ndarray) -> None:
        """Decode the images `indices` (k,) into `out`, uint8 (k, size, size, 3).

        Raise ImageError when a file is missing or damaged by now; no other image replaces it.
        """
        wanted = [self.sources[index] for index in indices]
        for row, made in enumerate(self.threads.map(lambda image: decode_one(image, self.size, self.decoding), wanted)):
            out[row] = made


def unpacked(
    source: Source, split: str, size: int, *, workers: int | None = None
) -> Generator[Progress, None, Unpacked]:
    """Decode a split once without keeping it: yield Progress, return an Unpacked.

    So images that cannot be read are known before training, as with a pack, and the mean image is the same. Raise
    DataError as pack() does.
    """
    decoded, images = yield from decode_split(source, split, size, workers, lambda image: None)
    threads = ThreadPoolExecutor(workers or cores(), thread_name_prefix="decode")
    return Unpacked(**vars(decoded), sources=images, decoding=source.decoding, threads=threads)
