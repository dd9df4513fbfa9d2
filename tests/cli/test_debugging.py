"""`cualex train --overfit` and `--check-gradients` as a user meets them."""

import json
import re

import pytest
from click.testing import CliRunner

from cualex import cli
from cualex.engine import host
from cualex.training import recipes
from cualex.training.debugging import gradient_check, overfit, overfit_attempt
from tests.support import colour_network


@pytest.fixture
def train(tmp_path, monkeypatch):
    """Run the command on small pictures of three colours, in a directory of its own."""
    for name in colour_network.CLASSES:
        for number in range(4):
            colour_network.picture(tmp_path / f"set/{name}/{number}.png", name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(gradient_check, "IMAGES", 1)
    words = ["train", "set", "--network", "cifar-relu", "--cache", "cache", "--val-split", "0"]
    return lambda *more: CliRunner().invoke(cli.main, [*words, *more])


def test_the_command_learns_by_heart_and_writes_no_run(train, tmp_path):
    result = train("--overfit", "6")
    assert result.exit_code == 0, result.output
    assert re.fullmatch(
        r"Learned: after \d+ updates the loss is 0.0\d+, and 6 of 6 are named right. Network, preprocessing and rate "
        r"work together. Wrong labels can be learned by heart too: validation shows those, and cualex check some of "
        r"them.\n",
        result.stdout,
    )
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cache", "set"]


def test_the_command_says_at_which_rate_it_was_learned(train, monkeypatch):
    """Planted: a recipe whose rate leaves the numbers."""
    monkeypatch.setitem(recipes.OWN, "cifar-relu", recipes.CIFAR.but(rate=1e7))
    monkeypatch.setattr(overfit, "DOWN", 1e-9)
    result = train("--overfit", "6")
    assert result.exit_code == 0, result.output
    assert re.match(
        r"Learned at rate 0.01: after \d+ updates the loss is 0.0\d+, and 6 of 6 are named right. Network and "
        r"preprocessing work together. But at rate 1e\+07 the loss is not finite at update \d. Images that come again "
        r"and again may do that at a rate which suits a training; if the training does it too, give it --lr 0.01\. ",
        result.stdout,
    )
    found = json.loads(train("--overfit", "6", "--json").stdout)
    assert (found["learned"], found["rate"]) == (True, 0.01)
    (ended,) = found["ended_tries"]
    assert ended.pop("updates") < 10
    assert ended == {"rate": 1e7, "loss": None, "right": 0, "ended": "the loss is not finite"}


def test_the_command_says_what_a_failure_means(train, monkeypatch, tmp_path):
    monkeypatch.setattr(overfit_attempt, "PATIENCE", 5)
    monkeypatch.setattr(overfit_attempt, "PATIENT_PASSES", 5)
    monkeypatch.setattr(overfit_attempt, "LOOK", 3)
    result = train("--overfit", "6", "--lr", "1e-9")
    assert result.exit_code == 1
    assert re.fullmatch(
        r"The network cannot even learn 6 pictures: after 6 updates the loss is 1.\d+ \(the loss has not left that of "
        r"guessing\), and \d of 6 are named right.*\. The labels, the preprocessing or the rate \(1e-09\) is wrong: "
        r"leave --lr out, which tries other rates, look at the pictures \(cualex check\)\.\n",
        result.stdout,
    )
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cache", "set"]
    result = train("--overfit", "6", "--lr", "1e-9", "--json")
    assert result.exit_code == 1
    found = json.loads(result.stdout)
    assert found["learned"] is False
    assert len(found["ended_tries"]) == 1
    monkeypatch.setattr(overfit, "TRIES", 2)
    monkeypatch.setitem(recipes.OWN, "cifar-relu", recipes.CIFAR.but(rate=1e-9))
    result = train("--overfit", "6")
    assert result.exit_code == 1
    assert re.fullmatch(
        r"The network cannot even learn 6 pictures: at rate 1e-09 after 6 updates .*; at rate 3e-09 after 12 updates .*"
        r"\. The labels or the preprocessing is wrong: no other rate mends it, look at the pictures \(cualex check\)"
        r"\.\n",
        result.stdout,
    )


def test_the_command_names_pictures_that_contradict_each_other(train, tmp_path):
    for number, name in enumerate(colour_network.CLASSES):
        for copy in range(4):
            (tmp_path / f"set/{name}/{copy}.png").write_bytes(
                (tmp_path / f"set/{colour_network.CLASSES[(number + copy) % 3]}/0.png").read_bytes()
            )
    result = train("--overfit", "6")
    assert result.exit_code == 1
    assert re.fullmatch(
        r"The network cannot even learn 6 pictures: 6 of them are the same as others and have other classes \(\S+, "
        r"\S+\), so that at most 3 can be named right. No training mends that: look at the folders \(cualex check\).\n",
        result.stdout,
    )
    assert json.loads(train("--overfit", "6", "--json").stdout)["contradictions"][0]


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
