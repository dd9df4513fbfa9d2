"""What `cualex predict` checks before it loads weights, and what --top, --min, --crops and -o change."""

import csv
import io
import json
import os

import numpy as np
import pytest
from PIL import Image

import cualex
from cualex import model as models
from cualex import networks
from cualex.weights import Weights, save
from tests.support import colour_network
from tests.support.colour_network import broken, picture, run


@pytest.fixture
def weights(tmp_path):
    return colour_network.saved(tmp_path / "weights.safetensors")


@pytest.fixture
def red(tmp_path):
    return picture(tmp_path / "red.png", "red")


@pytest.fixture
def loads(monkeypatch):
    """Count how often weights are loaded."""
    counted = []
    real = models.load
    monkeypatch.setattr(models, "load", lambda *arguments: counted.append(arguments) or real(*arguments))
    return counted


URL = "https://a.example/cat.jpg?size=9&x=1"


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["none.png"], 1, "none.png: no such file or folder"),
        (["none.png", "*.gif"], 1, "none of the 2 images could be read; the first: none.png: no such file or folder"),
        ([], 2, "no images were given: give files, folders, quoted globs, or - for standard input."),
        (
            ["red.png", URL],
            2,
            f"{URL} is a URL, and files are read. Use: curl -fsSL 'https://a.example/cat.jpg?size=9&x=1' | cualex "
            "predict -",
        ),
        (["red.png", "-o", "out.txt"], 2, "out.txt: expected a name that ends in .csv or .json"),
        (
            ["red.png", "-o", "none/out.csv"],
            1,
            "cannot write none/out.csv: its directory does not exist. Create it first, or choose another path.",
        ),
        (["red.png", "-o", "."], 2, ".: expected a name that ends in .csv or .json"),
        (["red.png", "--top", "0"], 2, "Invalid value for '--top': 0 is not in the range x>=1."),
        (["red.png", "--min", "2"], 2, "Invalid value for '--min': 2.0 is not in the range 0<=x<=1."),
    ],
)
def test_arguments_are_checked_before_weights_are_loaded(weights, red, loads, monkeypatch, words, code, said):
    monkeypatch.chdir(red.parent)
    result = run("predict", "-w", weights, *words)
    assert result.exit_code == code
    assert result.stderr.splitlines()[-1] == f"Error: {said}"
    assert loads == []


def test_features_checks_its_output_before_weights_are_loaded(weights, red, loads, tmp_path):
    for output in ("out.txt", "none/out.npy"):
        assert run("features", red, "-w", weights, "-o", tmp_path / output).exit_code
    assert run("features", URL, "-w", weights, "-o", tmp_path / "out.npy").stderr.endswith("| cualex features -\n")
    assert loads == []
    assert run("features", red, "-w", weights, "-o", tmp_path / "out.npy").exit_code == 0
    assert len(loads) == 1


