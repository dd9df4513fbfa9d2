"""The whole of cualex in three tests, to be read first: train on a folder of images, predict, stop and resume."""

import json

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image
from safetensors.numpy import load_file

import cualex
from cualex.cli import main

COLOURS = {"red": (200, 40, 40), "green": (40, 200, 40), "blue": (40, 40, 200)}


@pytest.fixture
def photos(tmp_path, monkeypatch):
    """Write eight noisy images of each colour, as `photos/COLOUR/*.png`, and go there."""
    rng = np.random.default_rng(2012)
    for name, colour in COLOURS.items():
        (tmp_path / "photos" / name).mkdir(parents=True)
        for number in range(10):
            pixels = np.clip(rng.normal(colour, 30, (40, 48, 3)), 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(tmp_path / "photos" / name / f"{number}.png")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CUALEX_CACHE", str(tmp_path / "cache"))
    return tmp_path / "photos"


def run(*words):
    """Run a command, and return what it prints."""
    done = CliRunner().invoke(main, [str(word) for word in words])
    assert done.exit_code == 0, done.output
    return done.stdout


def train(name, *options):
    """Train a small network for four epochs of four updates, the last two epochs at a tenth of the rate."""
    recipe = "--network cifar-relu -b 6 --epochs 4 --lr 0.01 --schedule steps --drop-epochs 2"
    return run("train", "photos", *recipe.split(), "--name", name, *options)


def test_train_and_predict_from_the_command_line(photos):
    assert "Better than guessing" in train("first")
    (result,) = json.loads(run("predict", "photos/green/0.png", "--json"))["results"]
    assert result["predictions"][0]["class"] == "green"


def test_predict_from_python(photos):
    train("first")
    model = cualex.load("runs/first/best.safetensors")
    for name in COLOURS:
        (best, probability), *others = model.predict(photos / name / "0.png")
        assert best == name
        assert probability + sum(share for _, share in others) == pytest.approx(1)


@pytest.mark.slow
def test_a_stopped_training_resumes_to_the_same_bits(photos):
    train("whole", "--keep")
    train("stopped", "--keep", "--epochs", 2)
    run("train", "--resume", "runs/stopped", "--epochs", 4)
    whole, resumed = (load_file(f"runs/{name}/last.safetensors") for name in ("whole", "stopped"))
    assert whole.keys() == resumed.keys()
    assert [name for name in whole if whole[name].tobytes() != resumed[name].tobytes()] == []
