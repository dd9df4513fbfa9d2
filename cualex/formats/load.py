"""Load a file of another program as `Weights`, with a report of all assumptions."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from cualex import pretrained
from cualex.data.sources import imagenet_classes
from cualex.errors import DataError, WeightsError
from cualex.formats import class_list, match, mean_image, names, recognise, reorder, report
from cualex.formats.conventions import CHANNEL_MEAN, CLASSES, MEAN
from cualex.formats.match import Import
from cualex.formats.reading.contents import Contents
from cualex.formats.reading.tensors import short
from cualex.weights import Weights

NUMBERED = "wordnet"


def load(
    path: str | Path,
    network: str | None = None,
    towers: int | None = None,
    classes: str | Path | None = None,
    mean: str | Path | None = None,
    crop: int | None = None,
) -> tuple[Weights, report.Lines]:
    """Read a file of another program: return the weights, and (topic, sentence) for all assumptions.

    network, towers: the network to load into, by default from the file.  classes: a file with a class name a line, or a
    CSV (class_list.py), or "wordnet" for the WordNet numbers of ImageNet's classes.  mean: a file with a mean image.
    Raise WeightsError, in one line, for a file that does not fit; nothing in it is executed.
    """
    path = pretrained.located(path)  # of a run its weights, which need no import
    try:
        if (path / "args.json").is_file():
            raise WeightsError(pretrained.no_weights(path))
        with Contents(path) as contents:
            made = match.plan(
                recognise.read(contents, path), network, towers, **({} if crop is None else {"crop": crop})
            )
            listed, classes_note = _classes(made, classes)
            image, mean_note = _mean(made, mean)
            # Hashed while the tensors are read.
            with ThreadPoolExecutor(1, thread_name_prefix="sha256") as thread:
                sha256 = thread.submit(contents.sha256)
                beside = {name: (each.size, thread.submit(each.sha256)) for name, each in contents.others.items()}
                tensors = dict(reorder.placed(made))
            lines = report.lines(made, sha256.result(), contents.size, classes_note, mean_note)
            for name, (size, total) in beside.items():
                lines.insert(2, ("data", f"{short(name)}, {size:,} bytes, SHA-256 {total.result()}"))
    except WeightsError as error:
        raise WeightsError(f"{path}: {error}") from error.__cause__
    return Weights(made.network, tensors, listed, image, notes={"imported": dict(lines)["SHA-256"]}), lines


def _classes(made: Import, path: str | Path | None) -> tuple[list[str], str]:
    """Return the class names, and a sentence about their source."""
    count = made.network.classes
    if str(path) == NUMBERED and count == imagenet_classes.COUNT:
        return imagenet_classes.numbers(), "ImageNet's 1000 by their WordNet numbers, which its folders are called"
    if path is not None:
        return class_list.read(path, count), f"{count}, named in {path}"
    told = names.note(made.file, CLASSES)
    if isinstance(told, list) and len(told) == count and all(isinstance(name, str) for name in told):
        return told, f"{count}, named in the file"
    if count == imagenet_classes.COUNT:
        return imagenet_classes.classes(), "ImageNet's 1000 in the order of their WordNet numbers (n01440764 first)"
    numbered = [f"class {number}" for number in range(count)]
    return numbered, f"{count} without names: give them with --classes, a line each"


def _mean(made: Import, path: str | Path | None) -> tuple[np.ndarray, str]:
    """Return the mean image, and a sentence about its source."""
    network, convention = made.network, made.convention
    if path is not None:
        try:
            image = mean_image.read(path, network, convention.colours)
        except WeightsError as error:
            raise DataError(f"{path}: {error}") from None
        return image, f"of {path}, its colours taken for {convention.colours}"
    if network.mean is not None:
        red, green, blue = network.mean
        return mean_image.plain(
            network, network.mean
        ), f"the network's own everywhere, RGB {red:g}, {green:g}, {blue:g}"
    kept = made.file.tensors.get(MEAN)
    if kept is not None:
        return mean_image.checked(kept.shape, kept.read(), network, "RGB"), "of the file"
    told = names.note(made.file, CHANNEL_MEAN)
    if isinstance(told, list) and len(told) == 3 and all(isinstance(number, int | float) for number in told):
        return mean_image.checked((3,), np.array(told, np.float32), network, "RGB"), "of the file, the same everywhere"
    colours = convention.mean
    if colours is None:
        raise WeightsError("it has no mean image. Give one with --mean.")
    red, green, blue = colours
    return mean_image.plain(network, colours), f"the source's usual one everywhere, RGB {red:g}, {green:g}, {blue:g}"
