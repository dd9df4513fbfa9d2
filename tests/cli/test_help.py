"""`cualex help`, and where the README's tables went: topics, results of experiments, the plot of a network."""

import json

import pytest
from click.testing import CliRunner

from cualex import cli


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
        "Error: no help topic 'weather'; the topics are changes, cite, diagnose, install, networks, recipes, and every "
        "command\n",
    )


def test_results_of_an_experiment_have_their_conditions():
    result = run("experiment", "one-tower", "--results")
    assert result.exit_code == 0
    assert result.stdout.startswith("one-tower: 2,000 images, crops of 67, 10 epochs, 3 seeds\n  here: 59.1 ± 2.5 %")
    assert "NumPy 2.4.6" in result.stdout
    found = json.loads(run("experiment", "--results", "--json").stdout)
    assert set(found) == {"conditions", "results"}
    assert len(found["results"]) == 9
