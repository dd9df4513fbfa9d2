"""`cualex help json` lists the keys of all documents; tests of the commands hold their documents against it."""

import click
import pytest

from cualex import cli
from cualex.cli import _output
from cualex.cli.help import text
from tests.support import json_keys

BLOCKS = json_keys.blocks()


def commands():
    """Return the commands that print JSON, each as its words."""
    found = []
    for name in cli.main.list_commands(None):
        made = cli.main.get_command(None, name)
        if isinstance(made, click.Group):
            each = {(name, own): made.get_command(None, own) for own in made.list_commands(None)}
        else:
            each = {(name,): made}
        found += [words for words, one in each.items() if "as_json" in {option.name for option in one.params}]
    return found


def test_every_command_that_prints_json_has_keys():
    assert {words for words in commands() if words not in BLOCKS} == set()
    assert all(keys for keys in BLOCKS.values())


def test_every_block_is_of_a_command_and_its_options():
    for block in BLOCKS:
        made = cli.main.get_command(None, block[0])
        if isinstance(made, click.Group):
            made = made.get_command(None, block[1])
        assert {word for word in block if word.startswith("-")} <= {name for each in made.params for name in each.opts}


def test_the_topic_names_the_version():
    assert f'"schema_version", which is {_output.SCHEMA}.' in text("json")


@pytest.mark.parametrize(
    ("document", "said"),
    [
        ({"weights": "a", "network": "b", "results": []}, []),
        ({"weights": "a", "results": []}, ["predict: network is not in the document"]),
        (
            {"weights": "a", "network": "b", "results": [{"image": "c"}]},
            [
                "predict: results[].image is not in the topic",
                "predict: results[].picture is not in the document",
            ],
        ),
        ({"weights": "a", "network": "b", "results": [{"picture": "c", "error": "d"}]}, []),
        ({"weights": "a", "network": "b", "results": [], "model": 3}, ["predict: model is not in the topic"]),
    ],
)
def test_differences_between_topic_and_document_are_found(document, said):
    assert json_keys.faults(["predict", "x.png", "--json"], {"schema_version": 1, **document}) == said
