"""`cualex show heat`, `dream`, `strongest` and `neighbours`: plots, numbers, documents and faults."""

import csv
import json

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

import cualex
from cualex import cli, weights
from cualex.cli import _show, _show_data, _show_explain
from cualex.errors import UsageError
from cualex.explain import METHODS
from cualex.plots.theme import DPI
from cualex.weights import Weights
from tests.golden.pictures import scene
from tests.support import colour_network, json_keys, plot_texts, tiny_runs

BUNDLED = ("-w", "cifar10", "--device", "cpu")


def run(*words):
    return CliRunner().invoke(cli.main, ["show", *words])


def told(*words):
    """Run a command, and return its document, of which `cualex help json` has all keys."""
    result = run(*words, "--json")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert json_keys.faults(["show", *words], found) == []
    return found


def rows_of(path):
    return list(csv.DictReader(path.read_text().splitlines()))


@pytest.fixture
def here(tmp_path, monkeypatch):
    """Work in a directory with an image in it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CUALEX_CACHE", str(tmp_path / "cache"))
    Image.fromarray(scene(90)).save("scene.png")
    return tmp_path


@pytest.fixture
def colours(here):
    """Work beside a finished run, and images of three colours in folders, each of a shade of its own."""
    for colour in colour_network.CLASSES:
        for number in range(4):
            colour_network.picture(here / "set" / colour / f"{number}.png", colour, 250 - 20 * number)
    return colour_network.finished(here / "runs", data=str(here / "set"), val_split=0.0)


def test_the_methods_are_those_of_the_library():
    assert list(METHODS) == _show_explain.METHODS


@pytest.mark.parametrize(
    ("text", "expected"),
    [(None, []), ("3", [3]), ("3,42", [3, 42]), ("0-3, 2,9", [0, 1, 2, 3, 9])],
)
def test_lists_of_filters(text, expected):
    assert _show.numbers(text) == expected


@pytest.mark.parametrize("text", ["", "a", "3-", "5-3", "-1", "1,,2", "²"])
def test_what_is_no_list_of_filters_is_refused(text):
    with pytest.raises(UsageError) as error:
        _show.numbers(text)
    assert str(error.value) == f"--filters {text}: expected numbers from 0 such as 3,42 or 0-7"


def test_a_class_has_a_name_an_english_name_and_an_index():
    class Named:
        classes = ("n01440764", "7", "dog")

    assert [_show.class_index(Named, name) for name in ("n01440764", "tench", "dog", "7", "0")] == [0, 0, 2, 1, 0]
    for name, said in (
        ("cat", "class 'cat': expected one of n01440764, 7, dog"),
        ("3", "expected an index from 0 to 2"),
    ):
        with pytest.raises(UsageError, match=said):
            _show.class_index(Named, name)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("heat", "scene.png", "--method", "saliency", "--steps", "3"), "--steps is of none of the methods saliency"),
        (("heat", "scene.png", *BUNDLED, "--class", "cow"), "class 'cow': expected one of airplane, automobile,"),
        (("heat", "none.png", *BUNDLED), "none.png: cannot be read (No such file or directory)"),
        (("dream", "--class", "cat", "--filters", "3"), "leave --layer and --filters out, or --class"),
        (("dream", *BUNDLED, "--layer", "conv9"), "alexnet has no layer 'conv9'"),
        (("dream", *BUNDLED, "--layer", "conv1", "--filters", "48"), "filter 48 of conv1: expected a number from 0 to"),
        (("neighbours", "one", "two"), "one and two: give one data set, and image files"),
        (("neighbours", "none", *BUNDLED), "none"),
        (("strongest", *BUNDLED, "--filters", "x"), "--filters x: expected numbers from 0 such as 3,42 or 0-7"),
    ],
)
def test_faults_are_one_line_and_leave_nothing(here, words, said):
    result = run(*words)
    assert result.exit_code in (1, 2)
    assert said in result.stderr
    assert result.stderr.startswith("Error: ")
    assert [path.name for path in here.iterdir() if path.name != "cache"] == ["scene.png"]


@pytest.mark.slow
def test_heat_of_two_classes_by_two_methods(here):
    words = ("--class", "dog", "--class", "3", "--method", "ig", "--method", "gradcam", "--steps", "4")
    found = told("heat", "scene.png", *BUNDLED, *words, "--theme", "dark")
    model = cualex.load("cifar10", device="cpu")
    kept = np.load(here / "heat.npy")
    assert (kept.shape, kept.dtype) == ((2, 2, 67, 67), np.float32)
    for row, cls in enumerate(("dog", "cat")):
        integrated = model.explain("scene.png", cls, "integrated-gradients", steps=4)
        assert np.array_equal(kept[row, 0], integrated.heat)
        assert np.array_equal(kept[row, 1], model.explain("scene.png", cls, "grad-cam").heat)
        assert (found["classes"][row]["class"], found["classes"][row]["score"]) == (cls, integrated.score)
        share = dict(model.predict("scene.png", top=10))[cls]
        assert found["classes"][row]["probability"] == pytest.approx(share)
    assert found["methods"] == [
        {"method": "integrated-gradients", "steps": 4},
        {"method": "grad-cam", "layer": "relu5"},
    ]


@pytest.mark.slow
def test_all_methods_and_the_likeliest_class_by_default(here):
    found = told("heat", "scene.png", *BUNDLED)
    model = cualex.load("cifar10", device="cpu")
    assert [each["method"] for each in found["methods"]] == list(METHODS)
    assert [each["class"] for each in found["classes"]] == [model.predict("scene.png", top=1)[0][0]]
    assert found["shape"] == [1, 5, 67, 67]


@pytest.mark.slow
def test_dreams_of_filters_and_of_classes(here):
    model = cualex.load("cifar10", device="cpu")
    found = told("dream", *BUNDLED, "--layer", "conv2", "--filters", "0,70", "--steps", "3", "--seed", "5")
    kept = np.load(here / "dream.npy")
    for image, each, number in zip(kept, found["dreams"], (0, 70), strict=True):
        expected = model.dream("conv2", number, steps=3, seed=5)
        assert np.array_equal(image, expected.image)
        assert (each["filter"], each["class"], each["after"]) == (number, None, expected.course[-1])
    found = told("dream", *BUNDLED, "--class", "dog", "--steps", "2", "--theme", "dark", "-o", "dog.svg")
    assert (found["layer"], found["dreams"][0]["class"], found["dreams"][0]["filter"]) == ("fc8", "dog", 5)
    assert "#0f1114" in (here / "dog.svg").read_text()


@pytest.mark.slow
def test_the_strongest_images_of_a_colours_filter(here, colours):
    """conv1 of this network passes red, green and blue on, in this order."""
    found = told("strongest", "--layer", "conv1", "--filters", "0-2", "--count", "3", "--theme", "dark")
    assert found["strongest"][0]["layer"] == "conv1"
    for filter, colour in enumerate(("red", "green", "blue")):
        own = [row for row in found["strongest"] if row["filter"] == filter]
        assert [row["picture"] for row in own] == [f"{colour}/{number}.png" for number in range(3)]
        assert [row["activation"] for row in own] == pytest.approx([250, 230, 210], rel=1e-5)
    kept = rows_of(here / "strongest.csv")
    assert [(row["picture"], row["filter"]) for row in kept] == [
        (row["picture"], str(row["filter"])) for row in found["strongest"]
    ]


@pytest.mark.slow
def test_the_nearest_images_have_the_querys_colour_and_are_others(here, colours):
    found = told("neighbours", "--queries", "3", "--count", "3", "--theme", "dark")
    assert {row["query_class"] for row in found["neighbours"]} == set(colour_network.CLASSES)
    for row in found["neighbours"]:
        assert row["class"] == row["query_class"]
        assert row["picture"] != row["query"]
        assert row["distance"] > 0
    first = [row["distance"] for row in found["neighbours"][:3]]
    assert first == sorted(first)
    assert len(rows_of(here / "neighbours.csv")) == 9


@pytest.mark.slow
def test_queries_that_are_files_and_sets_of_other_classes_or_none(here, colours, monkeypatch):
    """A query that lies in the set too is left out, its copies are not; other classes, and none, are no fault."""
    colour_network.picture(here / "other/rouge/a.png", "red", 200)
    colour_network.picture(here / "other/vert/b.png", "green", 200)
    found = told("neighbours", "other", "set/red/0.png", "--count", "9", "--metric", "cosine")
    assert [(row["query"], row["query_class"], row["class"]) for row in found["neighbours"]] == [
        ("0.png", None, "rouge"),
        ("0.png", None, "vert"),
    ]
    Image.fromarray(scene(90)).save(here / "other/rouge/c.png")
    query = ("neighbours", "other", "other/rouge/c.png", *BUNDLED)
    found = told(*query, "--count", "9")
    assert {row["picture"] for row in found["neighbours"]} == {"rouge/a.png", "vert/b.png"}
    Image.fromarray(scene(90)).save(here / "other/vert/copy.png")
    texts = plot_texts.record(monkeypatch)
    found = told(*query, "--count", "1", "-o", "same.png")
    assert [(row["picture"], row["distance"]) for row in found["neighbours"]] == [("vert/copy.png", 0)]
    assert "the same image" in texts
    assert "Queries that are in the set are not among their neighbours." in " ".join(texts)
    colour_network.picture(here / "one/rouge/a.png", "red", 200)
    for words in (("neighbours", "one"), ("neighbours", "one", "one/rouge/a.png")):
        result = run(*words)
        assert result.exit_code == 2
        assert "one, 1 image: there is none beside the query; give a set with others" in result.stderr
    for number, colour in enumerate(("green", "red", "blue")):
        colour_network.picture(here / "flat" / f"{colour}.png", colour, 220 - number)
    result = run("strongest", "flat", "--layer", "conv1", "--filters", "0", "--count", "1", "-o", "flat.png")
    assert result.exit_code == 0, result.output
    assert "Note: the images are taken without classes: " in result.stderr
    assert [(row["picture"], row["class"]) for row in rows_of(here / "flat.csv")] == [("red.png", "")]


@pytest.mark.slow
def test_images_that_cannot_be_read_are_exit_code_3(here, colours):
    (here / "set" / "red" / "bad.png").write_bytes(b"none")
    for words in (("strongest", "set", "--layer", "conv1"), ("neighbours", "set")):
        result = run(*words)
        assert result.exit_code == 3
        assert "1 of 13 images could not be read; the others are drawn." in result.stderr
        assert (here / f"{words[0]}.png").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("strongest", "set", "--layer", "conv9"), "alexnet has no layer 'conv9'"),
        (("strongest", "set", "--filters", "0,128"), "filter 128: expected a number from 0 to 127"),
        (("neighbours", "set", "--layer", "conv9"), "alexnet has no layer 'conv9'"),
    ],
)
def test_a_layer_or_filter_that_is_not_there_is_told_before_the_images_are_read(words, said, here, monkeypatch):
    monkeypatch.setattr(_show_data._packing, "find_evaluated", None)
    result = run(*words, *BUNDLED)
    assert result.exit_code == 2
    assert said in result.stderr


@pytest.mark.slow
@pytest.mark.parametrize("command", ["neighbours", "strongest"])
def test_as_many_images_beside_one_another_as_may_be(command, here):
    """A count of a million ended in a traceback of matplotlib."""
    for number in range(26):
        colour_network.picture(here / "set/red" / f"{number}.png", "red", 250 - number)
    rows = ["--queries", "1"] if command == "neighbours" else ["--filters", "1"]
    found = told(command, "set", *BUNDLED, "--count", "24", *rows)
    assert len(found[command]) == 24
    with Image.open(here / f"{command}.png") as image:
        assert image.width > 24 * 0.9 * DPI
    result = run(command, "set", *BUNDLED, "--count", "25", *rows)
    assert result.exit_code == 2
    assert "25 is not in the range 1<=x<=24" in result.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    "words",
    [
        *(
            ("heat", "scene.png"),
            ("dream", "--count", "1", "--steps", "1"),
            ("strongest", "set"),
            ("neighbours", "set"),
        ),
        *(("maps", "scene.png"), ("sparsity", "scene.png"), ("filters",)),
        *(("predictions", "scene.png"), ("predictions", "set"), ("mistakes", "set"), ("confusion", "set")),
    ],
)
def test_every_plot_of_untrained_weights_says_that_they_are_random(words, here, monkeypatch):
    for colour in ("a", "b", "c"):
        for number in range(2):
            colour_network.picture(
                here / "set" / colour / f"{number}.png", colour_network.CLASSES[0], 250 - 90 * number
            )
    model = tiny_runs.small_model()
    made = Weights(model.network, model.parameters.unload(), model.classes, model.mean)
    for name, said in (("random", True), ("trained", False)):
        if not said:
            for bias in (each for each in made.tensors if each.endswith(".bias")):
                made.tensors[bias][0] += 1e-3
        weights.save(here / f"{name}.safetensors", made)
        texts = plot_texts.record(monkeypatch)
        result = run(*words, "-w", f"{name}.safetensors", "-o", f"{name}.png")
        assert result.exit_code == 0, result.output
        assert ("ntrained" in " ".join(texts)) == said
