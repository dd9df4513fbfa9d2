"""Tell the images of a listing from other files, and say what is left out."""

import os
import re
from collections import Counter
from dataclasses import dataclass

from cualex.data.image_kinds import DECODING, EXPORT, FIRST_DECODING, FOREIGN, endings
from cualex.data.sources.archives import SUFFIXES
from cualex.data.sources.left_behind import is_left_behind, runs
from cualex.data.sources.listing import File, Listing
from cualex.errors import DataError
from cualex.system.amounts import some


@dataclass(frozen=True)
class LeftOut:
    """Files or folders that are no part of the set, for one reason.

    kind: "hidden", "foreign" (an image of a kind that is not read), "stray" (without the suffix of an image), "outside"
    (an image in no split or class) or "empty" (a class folder).  names: all of them, as in the listing.
    text: a sentence that names a few.
    """

    kind: str
    names: tuple[str, ...]
    text: str


# Sets that come in other files, by the names of these; each with the way out.
_OTHERS = {
    r"\.mat": "MATLAB arrays: save the images as PNG, in a folder for each class",
    r"\.np[yz]": "NumPy arrays: save the images as PNG, in a folder for each class",
    r"\.parquet": "Parquet is read in a folder, not in an archive: extract it",
    r"\.(?:arrow|feather)": "a table of Hugging Face: save it with its to_parquet, which is read",
    r"\.tfrecords?(?:-.*)?": "TensorFlow records: save the images as PNG, in a folder for each class",
    r"\.(?:mdb|lmdb|leveldb|ldb)": "a database of Caffe: give the images that it was made from",
    r"\.(?:h5|hdf5)": "HDF5 arrays: save the images as PNG, in a folder for each class",
    r"\.rec": "MXNet records: unpack them with its im2rec",
    r"\.(?:pkl|pickle|pt|pth)": "pickled arrays: save the images as PNG, in a folder for each class",
    r"\.(?:mp4|avi|mov|mkv|webm)": "videos: save their frames as PNG or JPEG",
    r"\.(?:7z|rar)": "an archive that is not read: extract it",
    r"\.(?:csv|tsv)": "tables: where they hold pixels, save each row as a PNG, in a folder for each class",
}


def images(listing: Listing, decoding: int = DECODING) -> tuple[list[File], list[LeftOut]]:
    """Return the files with the suffix of an image that are not hidden, and what is left out.

    Raise DataError where there are none.
    """
    old = decoding == FIRST_DECODING
    kept: list[File] = []
    hidden: dict[str, str] = {}
    left: dict[str, str] = {}
    foreign: dict[str, str] = {}
    stray: dict[str, str] = {}
    own = () if old else tuple(runs(file.name for file in listing.files))
    known = endings(decoding)
    for file in listing.files:
        parts = file.name.split("/")
        depth = next((depth for depth, part in enumerate(parts) if (is_hidden if old else is_left_behind)(part)), None)
        ending = os.path.splitext(file.name)[1].lower()
        if depth is not None:
            group = hidden if is_hidden(parts[depth]) else left
            group["/".join(parts[: depth + 1])] = parts[depth]
        elif own and file.name.startswith(own):
            folder = next(folder for folder in own if file.name.startswith(folder))[:-1]
            left[folder] = folder
        elif ending in known:
            kept.append(file)
        elif ending in FOREIGN and not old:
            foreign[file.name] = ending
        else:
            stray[file.name] = ending or "without ending"
    if not kept:
        raise _none(listing, {**foreign, **stray})
    return kept, _left_out(hidden, left, foreign, stray)


def is_hidden(part: str) -> bool:
    """Return whether a name is hidden, as on Unix, or holds what macOS adds to archives."""
    return part[0] == "." or part == "__MACOSX"


def example(path: str) -> str:
    """Return how images lie in class folders."""
    return f"{path}/cats/1.jpg and {path}/dogs/2.jpg"


def _left_out(
    hidden: dict[str, str], left: dict[str, str], foreign: dict[str, str], stray: dict[str, str]
) -> list[LeftOut]:
    """Return a line for each reason for which there are files."""
    found = [
        ("hidden", hidden, f"left out, hidden: {_distinct(hidden)}"),
        ("hidden", left, f"left out, of a system or a program: {_distinct(left)}"),
        (
            "foreign",
            foreign,
            f"left out, images of a kind that is not read ({EXPORT}): {_counted(foreign, named=True)}",
        ),
    ]
    archives = {name: name for name in stray if name.lower().endswith(SUFFIXES)}
    if archives:
        found.append(("stray", archives, f"left out, archives beside the images (extract them): {some([*archives])}"))
    rest = {name: ending for name, ending in stray.items() if name not in archives}
    found.append(("stray", rest, f"left out, no pictures by their ending: {_counted(rest)}"))
    return [LeftOut(kind, tuple(names), text) for kind, names, text in found if names]


def _distinct(names: dict[str, str]) -> str:
    return some(sorted(set(names.values())))


def _counted(names: dict[str, str], named: bool = False) -> str:
    counts = Counter(names.values()).most_common(5)
    text = ", ".join(f"{count} {ending}" for ending, count in counts)
    return f"{text}, as {some([*names][:3])}" if named and names else text


def _none(listing: Listing, others: dict[str, str]) -> DataError:
    """Return the refusal of a set without images, with what is there instead."""
    rest = _counted(others) or "no files"
    if any(name.lower().endswith("ilsvrc2012_validation_ground_truth.txt") for name in others):
        way_out = "this is ImageNet's devkit: give the images, and the devkit as --names"
        return DataError(f"{listing.path}: no images inside (found: {rest}); {way_out}")
    for pattern, way_out in _OTHERS.items():
        if any(re.fullmatch(f".*{pattern}", name.lower()) for name in others):
            return DataError(f"{listing.path}: no images inside (found: {rest}), but {way_out}")
    if others and all(ending in FOREIGN for ending in others.values()):
        return DataError(f"{listing.path}: no images of a kind that is read (found: {rest}); {EXPORT}")
    return DataError(
        f"{listing.path}: no images inside (found: {rest}); expected .jpg, .png, .webp, .bmp, "
        f".gif, .tif or .ppm files in a folder for each class, as {example(listing.path)}"
    )
