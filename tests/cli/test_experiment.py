"""`cualex experiment`, on pictures of three colours and a network that trains in no time."""

import json

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from cualex.cli import _output, experiment, main
from cualex.experiments import catalogue, estimate
from cualex.experiments.experiment import Arm, Experiment, Scale
from cualex.experiments.metrics import EPOCHS, ERRORS
from tests.support.tiny_runs import RECIPE

pytestmark = pytest.mark.usefixtures("speck")

SCALE = Scale(RECIPE.but(batch=4, epochs=2, colour_noise=0.0), "It is smaller.", seeds=2, pictures=9)
TOY = Experiment(
    name="toy", title="Is it a toy?", question="Which is it?", section="9.9", paper="one half",
    arms={"plain": Arm(paper="0"), "plainer": Arm({"augment": False}, paper="+1.7")},
    measure=ERRORS, scale=SCALE, full=SCALE.but(epochs=3), reading="It says nothing.",
)  # fmt: skip
RACE = Experiment(
    name="race", title="Which is first?", question="Which?", section="9.9", paper="six",
    arms={"slow": Arm(rates=(1e-9, 1e-8, 1e-7))}, measure=EPOCHS, scale=SCALE, full=SCALE, reading="Nothing.",
)  # fmt: skip


@pytest.fixture(autouse=True)
def toys(monkeypatch):
    monkeypatch.setattr(catalogue, "_EXPERIMENTS", (*catalogue._EXPERIMENTS, TOY, RACE))


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """Write four pictures of each of three colours for training, and two for the test."""
    place, rng = tmp_path_factory.mktemp("pictures"), np.random.default_rng(1)
    for split, count in (("train", 4), ("test", 2)):
        for channel, name in enumerate(("red", "green", "blue")):
            (place / split / name).mkdir(parents=True)
            for number in range(count):
                pixels = rng.integers(0, 100, (16, 16, 3), np.uint8)
                pixels[..., channel] += 100
                Image.fromarray(pixels).save(place / split / name / f"{number}.png")
    return place


def call(tmp_path, pictures, *arguments):
    """Run the command with its places in a directory of the test."""
    places = ["--data", str(pictures), "--output", str(tmp_path / "runs"), "--cache", str(tmp_path / "cache")]
    return CliRunner().invoke(main, ["experiment", *arguments, *places, "--device", "cpu"])


def test_without_a_name_all_are_listed():
    told = CliRunner().invoke(main, ["experiment"])
    assert told.exit_code == 0
    for name in catalogue.names():
        (line,) = [line for line in told.stdout.splitlines() if line.startswith(f"{name} ")]
        assert line.endswith(catalogue.find(name).title)
    listed = json.loads(CliRunner().invoke(main, ["experiment", "--list", "--json"]).stdout)
    assert [row["experiment"] for row in listed] == catalogue.names()


@pytest.mark.slow
def test_an_experiment_from_the_first_update_to_the_table(tmp_path, pictures):
    told = call(tmp_path, pictures, "toy")
    assert told.exit_code == 0, told.output
    said = told.stderr.splitlines()
    for line in (
        "Which is it?",
        "The paper, section 9.9: one half.",
        "Here: It is smaller.",
        "2 arms, 1 rate each, 2 seeds from 0 on: 4 trainings of 2 epochs at most, on 9 images, "
        "evaluated on 6 others after each epoch.",
    ):
        assert line in said
    assert any(line.endswith("experiment-toy; 0 of 4 trainings are done.") for line in said)
    assert any(line.startswith("4 trainings will take ") for line in said)
    heads, _, plain, plainer, *_ = told.stdout.splitlines()
    assert heads.split("  ")[0] == "arm"
    assert "points above plain" in heads
    assert (plain.split()[:3], plain.split()[-1]) == (["plain", "0.01", "2"], "0")
    assert (plainer.split()[:3], plainer.split()[-1]) == (["plainer", "0.01", "2"], "+1.7")
    assert "How to read it: It says nothing." in told.stdout
    place = tmp_path / "runs/experiment-toy"
    found = json.loads((place / "result.json").read_text())
    assert {run["run"] for run in found["runs"]} == {f"{arm}-0.01-{seed}" for arm in TOY.arms for seed in (0, 1)}
    for key in ("command", "begun", "processor", "numpy", "device", "load_average_before"):
        assert key in found["conditions"]
    assert found["runs"][0]["recipe"]["epochs"] == 2
    assert (place / "toy.png").exists()
    again = call(tmp_path, pictures, "toy", "--json")
    assert "4 of 4 trainings are done." in again.stderr
    repeated = json.loads(again.stdout)
    assert (repeated["table"], repeated["runs"]) == (found["table"], found["runs"])


