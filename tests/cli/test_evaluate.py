"""What a network makes of a set: counts that are known beforehand, classes by name, files that are written."""

import csv
import json
import math

import numpy as np
import pytest

import cualex
from cualex import networks
from cualex.data import pack, sources
from cualex.data.decoding import finish
from cualex.data.sources import demo
from cualex.errors import DataError
from cualex.evaluation import Evaluation, evaluate
from cualex.plots import confusion
from cualex.system import files
from cualex.weights import Weights
from tests.support import colour_network
from tests.support.colour_network import SHOWN, broken, fill, picture, run

# Rows true, columns named, both in the order of the weights file: green, red, blue.
CONFUSION = [[4, 3, 0], [0, 15, 4], [2, 0, 9]]


@pytest.fixture
def weights(tmp_path):
    return colour_network.saved(tmp_path / "alone" / "weights.safetensors")


@pytest.fixture
def data(tmp_path):
    return fill(tmp_path / "set")


@pytest.fixture
def judged(weights, data, tmp_path):
    """Run `cualex evaluate --json` and return what it wrote."""

    def call(*arguments, code=0, where=data, using=weights):
        fixed = ["evaluate", *([where] if where else []), "-w", using, "--cache", tmp_path / "cache", "--json"]
        result = run(*fixed, *arguments)
        assert result.exit_code == code, result.output
        return json.loads(result.stdout), result.stderr

    return call


@pytest.fixture
def packed(weights, data, tmp_path):
    """Return the model and the set, packed."""
    model = cualex.load(weights)
    source = sources.find(data, val_split=0, classes=model.classes)
    return model, finish(pack.pack(source, "train", 32, cache=tmp_path / "cache"))


# --- counts


@pytest.mark.parametrize("batch", [1, 7, 32, 64])
def test_every_batch_gives_the_same_counts(packed, batch):
    model, held = packed
    found = evaluate(model, held, batch)
    assert found.confusion.tolist() == CONFUSION
    assert (found.count, found.right1, found.right5) == (37, 28, 37)
    whole = evaluate(model, held, 37)
    assert (found.named == whole.named).all()
    assert found.loss == pytest.approx(whole.loss, rel=1e-5)
    np.testing.assert_allclose(found.probabilities, whole.probabilities, rtol=1e-5)


def test_the_loss_is_the_mean_of_minus_the_logarithm(packed):
    model, held = packed
    pictures = np.empty((37, 32, 32, 3), np.uint8)
    held.read(np.arange(37), pictures)
    probabilities = model.probabilities(pictures)[np.arange(37), held.labels]
    found = evaluate(model, held, 5)
    assert found.loss == pytest.approx(-np.log(probabilities.astype(float)).mean(), rel=1e-5)


def test_top_five_counts_the_five_likeliest(tmp_path):
    """Eight classes, of which the network has weights for three; the others share what is left, in order."""
    names = [*colour_network.CLASSES, *"vwxyz"]
    made = colour_network.made()
    network = networks.build("cifar-relu", classes=8)
    tensors = made.tensors | {"fc4.weight": np.zeros((8, 576), np.float32), "fc4.bias": np.zeros(8, np.float32)}
    tensors["fc4.weight"][:3] = made.tensors["fc4.weight"]
    model = cualex.Model(Weights(network, tensors, names, made.mean))
    place = fill(tmp_path / "set", {name: ["red"] for name in names})
    source = sources.find(place, val_split=0, classes=names)
    found = evaluate(model, finish(pack.pack(source, "train", 32, cache=tmp_path / "cache")))
    # red first, then green, blue, v and w, whose probabilities are equal; x, y and z are behind them.
    assert (found.count, found.right1, found.right5) == (8, 1, 5)


def test_the_macro_recall_is_the_mean_of_the_classes_recalls(packed):
    found = evaluate(*packed)
    assert found.macro_recall == pytest.approx((4 / 7 + 15 / 19 + 9 / 11) / 3, rel=1e-12)


