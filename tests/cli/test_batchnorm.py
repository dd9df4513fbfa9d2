"""A network with batch normalisation in every command that meets one: train, evaluate, predict, features, profile."""

import json

import numpy as np
import pytest

from cualex import cli, weights
from cualex.model import Model
from cualex.profiling import roofline
from cualex.training import finetuning, recipes
from cualex.training.recipes import Recipe
from tests.support.colour_network import picture
from tests.support.tiny_runs import mote

pytestmark = pytest.mark.usefixtures("speck")


def call(*arguments):
    """Run a command, and return what it wrote to stdout."""
    from click.testing import CliRunner

    result = CliRunner().invoke(cli.main, [str(argument) for argument in arguments])
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Train by the command on three colours, of which a class has a fifth for validation; stop, and go on."""
    top = tmp_path_factory.mktemp("commands")
    for colour in ("red", "green", "blue"):
        for number in range(10):
            picture(top / "set" / colour / f"{number}.png", colour, 60 + 18 * number)
    known = pytest.MonkeyPatch()
    recipe = Recipe(network="mote", crop=11, batch=6, epochs=12, colour_noise=0.0, **recipes.ADAM)
    known.setitem(recipes.OWN, "mote", recipe.but(rate=0.03))
    fixed = ("--cache", top / "cache", "--output", top / "runs", "--json")
    call("train", top / "set", "--network", "mote", "--epochs", 2, "--keep", *fixed)
    call("train", "--resume", top / "runs" / "train", "--epochs", 12, *fixed)
    known.undo()
    return top


@pytest.mark.slow
def test_it_learns_and_evaluate_predict_and_features_agree(place):
    best = place / "runs" / "train" / "best.safetensors"
    told = json.loads(call("evaluate", place / "set", "-w", best, "--json", "--cache", place / "cache", "--crops", 10))
    assert told["top1"] > 0.9
    shown = place / "set" / "red" / "3.png"
    named = json.loads(call("predict", shown, "-w", best, "--json"))
    made = Model(weights.load(best))
    assert made.predict(shown, 1)[0][0] in json.dumps(named)
    call("features", shown, "-w", best, "--layer", "norm2", "-o", place / "out.npy")
    found = np.load(place / "out.npy")
    assert found.shape == (1, 12, 4, 4)
    (wanted,) = made.each([("red", shown)], "norm2")
    np.testing.assert_array_equal(found[0], wanted)


@pytest.mark.slow
def test_new_classes_keep_the_averages(place):
    """Fine-tuning draws the last layer anew, and nothing else."""
    found = weights.load(place / "runs" / "train" / "best.safetensors")
    wanted = finetuning.recipe(found, Recipe())
    start = finetuning.start(found, wanted, ["red", "green", "blue", "white"]).weights
    for name in mote().state():
        assert (start.tensors[name] == found.tensors[name]).all()
    assert start.tensors["fc4.weight"].shape == (4, 16) != found.tensors["fc4.weight"].shape


def test_profile_has_rows_for_norms(monkeypatch):
    monkeypatch.setattr(roofline, "_host", lambda *_: roofline.Roofline(2e12, 3e11, "made by hand"))
    told = json.loads(call("profile", "mote", "-b", 4, "--repeat", 2, "--json"))
    assert {"norm1", "norm2", "norm3"} <= {row["name"] for row in told["rows"]}


def test_memory_has_rows_for_norms():
    assert "norm3 variance" in call("summary", "mote", "--memory", "-b", 4)


def test_a_batch_that_is_too_small_is_refused_before_a_run_begins(tmp_path):
    from click.testing import CliRunner

    words = ["train", "demo", "--network", "mote", "-b", "1", "--crop", "11", "--output", str(tmp_path / "runs")]
    result = CliRunner().invoke(cli.main, words)
    assert result.exit_code == 2
    assert "mote cannot be trained on a batch of 1: norm3 divides each channel" in result.stderr
    assert not (tmp_path / "runs").exists()
