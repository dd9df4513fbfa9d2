"""`cualex train` without numbers, `--recipe`, and the weights that it begins with."""

import json
from dataclasses import replace

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from cualex.cli import main
from cualex.training import automatic_recipe, options, recipes

pytestmark = pytest.mark.usefixtures("speck")


def run(*words):
    return CliRunner().invoke(main, ["train", *map(str, words)])


def folder(place, images, classes=2, damaged=0):
    """Make a set of small images whose class is its colour; some cannot be read."""
    generator = np.random.default_rng(3)
    for number in range(images):
        own = place / "train" / f"class {number % classes}"
        own.mkdir(parents=True, exist_ok=True)
        pixels = generator.integers(0, 90, (20, 20, 3)) + 150 * np.eye(3, dtype=int)[number % classes % 3]
        Image.fromarray(pixels.astype(np.uint8)).save(own / f"{number}.png")
    for number in range(damaged):
        (place / "train" / "class 0" / f"damaged {number}.png").write_bytes(b"no image")
    return place


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CUALEX_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(automatic_recipe, "LEAST", 9)  # some hundreds would take minutes
    monkeypatch.setattr(automatic_recipe, "CPU", [replace(row, epochs=2) for row in automatic_recipe.CPU])
    return tmp_path


SPECK = ("--network", "speck", "--crop", 11, "--val-split", 0)


def chosen(here):
    return json.loads((here / "runs" / "train" / "args.json").read_text())["recipe"]


def test_every_recipe_by_name_is_known_to_the_command():
    assert set(options.RECIPES) == set(recipes.NAMED)


@pytest.mark.slow
@pytest.mark.parametrize("images", [2, 7, 40])
def test_sets_of_any_size_train_without_a_number_given(here, images):
    result = run(folder(here / "set", images), *SPECK)
    assert result.exit_code == 0, result.output
    recipe = chosen(here)
    expected = automatic_recipe.choose("speck", images, cuda=False, crop=11)
    assert {name: recipe[name] for name in ("batch", "epochs", "rate", "schedule")} == {
        "batch": min(16, images),
        "epochs": expected.epochs,
        "rate": 0.01,
        "schedule": "cosine",
    }
    updates = json.loads((here / "runs" / "train" / "finished.json").read_text())["updates"]
    assert updates >= automatic_recipe.LEAST


def test_a_line_says_what_was_chosen_why_how_long_and_how_to_choose_otherwise(here):
    result = run(folder(here / "set", 12), *SPECK, "--epochs", 3, "--weight-decay", 0.25)
    lines = result.stderr.splitlines()
    line = next(line for line in lines if line.startswith("Recipe for"))
    start = "Recipe for 12 images in 2 classes on the CPU: speck, from random weights, 3 epochs, batch size 12, "
    assert line.startswith(start + "crops of 11, learning rate 0.01; about ")
    assert line.endswith(" s. To change it: give any option; --from WEIGHTS fine-tunes; --recipe paper is the paper's.")
    changed = [line.split() for line in lines[lines.index(line) + 1 : lines.index(line) + 4]]
    assert changed == [
        ["By", "option", "here", "automatic"],
        ["weight", "decay", "(L2)", "0.25", "0.0005"],
        ["epochs", "(maximum)", "3", "9"],
    ]


@pytest.mark.slow
def test_a_run_that_goes_on_keeps_the_numbers_that_were_chosen(here, monkeypatch):
    run(folder(here / "set", 12), *SPECK, "--epochs", 2)
    before = chosen(here)
    monkeypatch.setattr(automatic_recipe, "choose", lambda *_: pytest.fail("a recipe was chosen again"))
    (here / "runs" / "train" / "finished.json").unlink()
    result = run("--resume", "--epochs", 3)
    assert result.exit_code == 0, result.output
    assert chosen(here) == before | {"epochs": 3}


def test_images_that_cannot_be_read_leave_smaller_batches(here):
    result = run(folder(here / "set", 6, damaged=4), *SPECK, "--epochs", 1)
    assert result.exit_code == 3, result.output
    assert chosen(here)["batch"] == 6


@pytest.mark.slow
def test_the_papers_recipe_is_the_paper_to_the_letter(here):
    data = folder(here / "set", 130)
    result = run(data, *SPECK, "--recipe", "paper", "--epochs", 1)
    assert result.exit_code == 0, result.output
    assert chosen(here) == json.loads(json.dumps(recipes.PAPER.but(network="speck", crop=11, epochs=1).described()))
    told = [run(folder(here / "few", 12), *SPECK, *words).stderr for words in (["--paper"], ["--recipe", "paper"])]
    assert told[0] == told[1]
    said = "Error: batch size 128 is larger than the training set of 12 images; use --batch-size 12 or less"
    assert told[0].splitlines()[-1] == said
    assert "Packing" not in told[0]


def test_options_that_do_not_go_together_are_said_before_the_set_is_looked_at(here):
    for words, said in (
        (["--paper", "--recipe", "cifar"], "--paper and --recipe cifar name two recipes: leave one of them out"),
        (["--scratch", "--pretrained"], "--scratch starts from random weights, --pretrained does not: leave"),
        (["--scratch", "--from", "x"], "--scratch starts from random weights, --from does not: leave"),
        (["--pretrained", "--from", "x"], "--from and --pretrained both name the weights to start from: leave one of"),
        (["--no-augment", "--colour-noise", "0.1"], "--colour-noise: --no-augment turns it off"),
        (["--resume", "--recipe", "paper"], "--recipe is for new runs, and --resume continues one"),
    ):
        result = run("nowhere", *words)
        assert (result.exit_code, result.stdout) == (2, ""), words
        assert said in result.stderr


@pytest.mark.parametrize(("words", "shown"), [(("train", "-v"), True), (("-v", "train"), True), (("train",), False)])
def test_verbose_before_and_after_the_command_are_one(here, words, shown):
    """Of the recipe all is printed, and of an error the traceback."""
    given = ["nowhere", "--network", "speck"]
    result = CliRunner().invoke(main, [*words, *given])
    assert ("Traceback" in result.stderr) == shown
    data = str(folder(here / "set", 6))
    result = CliRunner().invoke(main, [*words, data, *map(str, SPECK), "--epochs", "1"])
    assert result.exit_code == 0, result.output
    assert ("momentum" in result.stderr) == shown
