"""`cualex show`: plots, their numbers, and what is said of them."""

import csv
import json

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from cualex import cli, weights
from cualex.engine.activations import ACTIVATIONS
from tests.golden.pictures import scene
from tests.support import colour_network, json_keys

LIKE = (
    *("network", "filters", "maps", "sparsity", "augment", "predictions", "mistakes", "confusion", "curves"),
    *("heat", "dream", "strongest", "neighbours"),
)


def run(*arguments):
    """Run a command; `cualex help json` has all keys of its document."""
    words = ["show", *map(str, arguments)]
    result = CliRunner().invoke(cli.main, words)
    if "--json" in words and result.exit_code == 0:
        assert json_keys.faults(words, json.loads(result.stdout)) == []
    return result


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
    """Work beside a finished run, and images in folders, of which some show another colour than the folder's."""
    for folder, shown in colour_network.SHOWN.items():
        for number, colour in enumerate(shown):
            colour_network.picture(here / "set" / folder / f"{number}.png", colour, 255 - 9 * number)
    return colour_network.finished(here / "runs", data=str(here / "set"), val_split=0.0)


def test_the_table_of_activations():
    lines = run("activations").stdout.splitlines()
    assert lines[0].split() == ["name", "function", "derivative"]
    assert [line.split()[0] for line in lines[2:]] == list(ACTIVATIONS)
    told = json.loads(run("activations", "--json").stdout)
    assert told[3] == {"name": "softplus", "function": "log(1 + e^x)", "derivative": "1 - e^-y"}


@pytest.mark.slow
def test_the_picture_of_activations(here):
    result = run("activations", "-o", "activations.svg", "--theme", "dark")
    assert (result.exit_code, result.stderr) == (0, "Plot: activations.svg\nNumbers: activations.csv\n")
    assert "#0f1114" in (here / "activations.svg").read_text()
    rows = rows_of(here / "activations.csv")
    assert list(rows[0]) == ["x", *(name + end for name in ACTIVATIONS for end in ("", "'"))]
    half = next(row for row in rows if row["x"] == "-0.5")
    assert (half["relu"], half["leaky-relu"], half["leaky-relu'"]) == ("0", "-0.005", "0.01")
    assert float(half["tanh"]) == pytest.approx(np.tanh(-0.5), rel=1e-5)


@pytest.mark.slow
def test_a_place_that_cannot_be_written_is_one_line(tmp_path):
    result = run("activations", "-o", tmp_path / "not there" / "a.png")
    assert result.exit_code == 1
    assert result.stderr.count("\n") == 1
    assert "cannot write" in result.stderr


def test_an_unknown_figure_is_said():
    result = run("filter")
    assert result.exit_code == 2
    assert "No such command 'filter'" in result.stderr


@pytest.mark.parametrize("name", LIKE)
def test_every_plot_refuses_other_endings_before_the_work(here, name):
    given = ["scene.png"] if name in ("maps", "sparsity", "augment", "heat") else []
    result = run(name, *given, "-o", "a.pdf")
    assert (result.exit_code, result.stderr) == (2, "Error: a.pdf: expected a name that ends in .png or .svg\n")


def test_numbers_of_another_are_not_replaced(here):
    (here / "a.npy").write_text("mine")
    result = run("filters", "-w", "cifar10", "-o", "a.png")
    assert result.exit_code == 2
    assert result.stderr == (
        "Error: a.npy exists, and the numbers of a.png would replace it. Choose another name with --output.\n"
    )
    assert (here / "a.npy").read_text() == "mine"


