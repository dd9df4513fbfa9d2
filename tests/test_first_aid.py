"""First aid for a training that does not work: learning a few pictures by heart, and the check of the gradients."""

import json

import colours
import numpy as np
import pytest
import runs
from click.testing import CliRunner
from test_training import TINY, Pictures

from cualex import cli
from cualex.engine import host
from cualex.errors import Diverged, UsageError
from cualex.training import gradients, overfit
from cualex.training.recipes import PAPER


def fits(count=6, recipe=TINY, pack=None, **settings):
    return list(overfit.overfit(overfit.plain(recipe, count), pack or Pictures(), count, **settings))


def test_a_network_learns_a_few_pictures():
    *before, last = fits()
    assert last.learned
    assert last.evaluated
    assert last.loss < 0.05
    assert (last.right, last.pictures) == (6, 6)
    assert not any(fit.learned for fit in before)
    assert last.updates < 100


def test_pictures_without_a_meaning_are_learned_by_heart_too():
    """Labels that have nothing to do with the pictures: only learning by heart names them all."""
    pictures = Pictures()
    pictures.labels = np.random.default_rng(3).integers(0, 3, len(pictures)).astype(np.int32)
    assert fits(4, pack=pictures, updates=400)[-1].learned


@pytest.mark.parametrize(
    "spoil",
    [
        lambda pictures: pictures.pictures.fill(7),  # all alike, with three labels
        lambda pictures: pictures.mean.fill(1e-30) or pictures.pictures.fill(0),
    ],
)
def test_what_cannot_be_learned_is_said(spoil):
    pictures = Pictures()
    spoil(pictures)
    last = fits(6, pack=pictures, updates=6)[-1]
    assert not last.learned
    assert (last.updates, last.evaluated) == (6, True)
    assert last.right < 6


def test_a_rate_that_is_far_too_small_learns_nothing():
    assert not fits(6, recipe=TINY.but(rate=1e-9), updates=6)[-1].learned


def test_a_loss_that_is_no_number_names_its_layer():
    with pytest.raises(
        Diverged, match=r"the loss is nan at update \d: the output of \w+ is the first that is not"
    ):
        fits(6, recipe=TINY.but(rate=1e9))


def test_nothing_makes_it_harder():
    recipe = overfit.plain(PAPER, 200)
    assert (recipe.augment, recipe.colour_noise, recipe.decay, recipe.dropout) == (False, 0, 0, 0)
    assert (recipe.batch, recipe.rate) == (32, PAPER.rate)
    assert overfit.plain(PAPER, 5).batch == 5
    assert overfit.plain(PAPER, 50, batch=8).batch == 8


def test_the_pictures_come_from_all_over_the_set():
    few = overfit.Few(Pictures(24), 6)
    assert list(few.chosen) == [0, 4, 9, 13, 18, 23]
    assert len(set(few.labels)) > 1
    assert few.names[-1] == "23.png"
    out = np.empty((2, 32, 32, 3), np.uint8)
    few.read(np.array([5, 1]), out)
    assert np.array_equal(out, Pictures(24).pictures[[23, 4]])


def test_more_pictures_than_there_are():
    with pytest.raises(
        UsageError, match="--overfit 25: the training set has 24 pictures; name as many or fewer"
    ):
        fits(25)


