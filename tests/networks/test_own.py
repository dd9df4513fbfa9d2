"""Networks of one's own: layers as plain values and back, and the file that is run only where it is named."""

import dataclasses
import json
from dataclasses import dataclass

import numpy as np
import pytest
import safetensors

import cualex
from cualex import networks, weights
from cualex.errors import UsageError, WeightsError
from cualex.layers import LRN, Conv, Dense, Layer, MaxPool, MeanDropout, ReLU, Softmax
from cualex.networks import Network, own
from cualex.networks.from_file import File
from cualex.weights import Weights, initial

FILE = """
from cualex.layers import Conv, Dense, LRN, MaxPool, ReLU, Softmax
from cualex.networks import Network
from beside import FILTERS

def mine(classes=10, crop=11, width=FILTERS, wrong=False):
    layers = {"conv1": Conv(width, size=3, std=0.1), "relu1": ReLU(), "norm1": LRN(alpha=0.5), "pool1": MaxPool(),
              "fc2": Dense(classes, std=0.1), "softmax": Softmax()}
    if wrong:
        layers["fc2"] = layers["none"]
    return Network("mine", layers, towers=1, classes=classes, crop=crop, stored=crop + 5, scale=(0.5, 1, 2))

def other():
    return "no network"

def demanding(classes, depth):
    return mine(classes)
"""


@pytest.fixture
def place(tmp_path):
    (tmp_path / "my.py").write_text(FILE)
    (tmp_path / "beside.py").write_text("FILTERS = 4\n")
    return tmp_path


def mine(**changes):
    layers = {"conv1": Conv(4, size=3), "relu1": ReLU(), "fc2": Dense(2), "softmax": Softmax()}
    return Network("mine", layers | changes, towers=1, classes=2, crop=11, stored=16)


@pytest.mark.parametrize("name", networks.names())
def test_every_network_is_the_same_from_its_layers(name):
    network = networks.build(name, classes=7)
    plain = json.loads(json.dumps(own.described(network)))
    again = networks.build("a.py:b", **plain)
    assert own.same(again, network)
    assert again.tensors() == network.tensors()
    assert own.same(networks.build(again.name, **again.arguments), network)


def test_every_layer_can_be_kept():
    """So that one that is added is not forgotten."""
    known = {kind for kind in vars(cualex.layers).values() if isinstance(kind, type) and issubclass(kind, Layer)}
    assert set(own.TYPES.values()) == known - {Layer}


def test_the_order_of_layers_matters():
    layers = mine().layers
    swapped = {name: layers[name] for name in ("relu1", "conv1", "fc2", "softmax")}
    assert not own.same(mine(), dataclasses.replace(mine(), layers=swapped))


# --- weights files


def saved(path, network):
    mean = np.full((network.stored, network.stored, 3), 9, np.float32)
    weights.save(path, Weights(network, initial.draw(network, 3), list("abcdefghij"[: network.classes]), mean))
    return weights.load(path)


def test_an_altered_network_is_loaded_as_it_was_saved(tmp_path):
    alexnet = networks.build("alexnet", classes=2, crop=67, width=1 / 32)
    altered = {**alexnet.layers, "norm1": LRN(n=3, k=1.0), "drop6": MeanDropout(0.25)}
    for network in (mine(), dataclasses.replace(alexnet, layers=altered), mine(norm=LRN())):
        loaded = saved(tmp_path / "w", network)
        assert own.same(loaded.network, network)
        assert loaded.network.name == f"own:{network.name}"
        equal = initial.draw(network, 3)
        assert all(np.array_equal(loaded.tensors[name], values) for name, values in equal.items())
        assert saved(tmp_path / "w", loaded.network).network == loaded.network


def test_files_of_known_networks_have_the_text_that_they_had(tmp_path):
    network = networks.build("cifar-relu", classes=2)
    saved(tmp_path / "w", network)
    with safetensors.safe_open(tmp_path / "w", framework="numpy") as file:
        text = file.metadata()["network"]
    arguments = '{"classes": 2, "crop": 27, "mean_at": "crop", "norm": "across", "pool": 3}'
    assert text == f'{{"name": "cifar-relu", "arguments": {arguments}}}'


class Custom(ReLU):
    """A layer of the user's."""


@dataclass(frozen=True)
class Other(Layer):
    """Another, that has the name of none."""


@pytest.mark.parametrize("layer", [Custom(), Other()])
def test_a_layer_of_other_code_is_named(tmp_path, layer):
    with pytest.raises(UsageError, match=rf"relu1 is a {type(layer).__name__}, which no weights file can hold"):
        saved(tmp_path / "w", mine(relu1=layer))


def test_no_file_is_run_for_what_is_loaded(place, monkeypatch):
    """Also beside the Python file that the network's name says."""
    monkeypatch.chdir(place)
    network = File("my.py:mine").network(classes=3)
    loaded = saved(place / "w", network)
    (place / "my.py").write_text("raise SystemExit('run')")
    assert weights.load(place / "w").network == loaded.network == network
    assert loaded.network.name == "my.py:mine"
    with pytest.raises(UsageError, match="its layers are not kept; a Python file is run only as --network"):
        networks.build("my.py:mine")


