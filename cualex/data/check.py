"""Look at a data set before it is trained with: decode every image once and say what is wrong.

Two images are the same when their pixels are: decoded, turned upright, in RGB, at the size that the network
stores. That is what training sees, so a copy is found whether its file was copied, saved again in another format
without loss, or stripped of its metadata; and since every image is decoded in any case, comparing the bytes of the
files first would save nothing. A copy that was compressed again differs, and is not found.

Only reads: nothing is written into the data set or anywhere else, but for a compressed tar, which is expanded into
a nameless file in the cache directory while it is read.
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

DIGEST = 16  # bytes of an image's digest


@dataclass(frozen=True)
class Sides:
    """The shorter sides of a set's images, in pixels: the smallest, the median and the largest; all 0 for none.

    enlarged: how many images are smaller than the stored size.
    """

    smallest: int
    median: int
    largest: int
    enlarged: int


@dataclass(frozen=True)
class Report:
    """What a look at a data set has shown.

    size: the stored size at which images were compared.  files: {split: files of images}.
    classes: {class: {split: images that can be read}}.  formats, modes: how many images have each, in Pillow's
    words, the most frequent first.  grey: images without any colour, whatever their mode.
    findings: what is wrong, the worst first.  refusal: why training would not take the set, or None.
    notes: what else a user should know, a sentence each.
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
        """Count the images that cannot be read, those that are cut short among them."""
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
    """Look at a data set with all its splits: yield Progress, return the Report.

    size: the network's stored size.  val_split, val, names: as in sources.find; a set is looked at as training would
    divide it, so an image that is there twice may leak.  workers: threads, by default one a core.

    Raise DataError when the set is not there, or holds no image or none with a class.
    """
    surveyed = sources.survey(data, val_split=val_split, val=val, names=names)
    source = surveyed.source
    tally = _Tally(source)
    work = functools.partial(_look, size=size)
    for task in decoding.in_order(tally.images, workers or cores(), work):
        for _, look in task:
            tally.add(look)
        yield Progress(tally.done, len(tally.images), len(tally.unreadable))
    looks = Looks(tally.splits, tally.images, tally.digests, tally.sides, tally.colours, tally.unreadable)
    said = {left.text for left in surveyed.left_out}
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
        notes=tuple(note for note in source.notes if note not in said),
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
    return _Look(header, grey, colour, hashlib.blake2b(pixels, digest_size=DIGEST).digest())


class _Tally:
    """Add up what the images show, in their order; of each, a digest and a number are kept."""

    def __init__(self, source: Source) -> None:
        self.images = tuple(image for held in source.splits.values() for image in held)
        self.splits = tuple(split for split, held in source.splits.items() for _ in held)
        self.digests = np.zeros((len(self.images), DIGEST), np.uint8)
        self.sides = np.zeros(len(self.images), np.int32)
        self.colours = np.zeros((len(self.images), 3), np.float32)
        self.unreadable: dict[int, str] = {}
        self.formats, self.modes = Counter(), Counter()
        self.grey = self.done = 0

    def add(self, look: _Look | ImageError) -> None:
        """Add the next image."""
        place, self.done = self.done, self.done + 1
        if isinstance(look, ImageError):
            self.unreadable[place] = look.reason
            return
        self.digests[place] = np.frombuffer(look.digest, np.uint8)
        self.colours[place] = look.colour
        self.sides[place] = min(look.header.rows, look.header.columns)
        self.formats[look.header.format] += 1
        self.modes[look.header.mode] += 1
        self.grey += look.grey


def _sides(looks: Looks, size: int) -> Sides:
    sides = np.sort(np.delete(looks.sides, list(looks.unreadable)))
    if not len(sides):
        return Sides(0, 0, 0, 0)
    smallest, median, largest = (int(sides[place]) for place in (0, len(sides) // 2, -1))
    return Sides(smallest, median, largest, int((sides < size).sum()))


def _refusal(source: Source, looks: Looks) -> str | None:
    """Ask what training asks of each split once it is decoded."""
    for split in source.splits:
        places = [place for place, other in enumerate(looks.splits) if other == split]
        good = [looks.images[place] for place in places if place not in looks.unreadable]
        lost = [(looks.images[place].name, looks.unreadable[place]) for place in places if place in looks.unreadable]
        try:
            decoding.require(source, split, good, lost)
        except DataError as error:
            return str(error)
    return None