@pytest.mark.parametrize(
    ("counts", "recall", "uneven"),
    [
        ([[190, 0], [10, 0]], 0.5, True),  # where top-1 is 95 %
        ([[2, 1], [1, 1]], (2 / 3 + 1 / 2) / 2, False),  # 3 images are 1.5 times 2, and no more
        ([[3, 1], [1, 1]], (3 / 4 + 1 / 2) / 2, True),
        ([[2, 1, 0], [0, 0, 0], [0, 0, 3]], (2 / 3 + 1) / 2, False),  # a class without images counts nowhere
        ([[0, 0], [0, 0]], 0.0, False),
    ],
)
def test_the_macro_recall_of_uneven_classes(counts, recall, uneven):
    found = evaluation(map(str, range(len(counts))), counts)
    assert found.macro_recall == pytest.approx(recall, rel=1e-12)
    assert found.uneven is uneven


def test_scores_that_are_no_numbers_are_never_right(packed):
    model, held = packed
    tensors = colour_network.made().tensors
    tensors["fc4.bias"][:] = np.nan
    spoiled = cualex.Model(Weights(model.network, tensors, model.classes, model.mean))
    found = evaluate(spoiled, held)
    assert (found.count, found.right1, found.right5, found.confusion.sum()) == (37, 0, 0, 0)
    assert found.macro_recall == 0
    assert math.isnan(found.loss)
    assert [(row["pictures"], row["right"], row["taken_for"]) for row in found.per_class()] == [
        *((7, 0, ""), (19, 0, ""), (11, 0, "")),
    ]


def test_a_set_of_other_classes_is_refused(packed):
    _, held = packed
    other = cualex.Model(colour_network.made(["red", "blue", "green"]))
    with pytest.raises(DataError, match=r"classes of the data set are green, red, blue, expected .* red, blue, green"):
        evaluate(other, held)


# --- the command


def test_folders_are_matched_by_name(judged):
    """The folders are in another order than the classes of the network."""
    found, said = judged()
    assert [row["class"] for row in found["classes"]] == colour_network.CLASSES
    assert found["confusion"] == CONFUSION
    assert (found["pictures"], found["split"]) == (37, "all")
    assert (found["top1"], found["top5"]) == (28 / 37, 1.0)
    assert found["macro_recall"] == pytest.approx((4 / 7 + 15 / 19 + 9 / 11) / 3, rel=1e-12)
    assert found["classes"][0] == {
        "class": "green",
        "pictures": 7,
        "right": 4,
        "share": 4 / 7,
        "taken_for": "red",
        "predicted": 6,
        "precision": 4 / 6,
        "recall": 4 / 7,
        "f1": 8 / 13,
    }
    assert found["macro_precision"] == pytest.approx((4 / 6 + 15 / 18 + 9 / 13) / 3, rel=1e-12)
    assert found["macro_f1"] == pytest.approx((8 / 13 + 30 / 37 + 18 / 24) / 3, rel=1e-12)
    assert "has no splits, so all of its images are evaluated" in said


@pytest.mark.slow
@pytest.mark.parametrize("batch", [1, 32])
def test_the_batch_does_not_show_in_the_figures(judged, batch):
    assert judged("--batch-size", batch, "--no-pack")[0]["confusion"] == CONFUSION


@pytest.mark.slow
def test_the_table_is_for_people(weights, data, tmp_path):
    result = run("evaluate", data, "-w", weights, "--cache", tmp_path / "cache")
    assert result.exit_code == 0
    lines = [line.split() for line in result.stdout.splitlines() if line and "─" not in line]
    assert " ".join(lines[0]).startswith(f"{data} all, 37 images: top-1 75.7%, loss 0.")
    assert " ".join(lines[1]) == "Macro averages: precision 73.1%, recall 72.6%, F1 72.5%"
    assert lines[2:] == [
        ["class", "images", "correct", "precision", "recall", "f1", "most", "confused", "with"],
        ["green", "7", "4", "66.7%", "57.1%", "61.5%", "red"],
        ["red", "19", "15", "83.3%", "78.9%", "81.1%", "blue"],
        ["blue", "11", "9", "69.2%", "81.8%", "75.0%", "green"],
    ]


def test_a_folder_that_is_no_class_is_named(data, weights):
    picture(data / "violet" / "1.png", "red")
    result = run("evaluate", data, "-w", weights)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == (
        f"Error: {data}: the model has no class violet; its 3 classes are green, red, blue: "
        "rename or remove these folders\n"
    )


def test_a_class_without_a_folder_is_noted(judged, tmp_path):
    place = fill(tmp_path / "two", {"red": ["red"] * 3, "blue": ["blue"] * 2})
    found, said = judged(where=place)
    assert "Note: no images of the model's class green\n" in said
    assert [(row["pictures"], row["share"]) for row in found["classes"]] == [(0, None), (3, 1.0), (2, 1.0)]


