"""Find the labels of images that lie in no class folder: in a list that was named, or in one of the set itself."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cualex.data.sources import archives, lists, matlab, split_names
from cualex.data.sources.listing import File, Listing, folder
from cualex.data.sources.lists import Labels
from cualex.errors import DataError, ImageError

_TRUTH = "ilsvrc2012_validation_ground_truth.txt"
_VALIDATION = re.compile(r"(?:.*/)?ILSVRC2012_val_(\d{8})\.[^./]+", re.IGNORECASE)
# Beside ImageNet's validation images, in the folder that holds the set.
_BESIDE = ("ILSVRC2012_devkit_t12", "ILSVRC2012_devkit_t12.tar.gz", "LOC_val_solution.csv")
# Names of lists that may hold labels, in a set that has no others.
_LISTS = re.compile(
    r".*\.(?:csv|tsv)|(?:.*[-_])?(?:train|training|val|valid|validation|test|labels?|list|files|annotations?|images|data|metadata|classes"
    r"|solution|dataset|index|ground_?truth)\d*\.txt",
    re.IGNORECASE,
)
# What Kaggle gives as an example of an answer: its labels are made up.
_GUESSES = re.compile(r"submi|sample|example|predict|result")
_MOST = 40  # lists that are looked into


def given(path: str | Path) -> Labels:
    """Read what --names gives: a list, a folder of lists for each split, ImageNet's devkit, or MATLAB labels.

    Raise DataError where it holds no labels.
    """
    place = Path(path).expanduser()
    try:
        if place.is_dir() or place.name.lower().endswith(archives.SUFFIXES):
            found = _of_listing(_listing(place))
            if found is None:
                raise DataError(f"{path}: no list of labels inside; expected train.txt, val.txt or ImageNet's devkit")
            return found
        data = place.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: the list of labels cannot be read ({error.strerror or error})") from None
    if place.name.lower() == _TRUTH or data.startswith(b"MATLAB 5.0"):
        beside = [File(each.name, "", each.read_bytes) for each in sorted(place.parent.iterdir()) if each.is_file()]
        read = _devkit if place.name.lower() == _TRUTH else _flowers
        found = read(str(place.parent), beside)  # whose files are named in errors
        if found is None:
            raise DataError(f"{path}: no labels of images; expected Oxford's imagelabels.mat, or lines `image class`")
        return found
    return lists.parse(str(path), data)


def in_set(listing: Listing, names: Sequence[str], split: str | None) -> Labels | None:
    """Return labels of nearly all of these images from the set's own lists, or None.

    split: of the images; a list that is called after another split is not taken.
    """
    refused: DataError | None = None
    for read in (_flowers, _devkit, _beside):
        try:
            found = read(listing.path, listing.files) if read is not _beside or _validation(names) else None
        except DataError as error:
            refused = refused or error
            continue
        if found is not None and found.covers(names):
            return found
    parsed: list[tuple[str | None, Labels]] = []
    for file in _candidates(listing.files):
        try:
            parsed.append((_split_of(file.name), lists.parse(f"{listing.path}/{file.name}", file.read())))
        except (DataError, ImageError):
            continue
    joined = _joined(parsed)
    if split is None and joined is not None and joined.covers(names):
        return joined
    suited = [labels for own, labels in parsed if own is None or own == (split or "train")]
    found = next((labels for labels in suited if labels.covers(names)), None)
    if found is None and refused is not None and _validation(names):
        raise refused
    return found


def candidates(listing: Listing) -> list[str]:
    """Return names of files that may be lists of labels, for a refusal that names them."""
    return [file.name for file in _candidates(listing.files)]


def _candidates(files: Sequence[File]) -> list[File]:
    named = ((file, file.name.rpartition("/")[2].lower()) for file in files)
    found = [file for file, name in named if _LISTS.fullmatch(name) and not _GUESSES.search(name)]
    return sorted(found, key=lambda file: file.name.count("/"))[:_MOST]


def _listing(place: Path) -> Listing:
    return folder(place) if place.is_dir() else archives.archive(place)


def _of_listing(listing: Listing) -> Labels | None:
    found = _flowers(listing.path, listing.files) or _devkit(listing.path, listing.files)
    if found is not None:
        return found
    named = [file for file in _candidates(listing.files) if _split_of(file.name)]
    return _joined([(_split_of(each.name), lists.parse(f"{listing.path}/{each.name}", each.read())) for each in named])


def _split_of(name: str) -> str | None:
    """Return the split that a list is called after: "val" for `valid.txt` and `val_annotations.txt`, or None."""
    words = split_names.parts(name.rpartition("/")[2].rpartition(".")[0])
    return next((split for word in words if (split := split_names.bare(word))), None)


def _joined(parsed: Sequence[tuple[str | None, Labels]]) -> Labels | None:
    """Return the lists of two splits or more as one; None where there are no two, or they name an image twice."""
    by_split = {split: labels for split, labels in parsed if split is not None}
    if len(by_split) < 2:
        return None
    rows: dict[str, tuple[str, str | None]] = {}
    for split, labels in by_split.items():
        if rows.keys() & labels.rows.keys():
            return None
        rows |= {name: (group, split) for name, (group, _) in labels.rows.items()}
    return Labels(", ".join(labels.path for labels in by_split.values()), rows)


def _validation(names: Sequence[str]) -> bool:
    """Return whether images are called as ImageNet's validation images."""
    return all(map(_VALIDATION.fullmatch, names))