def test_a_url_in_a_list_is_refused_too_and_a_file_of_that_name_is_not(weights, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run("predict", "-w", weights, "--from-list", input="ftp://b.example/x.png\n").exit_code == 2
    picture(tmp_path / "s:" / "b.png", "red")
    assert run("predict", "-w", weights, "s://b.png").exit_code == 0


def test_nothing_readable_has_its_json(red, tmp_path, loads):
    result = run("predict", tmp_path / "none.png", "--json")
    assert result.exit_code == 1
    assert json.loads(result.stdout) == {
        "schema_version": 1,
        "weights": None,
        "network": None,
        "results": [{"picture": f"{tmp_path}/none.png", "error": "no such file or folder"}],
    }
    assert loads == []


def sharp(tmp_path, loudness):
    """Save a network whose probabilities are as far apart as `loudness` says."""
    return colour_network.saved(tmp_path / f"{loudness}.safetensors", loudness=loudness)


def classes(result):
    return [line.split("%  ")[1] for line in result.stdout.splitlines()[2:]]


def test_the_table_leaves_out_what_is_under_a_thousandth(red, tmp_path):
    everything = sharp(tmp_path, 0.005)
    assert classes(run("predict", red, "-w", everything)) == ["red", "green", "blue"]
    alone = sharp(tmp_path, 0.1)
    assert classes(run("predict", red, "-w", alone)) == ["red"]
    (found,) = json.loads(run("predict", red, "-w", alone, "--json").stdout)["results"]
    assert [one["class"] for one in found["predictions"]] == ["red", "green", "blue"]
    assert found["predictions"][1]["probability"] < 0.001


def test_the_likeliest_of_many_classes_is_always_shown(red, tmp_path):
    net = networks.build("lenet5", classes=2000)
    tensors = {name: np.zeros(shape, np.float32) for name, shape in net.parameters().items()}
    flat = Weights(net, tensors, [f"c{number}" for number in range(2000)], np.zeros((32, 32, 3), np.float32))
    save(tmp_path / "flat.safetensors", flat)
    result = run("predict", red, "-w", tmp_path / "flat.safetensors")
    assert classes(result) == ["c0"]


def test_an_image_below_the_minimum_gets_no_class(weights, red, tmp_path):
    (_, best), *_ = cualex.load(weights).predict(red)
    at, above = repr(best), repr(float(np.nextafter(best, 1)))
    assert classes(run("predict", red, "-w", weights, "--min", at))[0] == "red"
    result = run("predict", red, "-w", weights, "--min", above)
    assert result.exit_code == 0
    (line,) = result.stdout.splitlines()[2:]
    assert line.split(None, 1) == [str(red), f"none over {float(above):.4g} (likeliest: red, {best:.1%})"]
    for least, accepted in ((at, True), (above, False)):
        (found,) = json.loads(run("predict", red, "-w", weights, "--min", least, "--json").stdout)["results"]
        assert found["accepted"] is accepted
        assert found["predictions"][0] == {"class": "red", "probability": best}
    assert "accepted" not in run("predict", red, "-w", weights, "--json").stdout


def test_a_csv_has_a_line_an_image(weights, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    picture(tmp_path / "é,1.png", "red")
    picture(tmp_path / "dim.png", "blue", 9)
    broken(tmp_path / "x.png", b"")
    words = ["predict", "-w", weights, "é,1.png", "dim.png", "x.png", "--top", 2, "--min", 0.5, "-o", "out.csv"]
    result = run(*words)
    assert (result.exit_code, result.stdout) == (3, "out.csv: 2 of 3 images classified\n")
    data = (tmp_path / "out.csv").read_bytes()
    assert data.startswith(b"\xef\xbb\xbfimage,")
    head, *rows = csv.reader(io.StringIO(data.decode("utf-8-sig")))
    assert head == ["image", "class", "probability", "class_2", "probability_2", "note"]
    (_, first), (_, second) = cualex.load(weights).predict("é,1.png", 2)
    assert rows[0][:2] == ["é,1.png", "red"]
    assert [float(rows[0][2]), float(rows[0][4])] == pytest.approx([first, second], rel=1e-5)
    assert rows[0][5] == ""
    assert rows[1] == ["dim.png", "", "", "", "", f"none over 0.5 (likeliest: blue, {best('dim.png', weights):.1%})"]
    assert rows[2] == ["x.png", "", "", "", "", "not read: the file is empty"]
    assert [file.name for file in tmp_path.glob(".*")] == []


def best(path, weights):
    return cualex.load(weights).predict(path)[0][1]


def test_a_json_file_is_what_json_prints(weights, red, tmp_path):
    printed = run("predict", "-w", weights, red, "--json", "-o", tmp_path / "out.json")
    assert (tmp_path / "out.json").read_text(encoding="utf-8") == printed.stdout
    assert json.loads(printed.stdout)["results"][0]["predictions"][0]["class"] == "red"


def test_a_file_that_was_there_stays_where_the_work_fails(weights, tmp_path):
    (tmp_path / "out.csv").write_text("kept")
    assert run(
        "predict", "-w", tmp_path / "none", picture(tmp_path / "r.png", "red"), "-o", tmp_path / "out.csv"
    ).exit_code
    assert (tmp_path / "out.csv").read_text() == "kept"


@pytest.mark.slow
def test_ten_crops_are_those_of_the_evaluation(tmp_path, rng):
    """On noise, where every crop counts; and another result than the centre's."""
    net = networks.build("cifar-relu", classes=3, crop=27)
    tensors = {name: rng.normal(0, 0.05, shape).astype(np.float32) for name, shape in net.parameters().items()}
    save(tmp_path / "w.safetensors", Weights(net, tensors, ["a", "b", "c"], np.full((32, 32, 3), 100, np.float32)))
    for number in range(3):
        (tmp_path / "set" / "abc"[number]).mkdir(parents=True)
        pixels = rng.integers(0, 256, (32, 32, 3), np.uint8)
        Image.fromarray(pixels).save(tmp_path / "set" / "abc"[number] / f"{number}.png")
    arguments = ["-w", tmp_path / "w.safetensors", "--crops", 10]
    judged = run("evaluate", tmp_path / "set", *arguments, "--no-pack", "--output", tmp_path / "out")
    assert judged.exit_code == 0, judged.output
    with open(tmp_path / "out" / "predictions.csv", newline="") as file:
        expected = {row["picture"]: (row["named"], float(row["probability"])) for row in csv.DictReader(file)}
    results = json.loads(run("predict", tmp_path / "set", "-r", *arguments, "--json").stdout)["results"]
    model = cualex.load(tmp_path / "w.safetensors")
    for found in results:
        name, probability = next(value for key, value in expected.items() if found["picture"].endswith(key))
        first = found["predictions"][0]
        # Scores in float32, summed in another order for another batch; six digits in the file.
        assert (first["class"], first["probability"]) == (name, pytest.approx(probability, rel=1e-5))
        centre = dict(model.predict(found["picture"]))
        assert abs(centre[name] - probability) > 1e-4
        assert dict(model.predict([found["picture"]], crops=10)[0]) == pytest.approx(
            {each["class"]: each["probability"] for each in found["predictions"]}, rel=1e-5
        )
    alone = run("predict", results[0]["picture"], *arguments, "--json")
    (found,) = json.loads(alone.stdout)["results"]
    assert found["predictions"][0]["class"] == results[0]["predictions"][0]["class"]


def test_a_pipe_that_nobody_writes_to_is_not_waited_for(tmp_path, weights):
    os.mkfifo(tmp_path / "pipe.png")
    result = run("predict", tmp_path / "pipe.png", "-w", weights)
    assert result.exit_code == 1
    assert result.stderr.startswith(f"Error: {tmp_path}/pipe.png: ")


def test_an_empty_list_is_an_error():
    result = run("predict", "--from-list", input="")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "--from-list: standard input has no file names; give one per line." in result.stderr


@pytest.mark.parametrize(
    "words", [["export", "-w"], ["import"], ["show", "maps"], ["explore"], ["train", "photos", "--from"]], ids=" ".join
)
def test_a_url_in_place_of_a_file_is_one_line(words):
    result = run(*words, "https://a.example/x.pth")
    assert result.exit_code == 2
    assert "https://a.example/x.pth is a URL, and files are read. Download it first: curl -LO https" in result.stderr


def test_a_url_in_place_of_a_data_set_is_one_line():
    result = run("train", "https://a.example/photos.zip")
    assert result.exit_code == 1
    assert result.stderr.startswith("Error: https://a.example/photos.zip is a URL, and folders and archives are read.")
