"""Whatever class folders there are, and in whatever order: the confusion of the classes that remain is the same."""

import functools
import tempfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import cualex
from cualex import networks
from cualex.data import no_pack, sources
from cualex.data.decoding import finish
from cualex.errors import DataError
from cualex.evaluation import evaluate
from cualex.weights import Weights
from tests.support import colour_network
from tests.support.data_sets import in_folder
from tests.support.image_files import encoded

# The class, what its pictures have of red, green and blue, and what the pictures in its folder really show. The names
# come in other orders by letters, by bytes and by what a Mac makes of them.
SHADES = {
    "red": (1, 0, 0),
    "Blue": (0, 0, 1),
    "é": (0, 1, 0),
    "a b": (1, 1, 0),
    "10": (0, 1, 1),
    "9": (1, 0, 1),
}
SHOWN = {
    "red": ["red", "red", "Blue"],
    "Blue": ["Blue", "10", "10", "10"],
    "é": ["é"],
    "a b": ["a b", "a b", "red", "é", "9"],
    "10": ["9", "red"],
    "9": ["9", "9", "9", "9", "9", "10"],
}
CLASSES = list(SHADES)


@functools.cache
def model(order):
    """Make a network that names the shade, with its classes in this order.

    A class scores what a picture has of its colours, divided by how many they are, to the power of 0.7: with one
    colour in the picture 1 against 0.62, with two 1.23 against 1.
    """
    network = networks.build("cifar-relu", classes=len(order))
    tensors = colour_network.made().tensors | {"fc4.bias": np.zeros(len(order), np.float32)}
    tensors["fc4.weight"] = np.zeros((len(order), 576), np.float32)
    scores = tensors["fc4.weight"].reshape(len(order), 64, 9)
    for label, name in enumerate(order):
        scores[label, :3] = 0.01 * np.array(SHADES[name])[:, None] / sum(SHADES[name]) ** 0.7
    return cualex.Model(Weights(network, tensors, list(order), np.zeros((32, 32, 3), np.float32)))


@functools.cache
def pictures(name):
    """Make the pictures of a class folder, each with a level of its own."""
    levels = (200 - 9 * number for number in range(len(SHOWN[name])))
    shades = zip(SHOWN[name], levels, strict=True)
    return [
        encoded(Image.new("RGB", (40, 33), tuple(level * c for c in SHADES[shown])), "PNG") for shown, level in shades
    ]


def fill(place, folders, empty=()):
    """Write class folders in this order; those in `empty` have no picture."""
    in_folder(place, [f"{name}/" for name in empty if name not in folders])
    for name in folders:
        (place / name).mkdir(parents=True)
        for number, data in enumerate(pictures(name)):
            (place / name / f"{number}.png").write_bytes(data)
    return place


def confusion(order, folders, empty=(), split=""):
    """Evaluate a network whose classes are in this order: {(true, named): pictures}."""
    judge = model(tuple(order))
    with tempfile.TemporaryDirectory() as place:
        fill(Path(place) / split, folders, empty)
        source = sources.find(place, val_split=0, classes=judge.classes)
        found = evaluate(judge, finish(no_pack.unpacked(source, split or "train", 32, workers=1)), 8)
    assert found.count == found.confusion.sum() == sum(len(SHOWN[name]) for name in folders)
    rows = found.per_class()
    assert {row["class"]: row["pictures"] for row in rows if row["pictures"]} == {n: len(SHOWN[n]) for n in folders}
    named = np.argwhere(found.confusion)
    return {(found.classes[a], found.classes[b]): int(found.confusion[a, b]) for a, b in named}


def expected(folders):
    return {(name, shown): SHOWN[name].count(shown) for name in folders for shown in SHOWN[name]}


def any_of(examples, **drawn):
    """Return what lets a function run with so many examples, drawn by functions of (strategies, folders).

    Hypothesis is imported here: it reads every module of the program once, and every process collects this file.
    """
    from hypothesis import HealthCheck, given, settings
    from hypothesis import strategies as st

    folders = st.lists(st.sampled_from(CLASSES), unique=True, min_size=1)
    few = settings(
        max_examples=examples,
        derandomize=True,
        deadline=None,
        database=None,
        suppress_health_check=[HealthCheck.too_slow],
    )
    return lambda check: few(given(**{name: draw(st, folders) for name, draw in drawn.items()})(check))


def same_for_any(examples):
    @any_of(
        examples,
        order=lambda st, folders: st.permutations(CLASSES),
        folders=lambda st, folders: folders,
        more=lambda st, folders: folders,
        empty=lambda st, folders: folders,
        split=lambda st, folders: st.sampled_from(["", "val", "test"]),
    )
    def check(order, folders, more, empty, split):
        found = confusion(order, folders, empty, split)
        assert found == expected(folders)
        # With more folders, made in another order, and another order of the network's classes.
        superset = [*more, *(name for name in folders if name not in more)]
        larger = confusion(order[::-1], superset, (), split)
        assert {pair: count for pair, count in larger.items() if pair[0] in folders} == found

    check()


@pytest.mark.slow
@pytest.mark.parametrize("examples", [5, pytest.param(150, marks=pytest.mark.slow)])
def test_folders_in_any_number_and_order_give_the_same_confusion(examples):
    """Tries 5 sets of folders, 150 under `-m slow`."""
    same_for_any(examples)


@pytest.mark.slow
def test_a_folder_that_is_no_class_is_named_and_shifts_nothing():
    """A folder too many is never taken for a class, wherever it would come in the order."""

    @any_of(
        15,
        folders=lambda st, folders: folders,
        strange=lambda st, folders: st.sampled_from(["0", "RED", "blue", "e", "zebra", "10 "]),
    )
    def check(folders, strange):
        with tempfile.TemporaryDirectory() as place:
            fill(Path(place), folders)
            (Path(place) / strange).mkdir()
            (Path(place) / strange / "1.png").write_bytes(pictures("red")[0])
            with pytest.raises(DataError) as caught:
                sources.find(place, val_split=0, classes=CLASSES)
        assert f": the model has no class {strange}; its 6 classes are " in str(caught.value)

    check()
