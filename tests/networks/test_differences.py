"""How networks differ: where the paper and its code disagree, and that no change of a network goes unseen."""

import json
from dataclasses import fields, replace

import pytest
from click.testing import CliRunner

from cualex import cli, networks
from cualex.layers import LRN, ReLU
from cualex.networks.differences import Difference, compare


def listed(first, second):
    found = compare(networks.build(first), networks.build(second))
    return [(each.where, each.what, each.first, each.second) for each in found]


def test_where_the_paper_and_its_code_disagree():
    """Every row, word for word; what both have from the code, or neither has, is in the remarks."""
    assert listed("alexnet", "alexnet-2012") == [
        ("picture", "pixels a side", "227", "224"),
        ("picture", "mean picture taken at the", "crop", "centre"),
        ("conv1", "size of the output rounded", "down", "up"),
        ("conv1", "pixels of zeros to the right and below", "0", "3"),
        ("relu1", "place", "after conv1", "after pool1"),
        ("relu1", "output of all towers", "96x55x55", "96x27x27"),
        ("norm1", "alpha", "0.0001", "2e-05"),
        ("pool1", "size of the output rounded", "down", "up"),
        ("norm2", "alpha", "0.0001", "2e-05"),
        ("cnorm2", "layer", "", "spatial_lrn, n 5, k 1, alpha 4e-05, beta 0.75"),
        ("pool2", "size of the output rounded", "down", "up"),
        ("relu5", "place", "after conv5", "after pool5"),
        ("relu5", "output of all towers", "256x13x13", "256x6x6"),
        ("pool5", "size of the output rounded", "down", "up"),
        ("exchange7", "weights above begin with", "the first tower's inputs", "the tower's own inputs"),
    ]
    remarks = " ".join(networks.build("alexnet").remarks + networks.build("alexnet-2012").remarks)
    for said in ("0.03 in conv3 to conv5", "1.1", "one crop and one mirroring", "development kit"):
        assert said in remarks


def test_caffes_two_differ_in_pooling_first_and_initial_biases():
    found = listed("alexnet-caffe", "caffenet")
    assert ("pool1", "place", "after norm1", "after relu1") in found
    assert ("pool2", "place", "after norm2", "after relu2") in found
    biases = [where for where, what, *values in found if (what, *values) == ("initial biases", "0.1", "1")]
    assert biases == ["conv2", "conv4", "conv5", "fc6", "fc7"]
    assert {where for where, *_ in found} == {"pool1", "pool2", "norm1", "norm2", *biases}


def test_towers_and_groups():
    found = listed("alexnet", "alexnet-caffe")
    assert ("network", "towers", "2", "1") in found
    assert ("norm1", "channels that lie side by side", "48", "96") in found
    assert ("drop6", "dropout", "classic: scaled at test", "inverted: scaled in training") in found
    assert ("join8", "layer", "join, towers 2", "") in found
    assert not [row for row in found if row[1] == "filters"]  # counted over all towers


@pytest.mark.parametrize("name", networks.names())
def test_a_network_does_not_differ_from_itself(name):
    assert compare(networks.build(name), networks.build(name)) == []


NUMBERS = [
    (layer, field.name)
    for layer, made in networks.build("alexnet-2012").layers.items()
    for field in fields(made)
    if (layer, field.name) not in {("conv1", "groups"), ("join8", "own_first")}
    and (made.kind not in ("exchange", "join") or field.name != "towers")  # that would be another network
]


@pytest.mark.parametrize(("layer", "number"), NUMBERS)
def test_a_changed_number_is_seen_where_it_is(layer, number):
    network = networks.build("alexnet-2012")
    made = network.layers[layer]
    old = getattr(made, number)
    new = {
        bool: lambda: not old,
        int: lambda: max(1, old * 2 - (number == "stride")),
        float: lambda: old / 2 + 0.1,
    }
    new = new[type(old)]()
    if number in ("pad", "stride"):
        new = old + 1
    other = replace(network, layers={**network.layers, layer: replace(made, **{number: new})})
    assert layer in {each.where for each in compare(network, other)}


@pytest.mark.parametrize(
    "change", [{"scale": 0.5}, {"mean_at": "crop"}, {"mean": (1.0, 2.0, 3.0)}, {"crop": 222}, {"stored": 300}]
)
def test_a_changed_picture_is_seen(change):
    network = networks.build("alexnet-2012")
    assert "picture" in {each.where for each in compare(network, replace(network, **change))}


def test_a_layer_more_and_one_of_another_kind():
    network = networks.build("cifar-relu")
    more = replace(network, layers={"norm0": LRN(), **network.layers})
    assert Difference("norm0", "layer", "", "lrn, n 5, k 2, alpha 0.0001, beta 0.75") in compare(network, more)
    other = replace(network, layers={**network.layers, "norm1": ReLU()})
    assert Difference("norm1", "layer", "lrn, n 5, k 2, alpha 0.0001, beta 0.75", "relu") in compare(network, other)


def run(*arguments):
    return CliRunner().invoke(cli.main, ["summary", *arguments])


def test_the_command_prints_a_table_and_the_remarks():
    result = run("alexnet", "--against", "alexnet-2012")
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert lines[0].split() == ["where", "what", "alexnet", "alexnet-2012"]
    assert lines[4].split() == ["conv1", "size", "of", "the", "output", "rounded", "down", "up"]
    said = "alexnet-2012: The code of 2012 divides the picture with its colour noise by 1.1; here nothing is divided."
    assert said in lines
    assert run("lenet5", "--against", "lenet5").stdout == "lenet5 and lenet5 do not differ.\n"


def test_the_command_as_json():
    told = json.loads(run("cifar-relu", "--against", "cifar-tanh", "--json").stdout)
    assert told["networks"] == ["cifar-relu", "cifar-tanh"]
    assert told["differences"][0] == {"where": "relu1", "what": "layer", "first": "relu", "second": ""}
    assert told["remarks"] == {"cifar-relu": [], "cifar-tanh": []}


def test_what_does_not_go_together_is_one_line():
    result = run("alexnet", "--against", "alexnet-2012", "--memory")
    assert result.exit_code == 2
    assert result.stderr.endswith("--against compares layers, without --memory: leave one of them out.\n")
