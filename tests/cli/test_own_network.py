"""A network of one's own, with the commands alone: trained, shared, loaded elsewhere, resumed, fine-tuned."""

import json

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from cualex import weights
from cualex.cli import main

FILE = """
from cualex.layers import Conv, Dense, MaxPool, ReLU, Softmax
from cualex.networks import Network

def mine(classes=10, crop=11, filters=4):
    layers = {"conv1": Conv(filters, size=3, std=0.1), "relu1": ReLU(), "pool1": MaxPool(),
              "fc2": Dense(classes * 2, std=0.1), "relu2": ReLU(), "fc3": Dense(classes, std=0.1), "softmax": Softmax()}
    return Network("mine", layers, towers=1, classes=classes, crop=crop, stored=16, scale=1 / 64)
"""


def run(*words):
    return CliRunner().invoke(main, [str(word) for word in words])


def images(place, names, count=12):
    rng = np.random.default_rng(6)
    for number in range(count * len(names)):
        folder = place / names[number % len(names)]
        folder.mkdir(parents=True, exist_ok=True)
        pixels = rng.integers(0, 100, (16, 16, 3)) + 70 * (number % len(names))
        Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{number}.png")
    return place


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Train it on 24 small images; return the place and the result."""
    place = tmp_path_factory.mktemp("own")
    (place / "my.py").write_text(FILE)
    data = images(place / "set", ("ant", "bee"))
    words = ["--network", place / "my.py:mine", "--variant", "filters=6", "-b", "8", "--epochs", "1", "--keep"]
    return place, run("train", data, *words, "--output", place / "runs", "--cache", place / "cache")


@pytest.mark.slow
def test_it_trains_and_its_file_is_loaded_without_the_python_file(trained, tmp_path, monkeypatch):
    place, result = trained
    assert result.exit_code == 0, result.output
    assert "my.py:mine" in result.stderr
    shared = tmp_path / "shared.safetensors"
    shared.write_bytes((place / "runs" / "train" / "best.safetensors").read_bytes())
    monkeypatch.chdir(tmp_path)
    network = weights.load(shared).network
    assert (network.name, network.classes) == ("my.py:mine", 2)
    assert network.parameters()["fc2.weight"][0] == 4  # the function was asked for the two classes
    assert network.parameters()["conv1.weight"][0] == 6
    found = run("predict", place / "set" / "ant" / "0.png", "-w", shared, "--json")
    assert found.exit_code == 0, found.output
    for to in ("onnx", "torch", "caffe"):
        done = run("export", "-w", shared, "--to", to, "-o", f"{to}.out")
        assert done.exit_code == 0, done.output
    for to in ("onnx", "torch"):
        done = run("import", f"{to}.out", "-o", "again.safetensors")
        assert done.exit_code == 0, done.output
        assert weights.load("again.safetensors").network.parameters() == network.parameters()


def test_a_run_goes_on_with_the_layers_that_it_keeps(trained):
    place, _ = trained
    directory = place / "runs" / "train"
    (directory / "finished.json").unlink()
    (place / "my.py").rename(place / "away.py")
    try:
        result = run("train", "--resume", directory, "--epochs", "2", "--cache", place / "cache")
    finally:
        (place / "away.py").rename(place / "my.py")
    assert result.exit_code == 0, result.output
    assert json.loads((directory / "finished.json").read_text())["epochs"] == 2
    named = run("train", "--resume", directory, "--network", place / "my.py:mine")
    assert named.exit_code == 2
    assert "a run goes on with its own layers; leave --network out" in named.stderr


@pytest.mark.slow
def test_it_is_fine_tuned_for_other_classes(trained, tmp_path):
    place, _ = trained
    start = place / "runs" / "train" / "best.safetensors"
    data = images(tmp_path / "set", ("cow", "dog", "emu"))
    words = ["-b", "8", "--epochs", "1", "--output", tmp_path, "--cache", tmp_path]
    result = run("train", data, "--from", start, *words)
    assert result.exit_code == 0, result.output
    kept = weights.load(tmp_path / "train" / "best.safetensors")
    assert (kept.network.classes, kept.network.parameters()["fc2.weight"][0]) == (3, 4)
    named = run("train", data, "--from", start, "--network", place / "my.py:mine", *words)
    assert "--from has a network of its own; leave one of them out" in named.stderr


@pytest.mark.slow
def test_other_commands_take_it_too(trained, tmp_path):
    place, _ = trained
    name = place / "my.py:mine"
    shown = run("summary", name, "--classes", "3", "--variant", "filters=2", "--json")
    assert shown.exit_code == 0, shown.output
    assert json.loads(shown.stdout)["network"] == "my.py:mine"
    for words in (("check", place / "set", "--network", name), ("pack", place / "set", "--network", name)):
        done = run(*words, *(["--cache", tmp_path] if words[0] == "pack" else []))
        assert done.exit_code in (0, 1), done.output
        assert done.exception is None or isinstance(done.exception, SystemExit)
    drawn = run("show", "network", name, "-o", tmp_path / "towers.png")
    assert drawn.exit_code == 0, drawn.output
