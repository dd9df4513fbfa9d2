"""Example images, and which of them excite a map most: the largest values of each map over all examples."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from cualex.data import images
from cualex.data.sources import demo
from cualex.errors import ImageError
from cualex.explain.strongest import Ranking
from cualex.page.seeing import Seer

MOST = 256  # examples that are held
VIEW = 256  # pixels a side of an example as the page shows it; the network reads its own size
STRONGEST = 6


@dataclass
class Example:
    """An image that the page offers: its name, and the bytes of its file."""

    name: str
    data: bytes


def found(paths: Iterable[Path], run: Path | None = None) -> list[Example]:
    """Return the images of files and folders; without any the samples of the run, or else images of the demo set.

    What cannot be read is left out. Raise ImageError where none of `paths` can be.
    """
    named = list(paths)
    files = [file for path in named for file in (sorted(path.rglob("*")) if path.is_dir() else [path])]
    if not named and run is not None:
        files = sorted((run / "samples").glob("*"))
    for path in named:
        if not path.exists():
            raise ImageError(str(path), "no such file or folder")
    examples: list[Example] = []
    last: ImageError | None = None
    for file in files:
        if len(examples) == MOST or not file.is_file():
            continue
        try:
            examples.append(example(str(file), file))
        except ImageError as error:
            if len(files) == 1:
                raise
            last = error
    if named and not examples:
        raise last or ImageError(str(named[0]), "holds no images")
    return examples or [Example(name, demo.encoded(0, "val", label, 0)) for label, name in enumerate(demo.CLASSES)]


def example(name: str, source: Path | bytes | ImageError) -> Example:
    """Read a file, or take its bytes; raise ImageError where it is no image, or the one that is given."""
    if isinstance(source, ImageError):
        raise source
    data = source if isinstance(source, bytes) else images.read(source, name)
    images.load(data, 8, name)
    return Example("image" if isinstance(source, bytes) else _name(source), data)


def decoded(data: bytes, stored: int, view: int = 0) -> tuple[str, np.ndarray, bytes]:
    """Decode an image file: its id, the pixels (stored, stored, 3), a PNG of at least `view` pixels a side."""
    image = images.load(data, stored, "the image")
    shown = images.load(data, view, "the image") if view > stored else image
    return hashlib.sha256(image.tobytes()).hexdigest()[:24], image, images.encoded(shown)


def _name(file: Path) -> str:
    """Return an image's name: its folder's where the file is called by a number only."""
    name = file.parent.name if file.stem.strip("0123456789_-") == "" else file.stem
    return name.replace("_", " ")


@dataclass
class Strongest:
    """For each map of each block the examples that excite it most, found a few images at a time."""

    seer: Seer
    examples: list[tuple[str, np.ndarray]]  # (id, image)
    done: int = 0
    _rankings: dict[str, Ranking] = field(default_factory=dict)

    def advance(self, count: int) -> None:
        """Look at the next `count` examples."""
        shown = {block["shown"] for block in self.seer.description["blocks"]}
        for _, image in self.examples[self.done : self.done + count]:
            layers = self.seer.maps(image)
            for name in shown:
                self._rankings.setdefault(name, Ranking(STRONGEST)).add(layers[name])
            self.done += 1

    def of(self, layer: str, index: int) -> list[dict[str, Any]]:
        """Return the strongest examples of a map so far: the image's id, the position, the value; none of 0 or less."""
        found = self._rankings[layer].of(index) if layer in self._rankings else []
        return [
            {"id": self.examples[at][0], "row": row, "column": column, "value": value}
            for at, value, row, column in found
            if value > 0
        ]