@pytest.mark.slow
def test_another_scale_is_another_directory_and_more_seeds_are_not(tmp_path, pictures):
    assert "0 of 2 trainings are done." in call(tmp_path, pictures, "toy", "--seeds", "1").stderr
    assert "experiment-toy; 2 of 4 trainings are done." in call(tmp_path, pictures, "toy").stderr
    assert "experiment-toy-2; 0 of 2" in call(tmp_path, pictures, "toy", "--seeds", "1", "--epochs", "1").stderr
    full = call(tmp_path, pictures, "toy", "--seeds", "1", "--full", "--pictures", "30")
    assert "experiment-toy-3; 0 of 2" in full.stderr
    assert "2 trainings of 3 epochs at most, on 12 images" in full.stderr
    assert "Note: 30 images to train on were asked for; the data set has 12." in full.stderr


@pytest.mark.slow
def test_fewer_pictures_than_a_batch_are_gone_through_several_times(tmp_path, pictures):
    batch = catalogue.find("toy").scale.recipe.batch
    told = call(tmp_path, pictures, "toy", "--seeds", "1", "--pictures", "3", "--epochs", "4")
    assert told.exit_code == 0, told.output
    assert f"Note: an epoch has each of the 3 images {-(-batch // 3)} times." in told.stderr
    found = json.loads((tmp_path / "runs/experiment-toy/result.json").read_text())
    assert [run["epochs"] for run in found["runs"]] == [4, 4]


def test_fewer_pictures_than_classes_are_refused_before_they_are_packed(tmp_path, pictures):
    told = call(tmp_path, pictures, "toy", "--pictures", "2")
    assert told.exit_code == 2
    assert told.stderr.splitlines()[-1].endswith("has 3 classes, and each needs an image; give 3 or more")
    assert not (tmp_path / "cache").exists()


@pytest.mark.slow
def test_an_arm_that_never_gets_there_is_said_as_such(tmp_path, pictures):
    told = call(tmp_path, pictures, "race", "--seeds", "1")
    assert told.exit_code == 0, told.output
    assert told.stdout.count("1 never") == 3
    assert "* the best learning rate of its arm, which is compared." in told.stdout
    best = [line.split()[1] for line in told.stdout.splitlines() if line.split()[2:3] == ["*"]]
    edge = "The best learning rate of slow is the smallest or largest tried: a better one may lie beyond."
    assert (edge in told.stdout) == (best != ["1e-08"])
    assert "evaluated on 9 of these after each epoch." in told.stderr


@pytest.mark.slow
def test_what_takes_long_is_asked_first(tmp_path, pictures, monkeypatch):
    monkeypatch.setattr(estimate, "seconds", lambda *_: 7200.0)
    told = call(tmp_path, pictures, "toy")
    assert told.exit_code == 2
    assert told.stderr.splitlines()[-1] == (
        "Error: 4 trainings will take about 2 h 00 min if none ends early, estimated from a few updates of each arm, "
        "without reading and writing. Continue? "
        "There is no terminal to ask at: add --yes to continue."
    )
    assert call(tmp_path, pictures, "toy", "--yes").exit_code == 0


@pytest.mark.slow
def test_a_stopped_one_says_how_it_goes_on(tmp_path, pictures, monkeypatch):
    def stop(self, done, note=""):
        if "loss" in note and done > 2:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(_output.Progress, "__call__", stop)
        stopped = call(tmp_path, pictures, "toy")
    assert stopped.exit_code == 130
    assert "Resume with the same command." in stopped.stderr
    told = call(tmp_path, pictures, "toy")
    assert "Continues after update " in told.stderr
    assert told.exit_code == 0


def test_what_cannot_be_is_one_line(tmp_path, pictures):
    told = call(tmp_path, pictures, "toys")
    assert told.exit_code == 2
    assert told.stderr.startswith("Error: no experiment is called 'toys'; there are relu-against-tanh, ")
    assert told.stderr.endswith("Did you mean toy?\n")
    assert experiment.LONG == 3600.0
