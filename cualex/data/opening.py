"""Open the splits of a data set: packed, or decoded on the fly; and choose the split to evaluate."""

import csv
import json
import warnings
from collections.abc import Generator, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cualex import pretrained
from cualex.data import no_pack, pack, sources
from cualex.data.decoding import Progress, finish
from cualex.data.sources import Source, hold_out
from cualex.data.split import Split
from cualex.errors import DataError, OutputError
from cualex.system.amounts import size as amount


@dataclass(frozen=True)
class Packing:
    """How splits are opened. keep: False decodes them each time, without a pack.  cache, workers: see `pack.pack`."""

    keep: bool = True
    cache: Path | None = None
    workers: int | None = None

    def needed(self, source: Source, splits: Sequence[str], size: int) -> tuple[int, str] | None:
        """Return the bytes that new packs take, and a sentence on them; None where there are none to make.

        Raise OutputError where the disk of the cache has too little space.
        """
        if not self.keep:
            return None
        missing = [split for split in splits if pack.existing(source, split, size, cache=self.cache) is None]
        if not missing:
            return None
        count = sum(len(source.splits[split]) for split in missing)
        needed, free = sum(pack.needed(source, split, size) for split in missing), pack.free(self.cache)
        said = (
            f"{source.name}: packing {count:,} images x {size * size * 3:,} bytes takes {amount(needed)}; "
            f"{amount(free)} are free"
        )
        if needed > free:
            raise OutputError(f"{said}. Free some space, or set --cache to a directory on another disk.")
        return needed, f"{said}."

    def work(self, source: Source, split: str, size: int) -> Generator[Progress, None, Split]:
        """Open a split: yield Progress while it is decoded, return it."""
        if self.keep:
            return (yield from pack.pack(source, split, size, cache=self.cache, workers=self.workers))
        return (yield from no_pack.unpacked(source, split, size, workers=self.workers))

    def opened(self, source: Source, splits: Sequence[str], size: int) -> dict[str, Split]:
        """Open splits without a word."""
        self.needed(source, splits, size)
        return {split: finish(self.work(source, split, size)) for split in splits}


def warn_of_skipped(packs: Iterable[Split], where: str = "") -> None:
    """Warn of images that could not be read; where: what lists them."""
    skipped = [each for split in packs for each in split.skipped]
    if skipped:
        name, reason = skipped[0]
        first = f"the first: {name}: {reason}"
        text = f"{len(skipped):,} images could not be read and were skipped; {where or first}"
        warnings.warn(text, UserWarning, stacklevel=4)


def find_evaluated(
    data: str | Path | None,
    weights: str | Path | None,
    classes: Sequence[str] | None,
    val_split: float | None = None,
    names: str | Path | None = None,
) -> Source:
    """Find the set to evaluate weights on: by default their run's own, which is divided as it was for the run.

    weights: the file's path, None for weights without one.  classes: of the weights; None where images of any class,
    and of none, are looked at.  val_split, names: instead of the run's.
    """
    run = run_of(weights)
    if data is None:
        data = run.get("data", "demo")
    divided: dict[str, Any] = {"val_split": 0.0}
    if "data" in run and Path(data).resolve() == Path(run["data"]).resolve():
        assert weights is not None  # its run was read
        lost = [name for name, _ in skipped_images(pretrained.located(weights).parent)]
        divided, names = {**hold_out.of_run(run), "lost": lost}, names or run.get("names")
    if val_split is not None:
        divided["val_split"] = val_split
    if classes is None:
        return sources.find_images(data, names=names, **divided)
    return sources.find(data, names=names, classes=list(classes), **divided)


def run_of(weights: str | Path | None) -> dict[str, Any]:
    """Return args.json of the run that a weights file is in; {} where it is in none."""
    if weights is None:
        return {}
    try:
        return json.loads((pretrained.located(weights).parent / "args.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}


def skipped_images(run: Path) -> list[tuple[str, str]]:
    """Read the skipped.csv of a run's directory: (image, reason); [] where all images were read."""
    try:
        with open(run / "skipped.csv", newline="", encoding="utf-8", errors="surrogateescape") as file:
            return [(name, reason) for name, reason in list(csv.reader(file))[1:]]
    except (OSError, ValueError):
        return []


def choose(source: Source, split: str | None) -> tuple[str, str]:
    """Return the split to evaluate and its name: the one that was asked for, else val, else test, else "all"."""
    chosen = split or source.validation or ("test" if "test" in source.splits else None)
    if chosen is None:
        return next(iter(source.splits)), "all"
    if chosen not in source.splits:
        raise DataError(f"{source.name} has no {chosen} images: choose --split {' or '.join(source.splits)}")
    return chosen, chosen