def _beside(path: str, _: Sequence[File]) -> Labels | None:
    """Return labels of ImageNet's validation images from the folder that its archive or folder lies in."""
    refused: DataError | None = None
    for found in (Path(path).parent / name for name in _BESIDE):
        try:
            if found.exists():
                return given(found)
        except DataError as error:
            refused = refused or error
    if refused is not None:
        raise refused
    return None


def _named(files: Sequence[File], name: str) -> File | None:
    return next((file for file in files if file.name.rpartition("/")[2].lower() == name), None)


def _matlab(path: str, file: File) -> dict[str, Any]:
    try:
        return matlab.read(file.read())
    except ValueError as error:
        raise DataError(
            f"{path}: {file.name} cannot be read ({error}); copy it again, or give --names lines `image class`"
        ) from None


def _flowers(path: str, files: Sequence[File]) -> Labels | None:
    """Read the labels of Oxford's 102 flowers: number n is that of jpg/image_0000n.jpg; setid.mat divides them."""
    file = _named(files, "imagelabels.mat")
    if file is None:
        return None
    labels = _matlab(path, file).get("labels")
    if labels is None:
        raise DataError(f"{path}: {file.name} has no variable `labels`; give --names a list of lines `image class`")
    splits: dict[int, str] = {}
    if (divided := _named(files, "setid.mat")) is not None:
        sets = _matlab(path, divided)
        for key, split in (("trnid", "train"), ("valid", "val"), ("tstid", "test")):
            splits |= dict.fromkeys(_integers(sets.get(key, ())), split)
    numbered = enumerate(_integers(labels), 1)
    return Labels(file.name, {f"image_{n:05}.jpg": (str(label), splits.get(n)) for n, label in numbered})


def _integers(values: Any) -> list[int]:
    return [int(value) for value in getattr(values, "ravel", lambda: values)()]


def _devkit(path: str, files: Sequence[File]) -> Labels | None:
    """Read the devkit of ImageNet's challenge: line n has the number of the class of validation image n.

    The numbers are ILSVRC2012_ID of meta.mat, which are not in the order of the WordNet numbers.
    """
    truth, meta = _named(files, _TRUTH), _named(files, "meta.mat")
    if truth is None:
        return None
    if meta is None:
        raise DataError(
            f"{path}: {truth.name} without meta.mat, which has the classes of its numbers; put it beside it"
        )
    known = _synsets(path, meta)
    try:
        numbers = [int(line) for line in truth.read().split()]
        rows: dict[str, tuple[str, str | None]]
        rows = {f"ILSVRC2012_val_{index:08}.JPEG": (known[number], None) for index, number in enumerate(numbers, 1)}
    except (ValueError, KeyError) as error:
        raise DataError(f"{path}: {truth.name}: {error} is no number of a class in {meta.name}") from None
    return Labels(truth.name, rows)


def _synsets(path: str, meta: File) -> dict[int, str]:
    """Return {ILSVRC2012_ID: WordNet number}."""
    try:
        found = _matlab(path, meta)["synsets"]
        return {_integers(each["ILSVRC2012_ID"])[0]: str(each["WNID"]) for each in found}
    except (KeyError, TypeError, IndexError, AttributeError):
        raise DataError(
            f"{path}: {meta.name} has no `synsets` with ILSVRC2012_ID and WNID; copy the devkit again"
        ) from None