@pytest.fixture
def train(tmp_path, monkeypatch):
    """Run the command on small pictures of three colours, in a directory of its own."""
    for name in colours.CLASSES:
        for number in range(4):
            colours.picture(tmp_path / f"set/{name}/{number}.png", name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(gradients, "PICTURES", 1)
    words = ["train", "set", "--network", "cifar-relu", "--cache", "cache", "--val-split", "0"]
    return lambda *more: CliRunner().invoke(cli.main, [*words, *more])


def test_the_command_learns_by_heart_and_writes_no_run(train, tmp_path):
    result = train("--overfit", "6")
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith("Learned: after ")
    assert (
        "and 6 of 6 are named right. Network, labels, preprocessing and rate work together." in result.stdout
    )
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cache", "set"]


def test_the_command_says_what_a_failure_means(train, monkeypatch, tmp_path):
    monkeypatch.setattr(overfit.overfit, "__defaults__", (*overfit.overfit.__defaults__[:-1], 5))
    result = train("--overfit", "6", "--lr", "1e-9")
    assert result.exit_code == 1
    assert result.stdout.startswith(
        "The network cannot even learn 6 pictures: after 5 updates the loss is 1."
    )
    assert "The labels, the preprocessing or the rate (1e-09) is wrong: try --lr 1e-10" in result.stdout
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cache", "set"]
    result = train("--overfit", "6", "--lr", "1e-9", "--json")
    assert result.exit_code == 1
    assert json.loads(result.stdout)["learned"] is False


def test_the_command_checks_gradients(train, monkeypatch, tmp_path):
    result = train("--check-gradients", "--crop", "15")
    assert result.exit_code == 0, result.output
    assert "The gradients of all layers are right" in result.stdout
    lines = [line.split() for line in result.stdout.splitlines()]
    assert ["fc4", "weight"] not in lines
    assert [line[0] for line in lines if line and line[-1] == "ok"][:3] == ["conv1", "relu1", "norm1"]
    original = host.conv.weight_gradient

    def wrong(device, x, dy, sink, bias_sink, **numbers):
        original(device, x, dy, lambda index, block: sink(index, 2 * block), bias_sink, **numbers)

    monkeypatch.setattr(host.conv, "weight_gradient", wrong)
    result = train("--check-gradients", "--json", "--crop", "15")
    assert result.exit_code == 1
    document = json.loads(result.stdout)
    assert document["wrong"] == "conv3"
    assert {row["layer"] for row in document["rows"] if not row["ok"]} == {"conv1", "conv2", "conv3"}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cache", "set"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--overfit", "4", "--check-gradients"], "--overfit and --check-gradients: one after the other"),
        (["--overfit", "4", "--resume"], "--overfit begins a training of its own: leave --resume out"),
        (["--overfit", "40"], "--overfit 40: the training set has 12 pictures"),
    ],
)
def test_what_does_not_go_together(train, options, said):
    result = train(*options)
    assert result.exit_code == 2
    assert said in result.stderr


@pytest.mark.slow
def test_weights_that_are_there_are_begun_with(train, tmp_path):
    """A run's own, which stays as it was, and those of another training: what it has learned is learned at once."""
    small = ["-b", "3", "--crop", "15", "--no-augment"]
    assert train(*small, "--epochs", "12", "--drop-epochs", "99").exit_code == 0
    run = tmp_path / "runs/train"
    before = {path.name: path.read_bytes() for path in run.iterdir() if path.name != "run.lock"}
    result = train("--resume", str(run), "--check-gradients")
    assert result.exit_code == 0, result.output
    assert {path.name: path.read_bytes() for path in run.iterdir() if path.name != "run.lock"} == before
    drawn, kept = (
        json.loads(train(*small, "--overfit", "6", "--json", *more).stdout)
        for more in ([], ["--from", str(run / "best.safetensors")])
    )
    assert drawn["learned"]
    assert kept["learned"]
    assert kept["updates"] < drawn["updates"]


def test_on_a_gpu_as_well(emulated, monkeypatch, speck):
    from cualex import placements

    monkeypatch.setattr(placements, "CupyRuntime", emulated)
    recipe = overfit.plain(runs.RECIPE, 3)
    pictures = runs.Squares()
    host, gpu = (
        list(overfit.overfit(recipe, pictures, 3, device=device, precision="fp32", updates=4))
        for device in ("cpu", "cuda:0")
    )
    assert [fit.updates for fit in gpu] == [fit.updates for fit in host] == [1, 2, 3, 4]
    assert [fit.loss for fit in gpu] == pytest.approx([fit.loss for fit in host], rel=1e-4)
