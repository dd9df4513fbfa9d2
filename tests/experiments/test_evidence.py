"""What an experiment's numbers show: chance, seeds that would tell, and arms that learned nothing."""

import dataclasses
import re

import numpy as np
import pytest

from cualex.experiments import catalogue, evidence, figure_1
from cualex.experiments.compare import Row, Spread, rows
from cualex.experiments.experiment import Arm, Trial
from cualex.experiments.metrics import COLOURS, ERRORS, UPDATES, better_than_guessing
from cualex.experiments.runner import Measured
from cualex.training.run import Run
from tests import ROOT
from tests.support.tiny_runs import RECIPE, Squares

TOY = dataclasses.replace(catalogue.find("one-tower"), arms={"base": Arm(), "other": Arm()})


@pytest.mark.parametrize(
    ("deviation", "seeds", "shown", "needed"),
    [
        (1.0, 2, False, 4),  # 3 deviations of the mean would do (2.1 > 3 / sqrt 2 is false, too), Student wants 12.7
        (1.0, 3, False, 4),
        (1.0, 4, True, 4),
        (0.4, 3, True, 3),
        (0.2, 2, True, 2),
        (1.9, 3, False, 8),
        (1000.0, 3, False, None),
        (None, 1, False, None),
    ],
)
def test_a_difference_is_shown_beyond_three_deviations_of_its_mean(deviation, seeds, shown, needed):
    for sign, null in ((1, 0.0), (-1, 0.0), (1, 1.0)):
        found = Spread(null + sign * 2.1, deviation, seeds)
        assert evidence.shown(found, null) == shown
        assert evidence.needed(found, null) == needed


def test_as_many_seeds_as_are_needed_show_it_and_one_fewer_do_not():
    for deviation in (0.1, 0.7, 1.3, 5.0, 8.0):
        seeds = evidence.needed(Spread(1.0, deviation, 3))
        assert evidence.shown(Spread(1.0, deviation, seeds))
        assert seeds == 2 or not evidence.shown(Spread(1.0, deviation, seeds - 1))


def test_sentences():
    ratio = catalogue.find("relu-against-tanh")
    assert evidence.sentence(TOY, Spread(1.3, 0.4, 3)) == (
        "+1.3 ± 0.4 points over 3 seeds: larger than three deviations of its mean"
    )
    assert evidence.sentence(TOY, Spread(1.7, 1.9, 3)) == (
        "+1.7 ± 1.9 points over 3 seeds: not told from chance; if it is as large as here, 12 seeds would"
    )
    assert evidence.sentence(ratio, Spread(2.04, None, 1)) == (
        "2.04 times over 1 seed: one seed has no spread, and shows nothing; --seeds 3 does more"
    )
    assert evidence.sentence(ratio, Spread(1.0, 0.2, 3)).endswith("more than 1,000 seeds would be needed")


def made(arm, seed, error, diverged=None):
    return Measured(Trial(arm, 0.01, seed, RECIPE), dict.fromkeys(ERRORS.columns, error), diverged, 2, 10, 1.0)


def ended(directory, each, top1):
    """Write what a training of the trial would have left: its accuracy in the last of two epochs."""
    run = Run(directory / each.trial.name)
    run.path.mkdir()
    lines = ["epoch,metrics/accuracy_top1", "1,0.9", f"2,{top1}"]
    (run.path / "results.csv").write_text("\n".join(lines) + "\n")


@pytest.mark.parametrize(("top1", "learned"), [(0.25, False), (1 / 3, False), (0.44, False), (0.6, True), (1.0, True)])
def test_better_than_guessing_by_the_interval_of_the_last_epoch(tmp_path, top1, learned):
    """30 images of three classes: 0.44 are 13 right, whose interval begins at 0.25; 0.6 are 18, at 0.41."""
    each = made("base", 0, 50.0)
    ended(tmp_path, each, top1)
    assert better_than_guessing(Run(tmp_path / each.trial.name), {}, Squares(30)) == learned
    assert not better_than_guessing(Run(tmp_path / "none"), {}, Squares(30))


def test_arms_at_chance_are_named_and_where_all_are_nothing_else_is_said(tmp_path):
    measured = [made(arm, seed, 50.0 + 10 * (arm == "other") + seed) for arm in TOY.arms for seed in range(3)]
    table = rows(TOY, measured)
    for each in measured:
        ended(tmp_path, each, 0.9 if each.trial.arm == "base" else 0.3)
    found = evidence.learned(TOY, measured, table, tmp_path, Squares(30))
    assert found == {"base": True, "other": False}
    assert evidence.findings(TOY, table, found) == [
        "other: nothing was learned at this scale; it is no better than guessing.",
        "other against base: +10 ± 0 points over 3 seeds: larger than three deviations of its mean.",
    ]
    (nothing,) = evidence.findings(TOY, table, {"base": False, "other": False})
    assert nothing.startswith("Nothing was learned at this scale: no arm is better than guessing")


def test_an_arm_of_which_most_seeds_diverged_learned_nothing(tmp_path):
    measured = [made("base", seed, 50.0, "the loss is nan" if seed else None) for seed in range(3)]
    for each in measured:
        ended(tmp_path, each, 0.9)
    table = [Row("base", 0.01, 3, {}, 2, 2, chosen=True)]
    assert evidence.learned(TOY, measured, table, tmp_path, Squares(30)) == {"base": False, "other": False}