def test_the_demo_set_has_classes_of_its_own(weights):
    result = run("evaluate", "demo", "-w", weights)
    assert result.exit_code == 1
    assert result.stderr.splitlines()[-1] == (
        "Error: the classes of the data set are warm-disc, cool-disc, warm-ring, cool-ring, warm-triangle and 5 "
        "more, expected those of the network: green, red, blue. Give a data set of these classes, or other "
        "weights."
    )
    assert "packing" not in result.stderr
    assert len(demo.CLASSES) == 10


@pytest.mark.slow
def test_validation_is_what_counts_unless_told(judged, tmp_path):
    place = tmp_path / "splits"
    fill(place / "train")
    fill(place / "val", {name: [name] * 2 for name in SHOWN})
    fill(place / "test", {name: ["red"] for name in SHOWN})
    assert [judged(*split, where=place)[0]["pictures"] for split in ((), ("--split", "train"))] == [6, 37]
    found = judged("--split", "test", where=place)[0]
    assert (found["split"], found["top1"]) == ("test", 1 / 3)
    (place / "test").rename(tmp_path / "elsewhere")
    result = run("evaluate", place, "--split", "test", "-w", tmp_path / "alone" / "weights.safetensors")
    assert result.stderr.splitlines()[-1] == f"Error: {place} has no test images: choose --split train or val"


def test_pictures_that_cannot_be_read_are_left_out_and_named(judged, data):
    broken(data / "red" / "3.png")
    found, said = judged(code=3)
    assert found["confusion"] == [CONFUSION[0], [0, 14, 4], CONFUSION[2]]
    assert [entry["name"] for entry in found["skipped"]] == ["red/3.png"]
    assert "  red/3.png: not an image" in said
    assert said.endswith("Error: 1 of 37 images could not be read; the others are evaluated.\n")


# --- the set that a run was trained on


@pytest.mark.slow
@pytest.mark.parametrize("rule", ["hash-rank-0", "hash-threshold-1"])
def test_a_run_knows_its_data_and_how_they_were_divided(judged, data, tmp_path, rule):
    """Runs of cualex 0.1 recorded no rule: theirs was hash-rank-0."""
    said = {} if rule == "hash-rank-0" else {"split_rule": rule}
    using = colour_network.finished(tmp_path / "runs", data=str(data), val_split=0.5, **said)
    found, said = judged(where=None, using=using)
    counts = {
        (share, rule): len(sources.find(data, val_split=share, split_rule=rule).splits["val"])
        for share in (0.2, 0.5)
        for rule in ("hash-rank-0", "hash-threshold-1")
    }
    assert (found["split"], found["pictures"]) == ("val", counts.pop((0.5, rule)))
    assert found["pictures"] not in (37, *counts.values())
    assert f"Data: {data}, the data set of the run.\n" in said
    named, _ = judged(where=f"{data}/../set", using=using)
    assert named["confusion"] == found["confusion"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("recorded", "split", "pictures"),
    [
        ({}, "test", 3),
        ({"split_rule": "hash-threshold-1", "val": "test"}, "test", 3),
        ({"split_rule": "hash-threshold-1", "val": "held-out"}, "val", None),
        ({"split_rule": "hash-threshold-1", "val": "held-out", "val_split": 0}, "test", 3),
    ],
    ids=["of 0.1", "test", "held-out", "nothing"],
)
def test_of_a_set_with_test_what_validated_counts_unless_told(judged, tmp_path, recorded, split, pictures):
    place = tmp_path / "splits"
    fill(place / "train")
    fill(place / "test", {name: ["red"] for name in SHOWN})
    using = colour_network.finished(tmp_path / "runs", data=str(place), **{"val_split": 0.5, **recorded})
    divided = sources.find(place, val_split=0.5).splits
    expected = pictures or len(divided["val"])
    found, _ = judged(where=None, using=using)
    assert (found["split"], found["pictures"]) == (split, expected)
    found, _ = judged("--split", "test", where=None, using=using)
    assert (found["split"], found["pictures"], found["top1"]) == ("test", 3, 1 / 3)
    found, _ = judged("--split", "train", where=None, using=using)
    assert found["pictures"] == (37 if split == "test" else 37 - expected)
    found, _ = judged(where=place, using=tmp_path / "alone" / "weights.safetensors")
    assert (found["split"], found["pictures"]) == ("test", 3)


