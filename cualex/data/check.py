"""Check a data set before training: decode every image once and report what is wrong.

Two images are the same when their pixels are: decoded, upright, in RGB, at the network's stored size. That is what
training sees, so a copy is detected whether its file was copied, converted to another lossless format, or stripped of
its metadata; and since every image is decoded in any case, comparing the bytes of the files first would save nothing.
A copy that was compressed again differs, and is not detected.

Nothing is written, except that a compressed tar is expanded into an unlinked file in the cache directory while it is
read.
"""

import functools
import hashlib
from collections import Counter
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cualex.data import decoding, images, sources
from cualex.data.decoding import Progress
from cualex.data.findings import Finding, Looks, class_sizes, findings
from cualex.data.images import Header
from cualex.data.sources import Image, Source
from cualex.errors import DataError, ImageError
from cualex.system.environment import cores

DIGEST = 16  # bytes


@dataclass(frozen=True)
class Sides:
    """Shorter sides of the images in pixels: smallest, median and largest; all 0 where there are no images.

    enlarged: the number of images smaller than the stored size.
    """

    smallest: int
    median: int
    largest: int
    enlarged: int


@dataclass(frozen=True)
class Report:
    """Result of `check`.

    size: the stored size at which images were compared.  files: {split: image files}.
    classes: {class: {split: readable images}}.  formats, modes: counts of images, by Pillow's words, the most frequent
    first.  grey: images without colour, whatever their mode.  findings: the most severe first.
    refusal: why training would refuse the set, or None.  notes: sentences for the user.
    """

    data: str
    size: int
    files: dict[str, int]
    classes: dict[str, dict[str, int]]
    formats: dict[str, int]
    modes: dict[str, int]
    grey: int
    sides: Sides
    findings: tuple[Finding, ...]
    refusal: str | None
    notes: tuple[str, ...]

    @property
    def unreadable(self) -> int:
        """Number of images that cannot be read, truncated ones included."""
        return sum(self.files.values()) - sum(sum(counts.values()) for counts in self.classes.values())


def check(
    data: str | Path,
    size: int,
    *,
    val_split: float = 0.2,
    val: str = "held-out",
    names: str | Path | None = None,
    workers: int | None = None,
) -> Generator[Progress, None, Report]:
    """Check a data set, all splits: yield Progress, return the Report.

    size: the network's stored size.  val_split, val, names: as in sources.find; the set is divided as training would,
    so a duplicate may leak from train into val.  workers: threads, by default one a core.

    Raise DataError when the set does not exist, or has no image or none with a class.
    """
    surveyed = sources.survey(data, val_split=val_split, val=val, names=names)
    source = surveyed.source
    tally = _Tally(source)
    work = functools.partial(_look, size=size)
    for task in decoding.in_order(tally.images, workers or cores(), work):
        for _, look in task:
            tally.add(look)
        yield Progress(tally.done, len(tally.images), len(tally.unreadable))
    looks = Looks(tally.splits, tally.images, tally.digests, tally.sides, tally.colours, tally.unreadable, tally.noted)
    noted = {left.text for left in surveyed.left_out}
    return Report(
        data=source.name,
        size=size,
        files={split: len(held) for split, held in source.splits.items()},
        classes=class_sizes(source, looks),
        formats=dict(tally.formats.most_common()),
        modes=dict(tally.modes.most_common()),
        grey=tally.grey,
        sides=_sides(looks, size),
        findings=findings(source, surveyed.left_out, looks),
        refusal=surveyed.refusal or _refusal(source, looks),
        notes=tuple(note for note in source.notes if note not in noted),
    )


@dataclass(frozen=True, slots=True)
class _Look:
    header: Header
    grey: bool
    colour: np.ndarray
    digest: bytes


def _look(image: Image, size: int) -> _Look | ImageError:
    try:
        pixels, header = images.inspect(image.read(), size, image.name)
    except ImageError as error:
        return error
    grey = bool((pixels[..., :2] == pixels[..., 1:]).all())
    colour = pixels.mean(axis=(0, 1), dtype=np.float32)
    return _Look(header, grey, colour, hashlib.blake2b(pixels.data, digest_size=DIGEST).digest())


class _Tally:
    """Accumulator of the images' properties, in order."""

    def __init__(self, source: Source) -> None:
        self.images = tuple(image for held in source.splits.values() for image in held)
        self.splits = tuple(split for split, held in source.splits.items() for _ in held)
        self.digests = np.zeros((len(self.images), DIGEST), np.uint8)
        self.sides = np.zeros(len(self.images), np.int32)
        self.colours = np.zeros((len(self.images), 3), np.float32)
        self.unreadable: dict[int, str] = {}
        self.noted: dict[int, str] = {}
        self.formats, self.modes = Counter[str](), Counter[str]()
        self.grey = self.done = 0

    def add(self, look: _Look | ImageError) -> None:
        """Add the next image."""
        index, self.done = self.done, self.done + 1
        if isinstance(look, ImageError):
            self.unreadable[index] = look.reason
            return
        self.digests[index] = np.frombuffer(look.digest, np.uint8)
        self.colours[index] = look.colour
        if look.header.note:
            self.noted[index] = look.header.note
        self.sides[index] = min(look.header.rows, look.header.columns)
        self.formats[look.header.format] += 1
        self.modes[look.header.mode] += 1
        self.grey += look.grey


def _sides(looks: Looks, size: int) -> Sides:
    sides = np.sort(np.delete(looks.sides, list(looks.unreadable)))
    if not len(sides):
        return Sides(0, 0, 0, 0)
    smallest, median, largest = (int(sides[index]) for index in (0, len(sides) // 2, -1))
    return Sides(smallest, median, largest, int((sides < size).sum()))


def _refusal(source: Source, looks: Looks) -> str | None:
    """Return the error that training would raise after decoding, or None."""
    for split in source.splits:
        indices = [index for index, other in enumerate(looks.splits) if other == split]
        good = [looks.images[index] for index in indices if index not in looks.unreadable]
        lost = [(looks.images[index].name, looks.unreadable[index]) for index in indices if index in looks.unreadable]
        try:
            decoding.require(source, split, good, lost)
        except DataError as error:
            return str(error)
    return None
