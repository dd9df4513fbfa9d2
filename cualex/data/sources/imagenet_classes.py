"""The names of ImageNet's 1000 classes, in the order of their WordNet numbers (n01440764 first).

That is the order of Caffe, PyTorch, TensorFlow and the ONNX zoo. The challenge's devkit numbers them otherwise.
"""

import functools
from collections import Counter
from importlib import resources

COUNT = 1000


def classes() -> list[str]:
    """Return unique class names: the first word; all words where two classes share it; and the number if needed."""
    words = _words()
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
    """Return what else a class is called: `0` and `tench, Tinca tinca` of Caffe's lists, `n01440764`, `tench`."""
    return _others().get(name, ())


@functools.cache
def both_ways() -> frozenset[str]:
    """Return all names of classes: WordNet numbers, English names and whole lines of words, but no indices."""
    return frozenset(name for name in _others() if not name.isdecimal())


@functools.cache
def _titles() -> dict[str, str]:
    return dict(zip(numbers(), classes(), strict=True))


@functools.cache
def _others() -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    words = _words()
    for index, (number, word) in enumerate(_titles().items()):
        # Two classes that share all of their words (crane, the bird and the machine) cannot be told apart by them.
        whole = (words[index],) if words[index] != word and words.count(words[index]) == 1 else ()
        names = (number, word, *whole)
        found[str(index)] = names
        found |= {name: tuple(other for other in names if other != name) for name in names}
    return found


def _words() -> list[str]:
    return [line.split(" ", 1)[1] for line in _lines()]


@functools.cache
def _lines() -> tuple[str, ...]:
    """Return the lines of the list: number, blank, words."""
    text = resources.files(__package__).joinpath("imagenet_classes.txt").read_text("utf-8")
    return tuple(line for line in text.splitlines() if line and not line.startswith("#"))
