"""`cualex features --probe` as a user meets it."""

import json
import re

import numpy as np
import pytest
from PIL import Image

from cualex.cli import _probe
from tests.support import colour_network
from tests.support.colour_network import broken, run


@pytest.fixture
def place(tmp_path, monkeypatch):
    """Make a data set of 20 noisy images in each of two shades of red, and weights that tell them apart."""
    rng = np.random.default_rng(1)
    for name, level in (("bright", 200), ("dim", 90)):
        for number in range(20):
            path = tmp_path / "set" / name / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            pixels = np.clip(rng.normal((level, 30, 30), 12, (33, 40, 3)), 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(path)
    colour_network.saved(tmp_path / "weights.safetensors")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.slow
def test_a_line_has_accuracy_and_interval(place):
    result = run("features", "set", "--probe", "-w", "weights.safetensors")
    assert result.exit_code == 0, result.output
    assert re.fullmatch(
        r"\S*set: a linear classifier on pool3 \(576 features\) of \d+ images has 100\.0% of \d+ held-out images right "
        r"\(95 % interval \d\d\.\d% to 100\.0%\), 100\.0% of those that it was fitted to\n",
        result.stdout,
    )
    assert not list(place.glob("*.npy"))


def test_json_has_the_numbers_and_what_was_skipped(place):
    broken(place / "set/dim/99.png")
    result = run("features", "set", "--probe", "-w", "weights.safetensors", "--layer", "fc4", "--json")
    assert result.exit_code == 3, result.output
    found = json.loads(result.stdout)
    assert (found["layer"], found["features"], found["classes"], found["split"]) == ("fc4", 3, 2, "val")
    assert found["images"] + found["held_out"] == 40
    assert found["right"] / found["held_out"] == found["accuracy"]
    assert found["interval"][0] < found["accuracy"] <= found["interval"][1]
    assert found["converged"] is True
    assert [each["name"] for each in found["skipped"]] == ["dim/99.png"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["set", "--probe", "-o", "x.npy"], "--probe reads a data set and writes no file: leave --output out"),
        (["set", "--probe", "-r"], "--probe reads a data set and writes no file: leave --recursive out"),
        (["set", "set", "--probe"], "--probe needs one data set, got 2: give a folder, .zip or .tar, or demo"),
        (["set"], "Missing option '-o' / '--output'."),
    ],
)
def test_what_does_not_go_together_is_said(place, words, said):
    result = run("features", *words, "-w", "weights.safetensors")
    assert result.exit_code == 2
    assert result.stderr.splitlines()[-1] == f"Error: {said}"


def test_a_layer_that_is_not_there_is_told_before_images_are_read(place, monkeypatch):
    monkeypatch.setattr(_probe._packing, "packs", None)
    result = run("features", "set", "--probe", "-w", "weights.safetensors", "--layer", "fc9")
    assert result.exit_code == 2
    assert "cifar-relu has no layer 'fc9'; its layers are conv1, relu1" in result.stderr
