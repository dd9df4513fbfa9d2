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


@pytest.mark.slow
def test_the_command_learns_by_heart_and_writes_no_run(train, tmp_path):
    result = train("--overfit", "6")
    assert result.exit_code == 0, result.output
    assert re.fullmatch(
        r"Passed: after \d+ updates the loss is 0.0\d+, and 6 of 6 are correct. Network, preprocessing and learning "
        r"rate work together. Wrong labels can be overfitted too: validation shows them, and `cualex check` some of "
        r"them.\n",
        result.stdout,
    )
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cache", "set"]


@pytest.mark.slow
def test_the_command_says_at_which_rate_it_was_learned(train, monkeypatch):
    """Planted: a recipe whose rate leaves the numbers."""
    monkeypatch.setitem(recipes.OWN, "cifar-relu", recipes.CIFAR.but(rate=1e7))
    monkeypatch.setattr(overfit, "DOWN", 1e-9)
    result = train("--overfit", "6")
    assert result.exit_code == 0, result.output
    assert re.match(
        r"Passed at learning rate 0.01: after \d+ updates the loss is 0.0\d+, and 6 of 6 are correct. Network and "
        r"preprocessing work together. But at rate 1e\+07 the loss is not finite at update \d. A few repeated "
        r"images can do that at a rate that suits a whole data set; if the training does it too, use --lr 0.01\. ",
        result.stdout,
    )
    found = json.loads(train("--overfit", "6", "--json").stdout)
    assert (found["learned"], found["rate"]) == (True, 0.01)
    (ended,) = found["ended_tries"]
    assert ended.pop("updates") < 10
    assert ended == {"rate": 1e7, "loss": None, "right": 0, "ended": "the loss is not finite"}


@pytest.mark.slow
def test_the_command_says_what_a_failure_means(train, monkeypatch, tmp_path):
    monkeypatch.setattr(overfit_attempt, "PATIENCE", 5)
    monkeypatch.setattr(overfit_attempt, "PATIENT_PASSES", 5)
    monkeypatch.setattr(overfit_attempt, "LOOK", 3)
    result = train("--overfit", "6", "--lr", "1e-9")
    assert result.exit_code == 1
    assert re.fullmatch(
        r"The network cannot overfit even 6 images: after 6 updates the loss is 1.\d+ \(the loss has not left that of "
        r"guessing\), and \d of 6 are correct.*\. The labels, the preprocessing or the learning rate \(1e-09\) must be "
        r"wrong: "
        r"leave --lr out to try other learning rates, and look at the images \(`cualex check`\)\.\n",
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
        r"The network cannot overfit even 6 images: at rate 1e-09 after 6 updates .*; at rate 3e-09 after 12 updates .*"
        r"\. The labels or the preprocessing must be wrong: no other learning rate helps, and look at the "
        r"images \(`cualex check`\)\.\n",
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
        r"The network cannot overfit even 6 images: 6 of them are duplicates with different labels \(\S+, "
        r"\S+\), so at most 3 can be correct. Correct the labels; `cualex check` lists such images.\n",
        result.stdout,
    )
    assert json.loads(train("--overfit", "6", "--json").stdout)["contradictions"][0]


@pytest.mark.slow
def test_the_command_checks_gradients(train, monkeypatch, tmp_path):
    result = train("--check-gradients", "--crop", "15")
    assert result.exit_code == 0, result.output
    assert "The gradients of all layers are correct" in result.stdout
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
        (["--overfit", "4", "--check-gradients"], "are two checks: run one after the other"),
        (["--overfit", "4", "--resume"], "starts from initial weights, --resume does not: leave --resume out"),
        (["--overfit", "40"], "--overfit 40: the training set has 12 images"),
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
