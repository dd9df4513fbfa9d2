"""The bundled network: its file, its name in every command, and the program that makes it."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

import cualex
from cualex import pretrained, weights
from cualex.cli import _train_values, main
from cualex.cli.train import train
from cualex.training import automatic_recipe, beginning

CARD = pretrained.FILE.with_name("CARD.md").read_text()


def run(*words):
    return CliRunner().invoke(main, list(map(str, words)))


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CUALEX_CACHE", str(tmp_path / "cache"))
    return tmp_path


def images(place, classes, count, size=32):
    generator = np.random.default_rng(5)
    for label, name in enumerate(classes):
        (place / name).mkdir(parents=True)
        for number in range(count):
            pixels = generator.integers(0, 100, (size, size, 3)) + 15 * label
            Image.fromarray(pixels.astype(np.uint8)).save(place / name / f"{number}.png")
    return place


# --- the file


def test_the_file_is_small_and_is_the_network_that_the_card_describes():
    assert pretrained.FILE.stat().st_size < 6_000_000
    held = weights.load(pretrained.FILE)
    assert (held.network.name, held.network.towers, held.network.crop) == ("alexnet", 2, 67)
    assert held.network.arguments["width"] == 0.5
    assert sum(int(np.prod(shape)) for shape in held.network.parameters().values()) == 5_073_610
    assert ", ".join(held.classes[:-1]) + " and " + held.classes[-1] == pretrained.CLASSES
    assert held.notes == held.velocities == {}
    for tensor in held.tensors.values():
        assert np.isfinite(tensor).all()
        assert tensor.any()


def test_the_card_names_the_file_by_its_digest():
    import hashlib

    assert hashlib.sha256(pretrained.FILE.read_bytes()).hexdigest() in CARD


# --- its name


def test_it_is_meant_by_its_name_unless_a_file_or_run_has_that_name(here):
    """CIFAR-10 itself unpacks to a directory cifar10, beside which no command found the network."""
    for make in (lambda: None, (here / "cifar10").mkdir):
        make()
        assert pretrained.located("cifar10") == pretrained.FILE
        assert pretrained.named("cifar10") == pretrained.named(pretrained.FILE) == "cifar10"
    (here / "cifar10/args.json").touch()
    assert pretrained.located("cifar10") == Path("cifar10")
    (here / "cifar10/best.safetensors").touch()
    assert pretrained.located("cifar10") == Path("cifar10/best.safetensors")
    shutil.rmtree(here / "cifar10")
    (here / "cifar10").write_bytes(b"a file of the user's")
    assert pretrained.located("cifar10") == Path("cifar10")
    assert pretrained.named("cifar10") == str(here / "cifar10")


@pytest.mark.slow
def test_python_and_commands_take_its_name(here):
    picture = images(here / "set", ["a"], 1) / "a" / "0.png"
    by_name, by_path = cualex.load("cifar10"), cualex.load(pretrained.FILE)
    assert by_name.predict(picture) == by_path.predict(picture)
    told = json.loads(run("predict", picture, "-w", "cifar10", "--json").stdout)
    assert (told["weights"], told["network"]) == ("cifar10", "alexnet")
    assert [row["class"] for row in told["results"][0]["predictions"]] == [name for name, _ in by_name.predict(picture)]


@pytest.mark.slow
def test_without_a_run_predict_uses_it_only_where_it_is_good_enough(here, monkeypatch):
    picture = images(here / "set", ["a"], 1) / "a" / "0.png"
    monkeypatch.setattr(pretrained, "FOR_PHOTOGRAPHS", True)
    result = run("predict", picture, "--json")
    assert json.loads(result.stdout)["weights"] == "cifar10"
    assert result.stderr.startswith("Weights: cifar10, the bundled pretrained network, for airplane, ")
    assert run("features", picture, "-o", "f.npy").exit_code == 0
    for words in (["evaluate", "set"], ["export", "--to", "torch", "-o", "x.safetensors"]):
        result = run(*words)
        assert result.exit_code == 2
        assert "Error: no finished run in runs" in result.stderr
    monkeypatch.setattr(pretrained, "FOR_PHOTOGRAPHS", False)
    result = run("predict", picture)
    assert result.exit_code == 2
    assert "Error: no finished run in runs: train one with `cualex train FOLDER`" in result.stderr


# --- training


@pytest.mark.slow
def test_a_small_folder_begins_with_it(here):
    result = run("train", images(here / "set", ["ant", "bee"], 4), "--epochs", 1, "--val-split", 0.5)
    assert result.exit_code == 0, result.output
    assert "from the weights of cifar10" in result.stderr
    begun = json.loads((here / "runs" / "train" / "args.json").read_text())
    assert begun["start"] == "cifar10"
    recipe = begun["recipe"]
    assert (recipe["network"], recipe["crop"], recipe["variant"]) == ("alexnet", 67, {"width": 0.5})
    assert (recipe["rate"], recipe["head_rate"]) == (0.003, 3.0)
    kept = weights.load(here / "runs" / "train" / "best.safetensors")
    np.testing.assert_array_equal(kept.mean, weights.load("cifar10").mean)


def begins(*words, data="photos", images=automatic_recipe.BUNDLED_UP_TO):
    """Say whether a training with these options begins with the bundled network because the set is small."""
    with train.make_context("train", list(words)) as context:
        return beginning.bundled(_train_values.read(context.params), data, images) is not None


def test_without_an_option_that_speaks_against_it_small_sets_begin_with_it():
    assert begins()
    assert begins("--epochs", "3", "--lr", "0.1", "-b", "4", "--freeze", "conv1")
    assert not begins(images=automatic_recipe.BUNDLED_UP_TO + 1)
    assert not begins(data="demo")
    for words in (
        ["--scratch"],
        ["--network", "alexnet"],
        ["--crop", "67"],
        ["--variant", "width=0.5"],
        ["--recipe", "auto"],
        ["--paper"],
    ):
        assert not begins(*words)


@pytest.mark.parametrize("words", [["--pretrained"], ["--from", "cifar10"]])
def test_it_is_begun_with_by_its_name(words):
    with train.make_context("train", words) as context:
        found = beginning.chosen(_train_values.read(context.params))
    np.testing.assert_array_equal(found.tensors["conv1.weight"], weights.load("cifar10").tensors["conv1.weight"])


# --- how it is made


@pytest.mark.slow
def test_one_command_makes_such_a_file_and_says_its_test_error(here):
    for split, count in (("train", 4), ("test", 3)):
        images(here / "cifar" / split, ["ant", "bee"], count)
    made = subprocess.run(
        [sys.executable, "-m", "cualex.pretrained", "cifar", "--output", "made.safetensors", "--epochs", "1"],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert made.returncode == 0, made.stderr
    held = weights.load("made.safetensors")
    assert held.classes == ["ant", "bee"]
    assert (held.network.crop, held.network.arguments["width"]) == (67, 0.5)
    right = int(made.stdout.split("test top-1 ")[1].split("%")[0].replace(".", "")) / 10_000
    evaluated = run("evaluate", "cifar", "-w", "made.safetensors", "--split", "test", "--json")
    assert json.loads(evaluated.stdout)["top1"] == pytest.approx(right, abs=1e-4)
