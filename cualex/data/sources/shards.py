"""WebDataset shards: tars of samples, whose files have one name up to the first dot: 000123.jpg, 000123.cls.

Each image becomes a file of its class in its split, `train/tabby/imagenet-train-0003-000123.jpg`, so that everything
else sees folders. The class is what the first of these holds:

    .cls, .cls.txt, .class, .label    a number or a name; for numbers a .json beside it may have the name
    .json                             a key of _NAMES or of _NUMBERS
    .txt                              a name; captions, hardly two of which are alike, are refused

The names of numbered classes are the lines of a classnames.txt (or of _LISTS) beside the shards, or the values of a
.json. The split is a word of the shard's name, as in `train-0003.tar`, or of its folder's. Shards are read where they
are, at packing; nothing streams.

A .json or .txt beside an image is common where it is no class: without a .cls a tar is a shard only if its name has a
number and each of its images has a class there that can be read. Of a sample the first image counts, 000123.jpg; others
of its name, such as 000123.mask.png, are left out.
"""

import json
import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from cualex.data.image_kinds import ENDINGS
from cualex.data.sources import split_names
from cualex.data.sources.left_behind import is_left_behind
from cualex.data.sources.listing import File, Listing
from cualex.errors import DataError, ImageError
from cualex.system.amounts import some

_CLASSES = ("cls", "cls.txt", "class", "label")
_NAMES = ("class_name", "classname", "label_name", "category_name", "wnid", "synset")
_NUMBERS = ("label", "cls", "class", "class_id", "label_id", "category", "target")
_LISTS = ("classnames", "class_names", "classes", "labels", "label_names", "categories", "names")
_NUMBERED = re.compile(r".*\d")
_FLAT = ("images", "image", "imgs", "img")
_SUFFIXES = tuple(ending[1:] for ending in ENDINGS)
LONGEST = 200  # characters of a class's name


@dataclass(frozen=True)
class Sample:
    """An image, and the files beside it by what follows the first dot of their names, in lower case."""

    image: File
    beside: Mapping[str, File]

    def label(self) -> File | None:
        """Return the file that holds the class, None where there is none."""
        return next((self.beside[kind] for kind in (*_CLASSES, "json", "txt") if kind in self.beside), None)


@dataclass(frozen=True)
class Shard:
    """A shard: its name without the suffix, a stamp that changes when it does, and its samples.

    further: how many images its samples have beside those that count.
    """

    name: str
    stamp: str
    samples: tuple[Sample, ...]
    further: int = 0


def shard(name: str, found: Listing, stamp: str) -> Shard | None:
    """Return an archive's samples, or None where it is no shard: it has folders, or no image has a class beside it."""
    samples: dict[str, dict[str, File]] = {}
    for file in found.files:
        if any(map(is_left_behind, file.name.split("/"))):
            continue
        folder, _, base = file.name.rpartition("/")
        if folder and not split_names.sure(folder) and folder.lower() not in _FLAT:
            return None
        key, _, kind = base.partition(".")
        samples.setdefault(f"{folder}/{key}", {})[kind.lower()] = file
    made, further = [], 0
    for beside in samples.values():
        pictures = sorted((kind for kind in beside if kind.endswith(_SUFFIXES)), key=lambda kind: "." in kind)
        if pictures:
            others = {kind: each for kind, each in beside.items() if kind not in pictures}
            made.append(Sample(beside[pictures[0]], others))
            further += len(pictures) - 1
    found_shard = Shard(name, stamp, tuple(made), further)
    sure = any(kind in sample.beside for sample in made for kind in _CLASSES)
    return found_shard if sure or (_NUMBERED.fullmatch(name) and _has_classes(found_shard)) else None


def _has_classes(shard: Shard) -> bool:
    """Return whether the .json or .txt beside each image has its class, and not a caption or whatever else."""
    labels = [sample.label() for sample in shard.samples]
    try:
        classes = {_class(shard.name, shard, file) for file in labels if file}
    except DataError:
        return False
    captions = all(file is not None and file.name.endswith(".txt") for file in labels)
    return bool(labels) and all(labels) and not (captions and _too_many(classes, len(labels)))