def test_leaving_ln_c_is_what_learning_is_where_that_is_asked():
    column = UPDATES.columns[0]
    assert UPDATES.learned(None, {column: 40.0}, None)
    assert not UPDATES.learned(None, {column: None}, None)


@pytest.mark.parametrize(("share", "said"), [(52.0, "not told from chance"), (1.0, "less than chance gives")])
def test_towers_are_held_against_random_halves(share, said):
    experiment = catalogue.find("towers-specialise")
    figures = dict.fromkeys(COLOURS.columns, Spread(share, 1.0, 3))
    row = Row("two-towers", 0.01, 3, figures, 0, 0, chosen=True)
    (line,) = evidence.findings(experiment, [row], {"two-towers": True})
    assert line == f"two-towers: {share:.2g} % of random divisions are as far apart: {said}."


def test_a_bound_is_said_as_one():
    row = Row("other", 0.01, 3, {}, 3, 0, chosen=True, beyond=1.87)
    assert evidence.findings(TOY, [row], {"other": True}) == [
        "other against base: never got there; more than 1.9 times."
    ]


@pytest.mark.parametrize("name", catalogue.names())
def test_every_experiment_says_what_its_results_show(name):
    """What is not shown at the default scale says so, and how many seeds would."""
    lines = evidence.so_far(catalogue.find(name))
    assert lines
    verdicts = ("larger than three", "would", "never got there", "chance", "shows nothing")
    assert all(any(verdict in line for verdict in verdicts) for line in lines)


# --- figure 1


def training(activation, rate, seed=0, at=None, ended="goal", **others):
    """Return a row of figure_1.csv that came to 40 % after `at` epochs."""
    row = dict.fromkeys(("epochs_to_50", "epochs_to_30", "epochs_to_25"), "")
    row |= {"engine": "cualex", "inputs": "raw", "pools": "average", "initial": "even", "batch": "32", "images": "9"}
    row |= {"activation": activation, "rate": str(rate), "seed": str(seed), "goal": "40", "ended": ended}
    return row | {"epochs_to_40": str(at or ""), "epochs": "20", "lowest_error": "39.0"} | others


def test_the_table_of_figure_1_takes_best_rates_and_their_seeds():
    found = [training("relu", 0.1, at=10), training("relu", 0.2, at=4), training("relu", 0.4, at=9)]
    found += [training("relu", 0.2, 1, at=5), training("tanh", 0.2, at=8), training("tanh", 0.1, at=9)]
    found += [training("tanh", 0.2, 1, at=15), training("tanh", 0.1, 1, at=1), training("sigmoid", 0.1, ended="chance")]
    (row,) = figure_1.table(found)
    assert (row["relu"], row["tanh"], row["sigmoid"]) == ("0.2: 4.0 / -", "0.2*: 8.0 / -", "0.1*: chance")
    assert (row["ratio at 40 %"], row["ratio at 25 %"]) == ("2.50 ± 0.71", "")


def test_a_ratio_of_what_never_got_there_is_a_bound():
    (row,) = figure_1.table([training("relu", 0.2, at=4), training("tanh", 0.2, ended="over")])
    assert row["ratio at 40 %"] == "> 5.00"
    (row,) = figure_1.table([training("relu", 0.2, at=4), training("tanh", 0.2, ended="over", goal="50")])
    assert row["ratio at 40 %"] == ""


def test_the_table_of_figure_1_says_what_its_reading_does():
    """Two to three times only where images are raw and pools average."""
    for row in figure_1.table():
        ratio = row["ratio at 40 %"].removeprefix("> ").partition(" ")[0]
        if ratio and not row["ratio at 40 %"].startswith(">"):
            both = row["inputs"] == "raw" and row["pools"] == "average"
            assert (float(ratio) > 1.5) == both, row
    assert np.isin([row["engine"] for row in figure_1.trainings()], ["PyTorch", "cualex"]).all()


@pytest.mark.parametrize("name", catalogue.names())
def test_the_readme_s_table_is_of_the_results(name):
    """A row an experiment, with the numbers of its effects, its seeds, and those that would tell."""
    (row,) = [line for line in (ROOT / "README.md").read_text().splitlines() if line.startswith(f"| `{name}` |")]
    effects = evidence.committed()["results"][name]["effects"].values()
    assert f"; {next(iter(effects))['seeds']} |" in row
    told, lines = [], evidence.so_far(catalogue.find(name))
    for line in lines:
        if number := re.search(r"[+-]?[\d.]+ ± [\d.]+", line):
            assert number.group() in row
        if seeds := re.search(r"(\d+) seeds would", line.replace("1,000", "")):
            told.append(int(seeds.group(1)))
    if told and not any("larger than" in line or "never got there" in line for line in lines):
        assert f"{max(told)} seeds would tell" in row


@pytest.mark.parametrize("name", catalogue.names())
def test_results_of_fewer_seeds_than_the_default_say_so(name):
    """Defaults were raised to what would tell a difference; the results are of what was run."""
    default, result = catalogue.find(name).scale.seeds, evidence.committed()["results"][name]
    run = {found["seeds"] for found in result["effects"].values()}
    assert max(run) <= default
    assert (max(run) < default) == ("the default since then" in result["reading"])
