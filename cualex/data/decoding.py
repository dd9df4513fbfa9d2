"""Decode many images at once, in threads: Pillow releases the interpreter lock while it decodes."""

import functools
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np

from cualex.data import colour_noise, images
from cualex.data.colour_noise import Components
from cualex.data.image_kinds import DECODING
from cualex.data.images import ImageSource
from cualex.data.sources import Image, Source
from cualex.errors import DataError, ImageError
from cualex.system.environment import cores

# Images a task, at most; with fewer, small images would spend their time on synchronisation.
TASK = 32

Made = TypeVar("Made")


@dataclass(frozen=True)
class Progress:
    """Progress of decoding: images done, total, and skipped because they cannot be read.

    waiting: another process decodes the same images, and this one waits for it.
    """

    done: int
    total: int
    skipped: int
    waiting: bool = False


@dataclass(frozen=True, eq=False)
class Decoded:
    """What decoding a split gives besides the pixels; see `Split` (data/split.py) for the fields.

    noted: (name, note) of the images with a colour profile that cannot be applied.
    """

    size: int
    labels: np.ndarray
    names: tuple[str, ...]
    classes: tuple[str, ...]
    skipped: tuple[tuple[str, str], ...]
    mean: np.ndarray | None
    covariance: colour_noise.Matrix | None
    components: Components | None
    noted: tuple[tuple[str, str], ...] = field(default=(), kw_only=True)

    def __len__(self) -> int:
        """Count the images."""
        return len(self.labels)


def decode_one(image: Image, size: int, decoding: int = DECODING) -> np.ndarray:
    """Read and decode an image: uint8 (size, size, 3). Raise ImageError with the image's name."""
    return images.load(image.read(), size, image.name, decoding=decoding)


def decode_split(
    source: Source, split: str, size: int, workers: int | None, keep: Callable[[np.ndarray], object]
) -> Generator[Progress, None, tuple[Decoded, tuple[Image, ...]]]:
    """Decode a split in order and call `keep` with every decoded image; return the Decoded and those images.

    Mean image and covariance of train are sums of integers, so they are exact, whatever the order.

    Raise DataError when no image of the split, or none of a class of train, can be read.
    """
    wanted = source.splits[split]
    good: list[Image] = []
    skipped: list[tuple[str, str]] = []
    noted: list[tuple[str, str]] = []
    train = split == "train"
    total, squares = np.zeros((size, size, 3), np.int64), np.zeros((3, 3), np.int64)
    work = functools.partial(_decode, size=size, measure=train, decoding=source.decoding)
    for task in in_order(wanted, workers or cores(), work):
        for image, (made, products, note) in task:
            if note:
                noted.append((image.name, note))
            if isinstance(made, ImageError):
                skipped.append((image.name, made.reason))
                continue
            keep(made)
            good.append(image)
            if products is not None:
                total += made
                squares += products
        yield Progress(len(good) + len(skipped), len(wanted), len(skipped))
    require(source, split, good, skipped)
    labels = np.array([image.label for image in good], np.int32)
    names = tuple(image.name for image in good)
    mean: np.ndarray | None = None
    covariance = components = None
    if train:
        mean = (total / len(good)).astype(np.float32)
        covariance = colour_noise.covariance(len(good) * size * size, total.sum(axis=(0, 1)), squares)
        components = colour_noise.components(covariance)
    decoded = Decoded(
        size, labels, names, source.classes, tuple(skipped), mean, covariance, components, noted=tuple(noted)
    )
    return decoded, tuple(good)


def decode_ahead(
    sources: Sequence[tuple[str, ImageSource | ImageError]], size: int, batch: int
) -> Iterator[list[np.ndarray | ImageError]]:
    """Decode (name, image) in threads: yield lists of up to `batch`, of uint8 (size, size, 3) or the ImageError.

    The next list is decoded meanwhile. An ImageError for an image is kept as it is.
    """

    def read(named: tuple[str, ImageSource | ImageError]) -> np.ndarray | ImageError:
        name, source = named
        try:
            return source if isinstance(source, ImageError) else images.load(source, size, name)
        except ImageError as error:
            return error

    parts = [sources[first : first + batch] for first in range(0, len(sources), batch)]
    with ThreadPoolExecutor(cores(), thread_name_prefix="read") as threads:
        queued = deque(threads.map(read, part) for part in parts[:1])
        for number in range(len(parts)):
            queued.extend(threads.map(read, part) for part in parts[number + 1 : number + 2])
            yield list(queued.popleft())


def finish(work: Generator[Any, None, Made]) -> Made:
    """Run pack() or unpacked() to the end, ignoring the progress; return the pack."""
    while True:
        try:
            next(work)
        except StopIteration as end:
            return end.value


def in_order(
    wanted: Sequence[Image], workers: int, work: Callable[[Image], Made]
) -> Iterator[list[tuple[Image, Made]]]:
    """Map `work` over images in threads; yield lists of (image, result), in order, of up to 32 images.

    At most two lists a thread are queued, so that memory stays bounded.
    """
    task = max(1, min(TASK, len(wanted) // (4 * workers)))
    starts = iter(range(0, len(wanted), task))
    threads = ThreadPoolExecutor(workers, thread_name_prefix="decode")
    queued: deque[Future[list[tuple[Image, Made]]]] = deque()
    try:
        while True:
            while len(queued) < 2 * workers and (start := next(starts, None)) is not None:
                queued.append(threads.submit(_each, work, wanted[start : start + task]))
            if not queued:
                return
            yield queued.popleft().result()
    finally:
        threads.shutdown(cancel_futures=True)


def _each(work: Callable[[Image], Made], task: Sequence[Image]) -> list[tuple[Image, Made]]:
    return [(image, work(image)) for image in task]


def _decode(
    image: Image, size: int, measure: bool, decoding: int
) -> tuple[np.ndarray | ImageError, np.ndarray | None, str]:
    """Return the pixels or the error, to `measure` the sums of the products of the colours, and a note or ""."""
    try:
        made, header = images.inspect(image.read(), size, image.name, decoding=decoding)
    except ImageError as error:
        return error, None, ""
    return made, colour_noise.products(made) if measure else None, header.note


def require(source: Source, split: str, good: list[Image], skipped: list[tuple[str, str]]) -> None:
    """Raise DataError when no image of the split, or none of a class of train, can be read.

    skipped: (name, reason) of the images that could not.
    """
    if not skipped:
        return
    first = ": ".join(skipped[0])
    if not good:
        what = f"none of the {len(skipped)} {split} images can be read; the first: {first}"
        raise DataError(f"{source.name}: {what}")
    if split == "train":
        empty = {image.label for image in source.splits[split]} - {image.label for image in good}
        if empty:
            name = source.classes[min(empty)]
            names = {image.name for image in source.splits[split] if image.label == min(empty)}
            first = next(": ".join(pair) for pair in skipped if pair[0] in names)
            raise DataError(
                f"{source.name}: no training image of class {name} can be read; the first: {first}; "
                "repair them, or remove the class"
            )