@pytest.mark.slow
def test_without_a_name_no_plot_is_replaced(here):
    assert run("network", "lenet5").stderr == "Plot: network.png\nNumbers: network.csv\n"
    (here / "network-2.csv").touch()
    assert run("network", "lenet5").stderr == "Plot: network-3.png\nNumbers: network-3.csv\n"
    assert [row["layer"] for row in rows_of(here / "network.csv")] == [
        "conv1",
        "pool1",
        "conv2",
        "pool2",
        "fc3",
        "fc4",
        "fc5",
    ]
    assert run("network", "lenet5", "-o", "network.png").exit_code == 0  # a named one is
    boxes = json.loads(run("network", "lenet5", "--json").stdout)
    assert (boxes[0]["layer"], boxes[0]["output"], boxes[0]["window"]) == ("conv1", [6, 28, 28], "5x5")


@pytest.mark.slow
def test_filters_of_the_bundled_network_where_there_is_no_run(here):
    result = run("filters", "--json")
    assert result.exit_code == 0, result.output
    assert result.stderr.startswith("Weights: cifar10, the bundled pretrained network")
    told = json.loads(result.stdout)
    assert told == {
        "schema_version": 1,
        "output": "filters.png",
        "numbers": "filters.npy",
        "weights": "cifar10",
        "network": "alexnet",
        "layer": "conv1",
        "towers": 2,
        "shape": [48, 3, 11, 11],
    }
    kept = weights.load("cifar10").tensors["conv1.weight"]
    assert np.array_equal(np.load(here / "filters.npy"), kept)


@pytest.mark.slow
def test_maps_and_sparsity_of_an_image(here):
    import cualex

    model = cualex.load("cifar10", device="cpu")
    told = json.loads(run("maps", "scene.png", "-w", "cifar10", "--json", "--device", "cpu").stdout)
    assert (told["layer"], told["side"], told["shape"]) == ("relu1", "after ReLU, of conv1", [48, 15, 15])
    assert np.array_equal(np.load(here / "maps.npy"), model.maps("scene.png", "relu1"))
    result = run("sparsity", "scene.png", "-w", "cifar10", "--device", "cpu")
    assert result.exit_code == 0, result.output
    rows = {(row["layer"], row["tower"]): row for row in rows_of(here / "sparsity.csv")}
    assert len(rows) == 14
    second = model.maps("scene.png", "relu5")[64:]
    assert rows["relu5", "2"]["values"] == str(second.size)
    assert rows["relu5", "2"]["zeros"] == str((second == 0).sum())
    assert float(rows["relu5", "2"]["fraction"]) == pytest.approx((second == 0).mean(), abs=1e-6)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("maps", "none.png", "-w", "cifar10"), "none.png: cannot be read (No such file or directory)"),
        (("maps", "scene.png", "-w", "cifar10", "--layer", "conv9"), "alexnet has no layer 'conv9'"),
        (("augment", "scene.png", "-w", "cifar10", "--network", "lenet5"), "leave --weights or --network out"),
        (("filters", "-w", "none.safetensors"), "none.safetensors: cannot be read"),
        (("curves", "set"), "set: expected the directory of a run with results.csv"),
        (("curves",), "no finished run in runs"),
    ],
)
def test_faults_are_one_line_and_leave_nothing(here, words, said):
    before = sorted(here.iterdir())
    result = run(*words)
    assert result.exit_code in (1, 2)
    assert said in result.stderr
    assert result.stderr.count("\n") == 1
    assert sorted(path for path in here.iterdir() if path.name != "cache") == before


@pytest.mark.slow
def test_augmentation_by_the_paper_or_by_the_run(here, colours):
    assert run("augment", "scene.png", "--network", "lenet5", "--count", "2").exit_code == 0
    shown = np.load(here / "augment.npy")
    assert (shown.shape, shown.dtype) == ((2, 32, 32, 3), np.uint8)
    same, other = (run("augment", "scene.png", "--count", "2", "--seed", seed, "-o", f"{seed}.png") for seed in (0, 1))
    assert (same.exit_code, other.exit_code) == (0, 0), same.output
    assert not np.array_equal(np.load(here / "0.npy"), np.load(here / "1.npy"))


