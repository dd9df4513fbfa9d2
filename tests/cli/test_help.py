"""`cualex help`, and where the README's tables went: topics, results of experiments, the plot of a network."""

import json
import re

import click
import pytest
from click.testing import CliRunner

from cualex import cli
from tests.support import json_keys


def run(*words):
    return CliRunner().invoke(cli.main, list(map(str, words)))


def test_without_a_topic_it_lists_them():
    result = run("help")
    assert result.exit_code == 0
    assert "    changes     what changed since version 0.1\n" in result.stdout


@pytest.mark.parametrize(
    ("topic", "words"), [("networks", "60,965,224"), ("recipes", "cosine"), ("cite", "@inproceedings")]
)
def test_a_topic_is_printed(topic, words):
    result = run("help", topic)
    assert result.exit_code == 0
    assert words in result.stdout


def test_a_command_has_the_help_of_its_own_option():
    assert run("help", "pack").stdout.split("\n\n", 1)[1] == run("pack", "--help").stdout.split("\n\n", 1)[1]


def test_an_unknown_topic_is_told_all():
    result = run("help", "weather")
    assert (result.exit_code, result.stderr) == (
        2,
        "Error: no help topic 'weather'; the topics are changes, cite, completion, diagnose, install, json, kernels, "
        "networks, ranks, recipes, and every command\n",
    )


def test_options_of_train_are_in_groups_and_each_is_in_one():
    command = cli.main.get_command(None, "train")
    text = command.get_help(click.Context(command, max_content_width=80, terminal_width=80))
    titles = ["Data", "Network", "Recipe; defaults are those of --recipe", "Augmentation", "Run", "Diagnosis", "Output"]
    listed = text[text.index("\nData:\n") :]
    assert re.findall(r"^(\w[^:\n]*):$", listed, re.M) == titles
    for option in command.params:
        if isinstance(option, click.Option):
            assert len(re.findall(rf"^  (?:-\w, )?(?:--\w+, )?{option.opts[-1]}\b(?!-)", listed, re.M)) == 1, (
                option.opts
            )
    assert re.match(r"  (-h, )?--help ", listed.rstrip().splitlines()[-1])


def test_a_command_without_groups_lists_its_options_as_click_does():
    command = cli.main.get_command(None, "pack")
    text = command.get_help(click.Context(command))
    assert re.findall(r"^(\w+):$", text[text.index("Options:") :], re.M) == ["Options"]


@pytest.mark.parametrize("name", ["", "train", "help", "pack", "check", "doctor", "experiment", "profile", "benchmark"])
def test_help_fits_80_columns(name):
    command = cli.main.get_command(None, name) if name else cli.main
    text = command.get_help(click.Context(command, info_name=name, max_content_width=80, terminal_width=80))
    assert [line for line in text.splitlines() if len(line) > 80] == []


@pytest.mark.parametrize("option", ["-V", "--version"])
def test_both_print_the_version(option):
    assert run(option).stdout == "cualex, version 0.1.0\n"


def test_results_of_an_experiment_have_their_conditions():
    result = run("experiment", "one-tower", "--results")
    assert result.exit_code == 0
    assert result.stdout.startswith("one-tower: 2,000 images, crops of 67, 10 epochs, 3 seeds\n  here: 59.1 ± 2.5 %")
    assert "NumPy 2.4.6" in result.stdout
    found = json.loads(run("experiment", "--results", "--json").stdout)
    assert set(found) == {"schema_version", "conditions", "results"}
    assert json_keys.faults(["experiment", "--results"], found) == []
    assert len(found["results"]) == 11


def test_results_say_what_is_more_than_chance_and_under_which_conditions():
    shown = run("experiment", "one-tower", "--results").stdout
    assert "one-tower against two-towers: +1.7 ± 1.9 points over 3 seeds: not told from chance; if it is" in shown
    figure = run("experiment", "relu-against-tanh", "--results").stdout
    assert re.search(r"^PyTorch +raw +average +even +32 +5000 .* 2\.04 ± 0\.07 ", figure, re.M)
    assert "six was never seen" in figure
    assert "tanh against relu: 2.04 ± 0.07 times over 3 seeds: larger than three" in run("experiment").stdout


def test_the_json_of_a_network_is_documented(tmp_path):
    result = run("show", "network", "lenet5", "-o", tmp_path / "lenet5.png", "--json")
    assert json_keys.faults(["show", "network"], json.loads(result.stdout)) == []
