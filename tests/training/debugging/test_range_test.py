"""--find-lr: where the loss falls and diverges, what is suggested, and that nothing is left behind."""

import contextlib
import json
from types import SimpleNamespace

import click
import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from cualex.cli import _debugging, main
from cualex.cli._train_values import TrainOptions
from cualex.plots import rate_range
from cualex.training.debugging import range_test
from cualex.training.debugging.range_test import EARLY, HIGH, LOW, Step, Steps
from tests.support import json_keys
from tests.support.tiny_runs import RECIPE, Squares

pytestmark = pytest.mark.usefixtures("speck")


def curve(*losses):
    """Return steps with these smoothed losses, on rates that rise by a tenth, after a start at 1."""
    every = [*[1.0] * EARLY, *losses]
    return Steps(Step(number + 1, 0.001 * 1.1**number, each, each) for number, each in enumerate(every))


def rate(update):
    return 0.001 * 1.1 ** (EARLY + update)


def near(found, expected):
    assert found == pytest.approx(expected / 3, rel=0.05)  # two digits


def test_a_third_of_the_rate_at_which_the_loss_rises():
    steps = curve(0.9, 0.8, 0.7, 0.7, 0.75, 0.85, 0.5, 2.0)  # the fall after the spike is no reason
    near(steps.suggestion, rate(5))
    assert steps.ended
    assert steps.rule.startswith("a third of the largest learning rate at which the loss still falls")
    assert not curve(0.9, 0.8, 0.7, 0.7, 0.75, 0.85).ended


def test_a_loss_that_is_not_finite_has_risen():
    near(curve(0.9, 0.8, float("inf")).suggestion, rate(2))


def test_a_set_that_is_learned_ends_the_test():
    steps = curve(0.5, 0.2, 0.05)
    near(steps.suggestion, rate(2))
    assert steps.ended
    assert steps.rule.startswith("a third of the learning rate by which the loss had fallen below a tenth of its start")


def test_where_nothing_rises_the_least_loss_counts():
    steps = curve(0.9, 0.8, 0.7, 0.75)
    near(steps.suggestion, rate(2))
    assert steps.rule.startswith("a third of the learning rate at which the loss was least; up to 10 it never rose")


@pytest.mark.parametrize("losses", [(), (1.0, 1.01, 0.99), (1.2, 1.5)])
def test_a_loss_that_never_falls_suggests_nothing(losses):
    assert curve(*losses).suggestion is None


def test_rates_rise_exponentially_and_the_average_is_that_of_the_losses(monkeypatch):
    monkeypatch.setattr(range_test, "UPDATES", 30)
    monkeypatch.setattr(range_test, "DIVERGED", np.inf)
    monkeypatch.setattr(range_test, "LEARNED", 0.0)
    steps = list(range_test.run(RECIPE, Squares()))
    assert [step.rate for step in steps] == pytest.approx(list(np.geomspace(LOW, HIGH, 30)[: len(steps)]))
    finite = [step for step in steps if step.loss is not None]
    for step in finite:
        weights = range_test.B ** np.arange(step.update)[::-1]
        expected = np.average([each.loss for each in finite[: step.update]], weights=weights)
        assert step.smoothed == pytest.approx(expected)


def test_the_schedule_has_no_part_in_it(monkeypatch):
    monkeypatch.setattr(range_test, "UPDATES", 20)
    steps = [list(range_test.run(recipe, Squares())) for recipe in (RECIPE, RECIPE.but(rate=0.5, warmup=3.0))]
    assert steps[0] == steps[1]


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A set that is learned at moderate rates, and on which large ones diverge: noise, and a faint colour."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CUALEX_CACHE", str(tmp_path / "cache"))
    generator = np.random.default_rng(3)
    for number in range(90):
        folder = tmp_path / "photos" / f"class {number % 3}"
        folder.mkdir(parents=True, exist_ok=True)
        pixels = generator.integers(0, 200, (20, 20, 3)) + 50 * np.eye(3, dtype=int)[number % 3]
        Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{number}.png")
    return tmp_path


def train(*words):
    words = ["train", "photos", "--network", "speck", "--crop", "11", "-b", "8", "--seed", "1", *map(str, words)]
    return CliRunner().invoke(main, words)


@pytest.mark.slow
def test_the_suggestion_trains_and_ten_times_its_edge_does_not(here):
    result = train("--find-lr", "--json")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert json_keys.faults(["train", "--find-lr"], found) == []
    assert {file.name for file in here.iterdir()} == {"photos", "cache", "find-lr.png"}, "a run was left behind"
    with Image.open("find-lr.png") as image:
        assert np.asarray(image.convert("L")).std() > 5
    epochs = ["--epochs", 12, "--schedule", "cosine", "--json", "--lr"]
    best = json.loads(train(*epochs, found["suggestion"]).stdout)
    assert best["better"], best["summary"]
    large = train(*epochs, 30 * found["suggestion"])
    assert large.exit_code == 4 or not json.loads(large.stdout)["better"]


@pytest.mark.slow
def test_it_prints_a_table_and_one_suggestion(here, monkeypatch):
    monkeypatch.setattr(range_test, "UPDATES", 40)
    result = train("--find-lr")
    lines = result.stdout.splitlines()
    assert lines[0].split() == ["rate", "loss"]
    assert 5 <= len(lines) <= 45
    assert lines[-1] == "Plot: find-lr.png"
    if result.exit_code:
        assert lines[-2].startswith("No suggestion: the loss has not fallen at any rate.")
    else:
        assert lines[-2].startswith("Suggestion: --lr ")
        assert sum("Suggestion" in line for line in lines) == 1


def test_a_plot_before_it_is_kept(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(range_test, "UPDATES", 12)
    monkeypatch.setattr(rate_range, "draw", lambda steps, rate, path: path.write_text("new"))
    (tmp_path / "find-lr.png").write_text("mine")
    options = TrainOptions(find_lr=True, as_json=True, batch_size=8)
    for number in (2, 3):
        _debugging.refuse(options)
        with contextlib.suppress(click.exceptions.Exit):  # whether a rate is suggested is not the matter
            _debugging.give(options, SimpleNamespace(recipe=RECIPE, options=options, device="cpu"), Squares(), None)
        assert json.loads(capsys.readouterr().out)["plot"] == f"find-lr-{number}.png"
    texts = {file.name: file.read_text() for file in tmp_path.iterdir()}
    assert texts == {"find-lr.png": "mine", "find-lr-2.png": "new", "find-lr-3.png": "new"}


def test_where_no_plot_can_be_written_nothing_is_read_or_run(here, monkeypatch):
    monkeypatch.setattr("cualex.system.files.os.access", lambda path, mode: False)
    result = train("--find-lr")
    said = "Error: cannot write find-lr.png: permission denied. Choose a writable path.\n"
    assert (result.exit_code, result.stderr) == (1, said)
    assert {file.name for file in here.iterdir()} == {"photos"}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--find-lr", "--lr", 1], "--find-lr tries all learning rates, --lr names one: leave one of them out"),
        (["--find-lr", "--overfit", 3], "--overfit and --find-lr are two checks: run one after the other"),
        (["--find-lr", "--resume"], "--find-lr starts from initial weights, --resume does not: leave --resume out"),
    ],
)
def test_what_it_does_not_go_with(words, said):
    result = train(*words)
    assert (result.exit_code, result.stderr) == (2, f"Error: {said}\n")
