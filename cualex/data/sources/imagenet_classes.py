"""The names of ImageNet's 1000 classes, in the order of their WordNet numbers (n01440764 first).

That is the order of Caffe, PyTorch, TensorFlow and the ONNX zoo. The challenge's devkit numbers them otherwise.
"""

import functools
from collections import Counter
from importlib import resources

COUNT = 1000


def classes() -> list[str]:
    """Return unique class names: the first word; all words where two classes share it; and the number if needed."""
    words = [line.split(" ", 1)[1] for line in _lines()]
    first = [word.split(", ")[0] for word in words]
    count = Counter(first)
    names = [short if count[short] == 1 else full for short, full in zip(first, words, strict=True)]
    count = Counter(names)
    return [name if count[name] == 1 else f"{name} ({number})" for name, number in zip(names, numbers(), strict=True)]


def numbers() -> list[str]:
    """Return the WordNet numbers of the classes, which are the names of ImageNet's folders."""
    return [line.split(" ", 1)[0] for line in _lines()]


def english(name: str) -> str:
    """Return the English name of a class that is called by its WordNet number, and any other name as it is."""
    return _titles().get(name, name)


def same(name: str) -> tuple[str, ...]:
    """Return what else a class is called: `0` of Caffe's lists, `n01440764` of the folders, `tench`."""
    return _others().get(name, ())


@functools.cache
def both_ways() -> frozenset[str]:
    """Return all WordNet numbers and English names of the classes."""
    return frozenset((*numbers(), *classes()))


@functools.cache
def _titles() -> dict[str, str]:
    return dict(zip(numbers(), classes(), strict=True))


@functools.cache
def _others() -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    for index, (number, word) in enumerate(_titles().items()):
        found |= {str(index): (number, word), number: (word,), word: (number,)}
    return found


@functools.cache
def _lines() -> tuple[str, ...]:
    """Return the lines of the list: number, blank, words."""
    text = resources.files(__package__).joinpath("imagenet_classes.txt").read_text("utf-8")
    return tuple(line for line in text.splitlines() if line and not line.startswith("#"))