def _too_many(classes: Collection[str], images: int) -> bool:
    """Return whether texts are captions, hardly two of which are alike."""
    return len(classes) > max(2, images // 2)


def arranged(path: str, shards: Sequence[Shard], beside: Iterable[File]) -> tuple[list[File], list[str]]:
    """Return the images of shards, each in the folders of its split and class, and notes.

    path: what errors call the set.  beside: the files beside the shards, some of which may name the classes.
    Raise DataError where no image has a class, or a class cannot be read.
    """
    labelled = [(each, sample, file) for each in shards for sample in each.samples if (file := sample.label())]
    images, captions = (
        sum(len(each.samples) for each in shards),
        all(file.name.endswith(".txt") for *_, file in labelled),
    )
    if not labelled:
        raise DataError(f"{path}: shards without classes; expected a .cls with the class beside each image")
    classes = [_class(path, each, file) for each, _, file in labelled]
    if captions and _too_many(set(classes), len(classes)):
        raise DataError(
            f"{path}: shards of captions, {len(set(classes)):,} texts for {len(classes):,} images, and not of classes; "
            "expected a .cls with the class beside each image"
        )
    names = named(path, classes, [*_listed(path, beside)] or _in_samples(path, labelled, classes))
    made = []
    for (each, sample, _), name in zip(labelled, names, strict=True):
        own = f"{each.name}/{sample.image.name}".replace("/", "-")
        made.append(
            File(f"{split_of(each.name)}/{name}/{own}", f"{sample.image.stamp} {each.stamp}", sample.image.read)
        )
    lost, further = images - len(labelled), sum(each.further for each in shards)
    notes = [f"{lost:,} images of the shards have no class beside them and are left out"] if lost else []
    if further:
        notes.append(f"{further:,} further images of the shards' samples, such as masks, are left out")
    return made, notes


def split_of(name: str) -> str:
    """Return the split that a shard's name or folders name, the last word first; train where none does."""
    words = [word for part in name.split("/") for word in split_names.parts(part)]
    return next((split_names.WORDS[word] for word in reversed(words) if word in split_names.SURE), "train")


def named(path: str, classes: Sequence[str], names: Sequence[str]) -> list[str]:
    """Return the names of classes as those of folders; numbers are indices into `names`, where there are any.

    Of two classes with one name, as ImageNet's crane, the number follows. Raise DataError for a number beyond them.
    """
    used = sorted(set(classes))
    texts = {each: each for each in used}
    if names and all(each.isdecimal() for each in used):
        beyond = [each for each in used if int(each) >= len(names)]
        if beyond:
            raise DataError(f"{path}: class {some(beyond)} has no name: the list of classes has {len(names):,}")
        texts = {each: names[int(each)] for each in used}
    count = Counter(texts.values())
    folders = {each: text if count[text] == 1 else f"{text} {each}" for each, text in texts.items()}
    return [folders[each].replace("/", "-").strip(". ") or each for each in classes]


def class_names(path: str, name: str, data: bytes) -> list[str]:
    """Return the classes' names of a list, lines or JSON: a list, or numbers to names; [] where it is neither."""
    try:
        if not name.lower().endswith(".json"):
            return [line.strip() for line in data.decode("utf-8-sig").splitlines() if line.strip()]
        found = json.loads(data)
    except (ValueError, RecursionError):
        raise DataError(f"{path}: {name}: damaged, expected the names of the classes") from None
    if isinstance(found, dict) and all(str(number) in found for number in range(len(found))):
        found = [found[str(number)] for number in range(len(found))]
    return found if isinstance(found, list) and all(isinstance(each, str) for each in found) else []


def _listed(path: str, beside: Iterable[File]) -> list[str]:
    """Return the names of the list of classes beside the shards, [] without one."""
    return next((class_names(path, file.name, _read(path, file)) for file in beside if names_classes(file.name)), [])


def names_classes(name: str) -> bool:
    """Return whether a file is a list of classes by its name."""
    stem, _, kind = name.rpartition("/")[2].lower().rpartition(".")
    return stem in _LISTS and kind in ("txt", "json")


def _in_samples(path: str, labelled: Sequence[tuple[Shard, Sample, File]], classes: Sequence[str]) -> list[str]:
    """Return the names that the .json beside an image of each numbered class has, [] where one has none."""
    first: dict[str, Sample] = {}
    for (_, sample, _), each in zip(labelled, classes, strict=True):
        if not each.isdecimal() or len(each) > 6:
            return []
        first.setdefault(each, sample)
    found = {}
    for each, sample in first.items():
        described = _described(path, sample.beside["json"]) if "json" in sample.beside else {}
        name = next((described[key] for key in _NAMES if isinstance(described.get(key), str)), None)
        if name is None:
            return []
        found[int(each)] = name
    return [found.get(number, str(number)) for number in range(max(found) + 1)]


def _class(path: str, shard: Shard, file: File) -> str:
    """Return the class that a file holds, as a text."""
    if file.name.lower().endswith(".json"):
        described = _described(path, file)
        values = [described[key] for key in (*_NAMES, *_NUMBERS) if key in described]
        value = next((each for each in values if isinstance(each, int | str) and not isinstance(each, bool)), None)
        if value is None:
            keys = some([*map(str, described)]) or "nothing"
            raise DataError(f"{path}: {shard.name}: {file.name} names no class, as label or class_name; it has {keys}")
        text = str(value)
    else:
        try:
            text = _read(path, file).decode("utf-8-sig")
        except UnicodeDecodeError:
            text = "\n"
    text = text.strip() if text != "\n" else text
    if not text or len(text) > LONGEST or not text.isprintable():
        raise DataError(f"{path}: {shard.name}: {file.name}: expected a class, a number or a name in a line")
    return str(int(text)) if text.isdecimal() and text.isascii() else text


def _described(path: str, file: File) -> dict:
    try:
        found = json.loads(_read(path, file))
    except (ValueError, RecursionError):
        raise DataError(f"{path}: {file.name}: damaged, expected JSON") from None
    return found if isinstance(found, dict) else {}


def _read(path: str, file: File) -> bytes:
    try:
        return file.read()
    except ImageError as error:
        raise DataError(f"{path}: {error}") from None
