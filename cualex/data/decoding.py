"""Decode many pictures at once: in threads, since Pillow leaves the interpreter to others while it decodes."""

import functools
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from cualex.data import colour_noise, images
from cualex.data.colour_noise import Components
from cualex.data.sources import Picture, Source
from cualex.errors import DataError, PictureError
from cualex.system.environment import cores

# Pictures that a thread decodes before it hands them over; with small ones handing over would cost more.
TASK = 32

Made = TypeVar("Made")


@dataclass(frozen=True)
class Progress:
    """How far decoding is: pictures done of the total, and how many of them could not be read.

    waiting: another process decodes the same pictures, and this one waits for it.
    """

    done: int
    total: int
    skipped: int
    waiting: bool = False


@dataclass(frozen=True, eq=False)
class Decoded:
    """The reading side of a split: what training and evaluation see of it.

    size: rows and columns of each picture.  labels: int32 (n,).  names: n names, in the order of the labels.
    skipped: (name, reason) of each picture that could not be read and is not among the n.
    mean: the mean picture, float32 (size, size, 3), RGB 0-255.  covariance: that of red, green and blue over all
    pixels of all pictures, (3, 3).  components: its principal components.  These three are None but for train.
    """

    size: int
    labels: np.ndarray
    names: tuple[str, ...]
    classes: tuple[str, ...]
    skipped: tuple[tuple[str, str], ...]
    mean: np.ndarray | None
    covariance: colour_noise.Matrix | None
    components: Components | None

    def __len__(self) -> int:
        """Count the pictures."""
        return len(self.labels)


def decode_one(picture: Picture, size: int) -> np.ndarray:
    """Read and decode a picture: uint8 (size, size, 3). Raise PictureError that carries the picture's name."""
    return images.load(picture.read(), size, picture.name)


def decode_split(
    source: Source, split: str, size: int, workers: int | None, keep: Callable[[np.ndarray], None]
) -> Generator[Progress, None, tuple[Decoded, tuple[Picture, ...]]]:
    """Decode a split in order, and call `keep` with each picture that can be read: what it holds, and those.

    The mean picture and the covariance of train come of sums of integers, so they are exact and no order changes them.

    Raise DataError when no picture of the split, or none of a class of train, can be read.
    """
    wanted = source.splits[split]
    good: list[Picture] = []
    skipped: list[tuple[str, str]] = []
    train = split == "train"
    total, squares = np.zeros((size, size, 3), np.int64), np.zeros((3, 3), np.int64)
    for task in in_order(wanted, workers or cores(), functools.partial(_decode, size=size, measure=train)):
        for picture, (made, products) in task:
            if isinstance(made, PictureError):
                skipped.append((picture.name, made.reason))
                continue
            keep(made)
            good.append(picture)
            if train:
                total += made
                squares += products
        yield Progress(len(good) + len(skipped), len(wanted), len(skipped))
    require(source, split, good, skipped)
    labels = np.array([picture.label for picture in good], np.int32)
    names = tuple(picture.name for picture in good)
    mean = covariance = components = None
    if train:
        mean = (total / len(good)).astype(np.float32)
        covariance = colour_noise.covariance(len(good) * size * size, total.sum(axis=(0, 1)), squares)
        components = colour_noise.components(covariance)
    made = Decoded(size, labels, names, source.classes, tuple(skipped), mean, covariance, components)
    return made, tuple(good)


def finish(work: Generator):
    """Run pack() or unpacked() to its end without a look at the progress, and return what it made."""
    while True:
        try:
            next(work)
        except StopIteration as end:
            return end.value


def in_order(
    wanted: Sequence[Picture], workers: int, work: Callable[[Picture], Made]
) -> Iterator[list[tuple[Picture, Made]]]:
    """Call `work` on each picture in threads; give the pictures with what it returns, in order, up to 32 at once.

    The threads are a few lists ahead of the reader, so that memory stays bounded.
    """
    task = max(1, min(TASK, len(wanted) // (4 * workers)))
    starts = iter(range(0, len(wanted), task))
    threads = ThreadPoolExecutor(workers, thread_name_prefix="decode")
    ahead = deque()
    try:
        while True:
            while len(ahead) < 2 * workers and (start := next(starts, None)) is not None:
                ahead.append(threads.submit(_each, work, wanted[start : start + task]))
            if not ahead:
                return
            yield ahead.popleft().result()
    finally:
        threads.shutdown(cancel_futures=True)


def _each(work: Callable[[Picture], Made], task: Sequence[Picture]) -> list[tuple[Picture, Made]]:
    return [(picture, work(picture)) for picture in task]


def _decode(picture: Picture, size: int, measure: bool) -> tuple[np.ndarray | PictureError, np.ndarray | None]:
    """Return the pixels or why there are none, and the sums of the products of the colours where they are wanted."""
    try:
        made = decode_one(picture, size)
    except PictureError as error:
        return error, None
    return made, colour_noise.products(made) if measure else None


def require(source: Source, split: str, good: list[Picture], skipped: list[tuple[str, str]]) -> None:
    """Raise DataError when no picture of the split, or none of a class of train, can be read.

    skipped: name and reason of each picture that could not be.
    """
    if not skipped:
        return
    first = ": ".join(skipped[0])
    if not good:
        what = f"none of the {len(skipped)} {split} images can be read; the first: {first}"
        raise DataError(f"{source.name}: {what}")
    if split == "train":
        empty = {picture.label for picture in source.splits[split]} - {picture.label for picture in good}
        if empty:
            name = source.classes[min(empty)]
            names = {picture.name for picture in source.splits[split] if picture.label == min(empty)}
            first = next(": ".join(pair) for pair in skipped if pair[0] in names)
            raise DataError(
                f"{source.name}: no training image of class {name} can be read; the first: {first}; "
                "repair them, or remove the class"
            )