CONV = {"type": "Conv", "filters": 4, "size": 3}
STRANGE = [
    ({"type": "os.system"}, r"layer conv1 is a 'os\.system', which is not known; there are LRN, Activation"),
    ({"type": "Layer"}, "layer conv1 is a 'Layer', which is not known"),
    ({}, "layer conv1 has no type"),
    ("Conv", "layer conv1 has no type"),
    (CONV | {"dilation": 2}, "layer conv1, a Conv, has 'dilation', which is not known"),
    (CONV | {"kind": "conv"}, "layer conv1, a Conv, has 'kind', which is not known"),
    ({"type": "Conv", "filters": 4}, "layer conv1: .*missing 1 required positional argument: 'size'"),
    (CONV | {"size": "3"}, "layer conv1 has size '3', expected a whole number"),
    (CONV | {"size": 3.0}, "layer conv1 has size '3.0', expected a whole number"),
    (CONV | {"size": True}, "layer conv1 has size 'True', expected a whole number"),
    (CONV | {"filters": 0}, "layer conv1 has filters 0, expected at least 1"),
    (CONV | {"filters": 2**40}, "layer conv1 has filters '1099511627776', expected a whole number"),
    (CONV | {"groups": 0}, "layer conv1 has groups 0, expected at least 1"),
    (CONV | {"std": float("nan")}, "layer conv1 has std 'nan', expected a number or null"),
    (CONV | {"round_up": 1}, "layer conv1 has round_up '1', expected true or false"),
    (CONV | {"size": 99}, "a filter of size 99 does not fit"),
    ({"type": "Activation", "function": "swish"}, "no activation is called 'swish'"),
]


@pytest.mark.parametrize(("layer", "words"), STRANGE)
def test_the_reader_names_what_it_does_not_know(layer, words):
    plain = own.described(mine())
    with pytest.raises(UsageError, match=words):
        networks.build("a.py:b", **plain | {"layers": {**plain["layers"], "conv1": layer}})


@pytest.mark.parametrize(
    "change",
    [
        *({"towers": 0}, {"towers": "1"}, {"stored": -1}, {"stored": 2.5}, {"crop": 0}, {"classes": 0}),
        *({"scale": "1"}, {"scale": [1, 2]}, {"scale": [1, 2, float("inf")]}, {"mean": [1]}, {"mean": "abc"}),
        *({"layers": []}, {"layers": {}}, {"layers": {"": CONV}}, {"layers": {"a\nb": CONV}}, {"mean_at": "left"}),
        *({"layers": {"conv1": CONV}}, {"unknown": 1}, {"layers": {str(n): {"type": "ReLU"} for n in range(1001)}}),
    ],
)
def test_other_numbers_are_refused(change):
    with pytest.raises(UsageError, match=r"^network a\.py:b with"):
        networks.build("a.py:b", **own.described(mine()) | change)


def test_a_damaged_description_is_refused_in_one_line(tmp_path):
    saved(tmp_path / "w", mine())
    data = (tmp_path / "w").read_bytes()
    assert data.count(b'\\"Softmax\\"') == 1
    (tmp_path / "w").write_bytes(data.replace(b'\\"Softmax\\"', b'\\"Softmin\\"'))
    with pytest.raises(WeightsError, match="softmax is a 'Softmin', which is not known") as caught:
        weights.load(tmp_path / "w")
    assert "\n" not in str(caught.value)


# --- the user's file


def test_a_file_beside_it_can_be_imported_and_arguments_be_given(place):
    file = File(f"{place}/my.py:mine")
    assert file.network(classes=3).parameters()["fc2.weight"] == (3, 64)
    assert file.network(["width=6"], classes=3, crop=21).parameters()["conv1.weight"] == (6, 3, 3, 3)
    network = networks.named(f"{place}/my.py:mine", crop=21)
    assert (network.name, network.crop, network.stored, network.scale) == ("my.py:mine", 21, 26, (0.5, 1, 2))
    assert cualex.summary(f"{place}/my.py:mine", classes=3, width=6).totals.parameters == 6 * 28 + 3 * (6 * 16 + 1)


def test_a_function_without_classes_and_crop_gets_them_all_the_same(place):
    (place / "my.py").write_text(FILE + "\ndef fixed():\n    return mine()\n")
    network = networks.named(f"{place}/my.py:fixed", classes=3, crop=22)
    assert (network.classes, network.crop, network.stored) == (3, 22, 32)
    assert network.layers["fc2"] == Dense(3, std=0.1)
    assert network.layers["pool1"] == MaxPool()


WRONG = {
    "my.py:none": "my.py has no function 'none'; there are mine, other, demanding",
    "none.py:mine": "there is no file",
    "beside.py:FILTERS": "beside.py has no function 'FILTERS'; there are none",
    "my.py:other": "other returned str, expected cualex.networks.Network",
    "my.py:demanding": "TypeError: .*missing 1 required positional argument: 'depth'",
    "broken.py:mine": r"SyntaxError: .*",
    "raises.py:mine": r"ValueError: so \(line 2 of raises\.py\)",
    "text.txt:mine": "is no Python file",
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_with_the_file_is_said_in_one_line(place, name):
    (place / "broken.py").write_text("def mine(:\n")
    (place / "raises.py").write_text("\nraise ValueError('so')\n")
    (place / "text.txt").write_text("")
    with pytest.raises(UsageError, match=WRONG[name]) as caught:
        networks.named(f"{place}/{name}", classes=3)
    assert str(caught.value).startswith(f"--network {place}/{name}: ")
    assert "\n" not in str(caught.value)


def test_the_line_of_a_function_that_fails_is_said(place):
    with pytest.raises(UsageError, match=r"KeyError: 'none' \(line 10 of my\.py\)"):
        networks.named(f"{place}/my.py:mine", ["wrong=yes"])