@pytest.mark.slow
def test_other_data_than_the_runs_are_not_divided(judged, data, tmp_path):
    using = colour_network.finished(tmp_path / "runs", data=str(tmp_path / "other"), val_split=0.5)
    assert judged(using=using)[0]["pictures"] == 37
    assert judged("--val-split", "0.2", using=using)[0]["split"] == "val"


def test_the_list_of_names_is_that_of_the_runs_own_data(judged, tmp_path):
    for place in ("own", "other"):
        fill(tmp_path / place / "train")
        for number, colour in enumerate(("red", "blue", "blue")):
            picture(tmp_path / place / "val" / f"{number}.png", colour)
    listed = broken(tmp_path / "val.txt", b"0.png red\n1.png blue\n2.png red\n")
    using = colour_network.finished(tmp_path / "runs", data=str(tmp_path / "own"), names=str(listed))
    assert judged(where=None, using=using)[0]["confusion"] == [[0, 0, 0], [0, 1, 1], [0, 0, 1]]
    result = run("evaluate", tmp_path / "other", "-w", using)
    assert result.exit_code == 1
    assert "other/val: 3 images without labels" in result.stderr


def test_weights_that_stand_alone_are_asked_about_the_demo_set(weights):
    assert "Data: demo, the built-in data set.\n" in run("evaluate", "-w", weights).stderr


def test_a_damaged_description_of_a_run_counts_as_none(judged, tmp_path):
    using = colour_network.finished(tmp_path / "runs")
    (using.parent / "args.json").write_text('{"data": ')
    assert judged(using=using)[0]["pictures"] == 37


# --- files


@pytest.mark.slow
def test_the_files_say_what_the_figures_say(judged, data, tmp_path):
    place = tmp_path / "deep" / "judged"
    _, said = judged("--output", place)
    assert sorted(path.name for path in place.iterdir()) == [
        *("confusion.csv", "confusion.png", "per_class.csv", "predictions.csv"),
    ]
    assert f"confusion.png and predictions.csv in {place}\n" in said
    read = {path.stem: list(csv.reader(path.read_text().splitlines())) for path in place.glob("*.csv")}
    assert read["confusion"][0] == ["true \\ named", *colour_network.CLASSES]
    assert [[int(number) for number in row[1:]] for row in read["confusion"][1:]] == CONFUSION
    columns = ["class", "pictures", "right", "share", "taken_for", "predicted", "precision", "recall", "f1"]
    assert read["per_class"][0] == columns
    assert [row[0] for row in read["per_class"][1:]] == colour_network.CLASSES
    assert [row[2] for row in read["per_class"][1:]] == ["4", "15", "9"]
    header, *rows = read["predictions"]
    assert header == ["picture", "class", "named", "probability"]
    assert len(rows) == 37
    for name, true, named, probability in rows:
        folder, _, number = name.removesuffix(".png").partition("/")
        assert (true, named) == (folder, SHOWN[folder][int(number)])
        shares = dict(cualex.load(tmp_path / "alone" / "weights.safetensors").predict(data / name))
        assert float(probability) == pytest.approx(shares[named], rel=1e-5)
    assert (place / "confusion.png").read_bytes().startswith(b"\x89PNG")


def evaluation(names, counts):
    """Make an evaluation of which the confusion matrix is `counts`."""
    counts = np.array(counts)
    labels, named = (np.repeat(places, counts.ravel()) for places in np.indices(counts.shape).reshape(2, -1))
    pictures = tuple(f"{number}.png" for number in range(len(labels)))
    return Evaluation(tuple(names), pictures, labels, named, np.ones(len(labels), np.float32), 0, 1.0)


@pytest.mark.parametrize(
    "names",
    [
        ["$x_$", "a$b"],
        ["two\nlines", "x" * 300],
        ["caf\udce9", "猫"],
    ],
)
def test_any_name_of_a_class_can_be_drawn_and_written(tmp_path, names):
    found = evaluation(names, [[2, 1], [0, 3]])
    confusion.draw(found, tmp_path / "confusion.png")
    files.replace_text(tmp_path / "c.csv", found.confusion_csv())
    with open(tmp_path / "c.csv", newline="", encoding="utf-8", errors="surrogateescape") as file:
        assert [row[0] for row in csv.reader(file)] == ["true \\ named", *names]
