"""The data set and the model that plots of `cualex show` are of, with the options of `cualex evaluate`."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from typing import Any

import click

from cualex.cli import _inputs, _model, _options, _packing, _show
from cualex.errors import Unreadable, UsageError

SPLIT = click.option(
    "--split",
    type=click.Choice(["train", "val", "test"]),
    help="Split to draw.  [default: the validation images, else test, else all]",
)
DATA = (
    *(SPLIT, _options.names, _options.no_pack, _options.cache, _options.workers, _options.yes),
    *(_options.device, _options.precision),
)


def on_data(command: Callable) -> Callable:
    """Give a command the options of data sets, as `cualex evaluate` has them."""
    return reduce(lambda made, option: option(made), reversed(DATA), command)


@dataclass(frozen=True)
class Opened:
    """A split of a data set beside the model that it is shown to; name: of the set and the split."""

    pack: Any
    model: Any
    weights: Path
    name: str

    @property
    def title(self) -> str:
        """What a plot says of the set and the split: all of its images, where it has no splits."""
        return self.name.removesuffix(" all") + ", all images" if self.name.endswith(" all") else self.name

    @property
    def counted(self) -> str:
        """The title with the number of images."""
        return f"{self.name.removesuffix(' all')}, {len(self.pack):,} image{'s' if len(self.pack) != 1 else ''}"

    def crops(self, indices: Any) -> tuple[Any, Any]:
        """Return images of the pack, (n, stored, stored, 3), and their centre crops."""
        import numpy as np

        stored = np.empty((len(indices), self.pack.size, self.pack.size, 3), np.uint8)
        self.pack.read(np.asarray(indices, np.int64), stored)
        return stored, cropped(self.model, stored)

    def batches(self, count: int = 32) -> Iterator[Any]:
        """Yield all images of the pack in order, (n, stored, stored, 3), at most `count` at a time; show progress."""
        import numpy as np

        with _inputs.progress("Images", len(self.pack)) as done:
            for first in range(0, len(self.pack), count):
                indices = np.arange(first, min(first + count, len(self.pack)))
                stored = np.empty((len(indices), self.pack.size, self.pack.size, 3), np.uint8)
                self.pack.read(indices, stored)
                yield stored
                done(first + len(indices))

    def class_of(self, index: int) -> str | None:
        """Return the class of an image of the pack, None where the set has none."""
        return self.pack.classes[self.pack.labels[index]] or None

    @property
    def document(self) -> dict[str, Any]:
        """What JSON says of them."""
        return {**_show.described(self.model.network, self.weights), "data": self.name}


def opened(
    data: str | None,
    weights: Path | None,
    *,
    split,
    names,
    device,
    precision,
    any_classes: bool = False,
    check: Callable[[Any], object] = lambda model: None,
    **packing,
) -> Opened:
    """Open the weights, and the data set that was named, or that of their run.

    check: is called with the model before the data set is read, and raises what is wrong with the options.
    any_classes: take images of any class, and images without one; else the classes must be those of the weights.
    """
    from cualex import evaluation

    path, model = _model.load(weights, device, precision, inside=True)
    check(model)
    source = _packing.find_evaluated(data, path, None if any_classes else model.classes, None, names)
    if not any_classes:
        evaluation.check_classes(model.classes, source.classes)
    chosen, called = _packing.choose(source, split)
    pack = _packing.one(source, chosen, model.network.stored, **packing)
    return Opened(pack, model, path, f"{Path(source.name).name} {called}")


def is_image(name: str) -> bool:
    """Return whether an argument names an image file, by its ending."""
    from cualex.data.image_kinds import ENDINGS

    return name.lower().endswith(tuple(ENDINGS)) and not Path(name).is_dir()


def divided(named: tuple[str, ...]) -> tuple[str | None, list[str]]:
    """Divide arguments into the data set, None where none is named, and image files."""
    sets = [name for name in named if not is_image(name)]
    if len(sets) > 1:
        raise UsageError(f"{sets[0]} and {sets[1]}: give one data set, and image files")
    return (sets[0] if sets else None), [name for name in named if is_image(name)]


def cropped(model: Any, images: Any) -> Any:
    """Return the centre crops of images (n, stored, stored, 3): what the network sees of them."""
    return images[:, model.network.centre, model.network.centre]


def refuse_skipped(pack: Any) -> None:
    """Raise Unreadable, which is exit code 3, where images of a pack could not be read; the others are drawn."""
    if pack.skipped:
        total = len(pack) + len(pack.skipped)
        raise Unreadable(f"{len(pack.skipped):,} of {total:,} images could not be read; the others are drawn.")