@pytest.mark.slow
def test_predictions_of_the_runs_set(here, colours):
    result = run("predictions", "--count", "4", "--json")
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)
    rows = rows_of(here / "predictions.csv")
    assert told["data"] == "set all"
    assert len(rows) == 4 * 3 == len(told["predictions"])
    assert {row["class"] for row in rows} == set(colour_network.CLASSES)
    for row in rows:
        if row["rank"] == "1":
            folder, _, number = row["picture"].removesuffix(".png").partition("/")
            assert (row["class"], row["named"]) == (folder, colour_network.SHOWN[folder][int(number)])


@pytest.mark.slow
def test_predictions_of_image_files(here, colours):
    names = [f"set/red/{number}.png" for number in range(3)]
    result = run("predictions", *names, "--count", "2", "-o", "a.svg")
    assert result.exit_code == 0, result.output
    assert "Note: 2 of 3 images are drawn; --count 3 draws all.\n" in result.stderr
    rows = rows_of(here / "a.csv")
    assert [(row["picture"], row["class"], row["named"]) for row in rows if row["rank"] == "1"] == [
        ("0.png", "", "red"),
        ("1.png", "", "red"),
    ]
    mixed = run("predictions", names[0], "set")
    assert (mixed.exit_code, mixed.stderr) == (
        2,
        "Error: set is no image file: give image files alone, or one data set\n",
    )


@pytest.mark.slow
def test_mistakes_and_confusion(here, colours):
    told = json.loads(run("mistakes", "set", "--count", "3", "--json").stdout)
    rows = rows_of(here / "mistakes.csv")
    assert len(rows) == 9 == len(told["mistakes"])
    found = sorted(zip([row["class"] for row in rows], [row["named"] for row in rows], strict=True))
    assert found == sorted([("blue", "green")] * 2 + [("green", "red")] * 3 + [("red", "blue")] * 4)
    sure = [float(row["probability"]) for row in rows]
    assert sure == sorted(sure, reverse=True)
    told = json.loads(run("confusion", "set", "--json").stdout)
    assert told["confusion"] == [[4, 3, 0], [0, 15, 4], [2, 0, 9]]
    assert (here / "confusion.csv").read_text().splitlines()[1] == "green,4,3,0"


@pytest.mark.slow
def test_a_set_without_mistakes_has_no_plot(here, colours):
    for folder in ("blue", "green", "red"):
        colour_network.picture(here / "right" / folder / "0.png", folder)
    result = run("mistakes", "right", "--json")
    assert result.exit_code == 0
    assert "right, all images: 0 of 3 images are wrong, so there is no plot.\n" in result.stderr
    assert json.loads(result.stdout)["output"] is None
    assert not (here / "mistakes.png").exists()


@pytest.mark.slow
def test_images_that_cannot_be_read_are_exit_code_3(here, colours):
    (here / "set" / "red" / "bad.png").write_bytes(b"none")
    for name in ("mistakes", "confusion", "predictions"):
        result = run(name, "set")
        assert result.exit_code == 3
        assert "1 of 38 images could not be read; the others are drawn." in result.stderr
        assert (here / f"{name}.png").exists()


@pytest.mark.slow
def test_curves_of_several_runs(here):
    header = "epoch,time,train/loss,val/loss,metrics/accuracy_top1,metrics/accuracy_top5,lr,img/s\n"
    for name, top1 in (("one", 0.75), ("two", 0.5)):
        (here / name).mkdir()
        (here / name / "results.csv").write_text(f"{header}1,1,2.5,2.25,{top1},1,0.01,9\n")
    result = run("curves", "one", "two", "--json")
    assert result.exit_code == 0, result.output
    expected = {"epoch": "1", "training_loss": "2.5", "validation_loss": "2.25", "learning_rate": "0.01"}
    assert rows_of(here / "curves.csv") == [
        {"run": name, **expected, "top1_error": top1, "top5_error": "0.0"}
        for name, top1 in (("one", "0.25"), ("two", "0.5"))
    ]
    assert [row["run"] for row in json.loads(result.stdout)["epochs"]] == ["one", "two"]
