"""The gradient check: it is content with what is right, and finds faults planted in every backward function."""

import math

import numpy as np
import pytest

from cualex import networks
from cualex.data.batches import Stream
from cualex.engine import host
from cualex.layers import MeanDropout
from cualex.training.debugging import gradient_check
from cualex.training.debugging.gradient_check import Row
from cualex.training.debugging.overfit import unmasked
from cualex.weights import Weights, initial
from tests.support import tiny_runs
from tests.support.every_layer import LAYERS, NETWORK

COMPUTING = [name for name in LAYERS if not name.startswith(("exchange", "join"))]


def check(network=NETWORK, seed=0):
    """Check the gradients with initial weights on pictures of random colours."""
    stream = Stream(tiny_runs.Squares(), seed, network.crop)
    begun = Weights(network, initial.draw(network, seed), list("abc"), stream.pack.mean)
    return list(gradient_check.check(begun, stream, seed))


def test_gradients_that_are_right():
    rows = check()
    assert [row.layer for row in rows] == COMPUTING[::-1]
    assert [row.layer for row in rows if not row.right] == []
    by_layer = {row.layer: row for row in rows}
    assert by_layer["conv1"].dx is None  # nobody asks for the gradient of a picture
    assert set(by_layer["conv1"].parameters) == {"weight", "bias"}
    assert max(row.largest for row in rows) < 1e-6
    measured = [value for row in rows for value in row.values if not math.isnan(value)]
    assert len(measured) == len([value for row in rows for value in row.values])


@pytest.mark.slow
def test_dropout_without_masks(monkeypatch):
    """Planted: the gradient goes on as it came, where the forward pass halves."""
    assert [row.layer for row in check(unmasked(NETWORK)) if not row.right] == []
    monkeypatch.setattr(MeanDropout, "backward", lambda layer, build, x, y, kept, dy, then: dy)
    assert next(row.layer for row in check(unmasked(NETWORK)) if not row.right) == "relu3"


@pytest.mark.slow
def test_a_network_that_has_learned():
    """Its loss is small, and curved where it is: a change must be small beside the loss, not beside 1."""
    pictures, tensors = tiny_runs.Squares(), initial.draw(NETWORK, 0)
    pictures.labels = np.zeros_like(pictures.labels)
    tensors["fc4.bias"] = np.array([30, 18, 18], np.float32)
    begun = Weights(NETWORK, tensors, list("abc"), pictures.mean)
    rows = list(gradient_check.check(begun, Stream(pictures, 0, NETWORK.crop)))
    assert [row.layer for row in rows if not row.right] == []
    assert rows[0].dx < 1e-5  # measured, not too small to tell


@pytest.mark.slow
@pytest.mark.parametrize("scale", [30, 100, 1000])
@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in (1, 2))])
def test_weights_that_have_grown_out_of_proportion_are_no_fault(scale, seed):
    """The loss is then made of straight pieces, millions high, and bends where the likeliest class changes."""
    tensors = {name: np.float32(scale) * tensor for name, tensor in initial.draw(NETWORK, seed).items()}
    stream = Stream(tiny_runs.Squares(), seed, NETWORK.crop)
    rows = list(gradient_check.check(Weights(NETWORK, tensors, list("abc"), stream.pack.mean), stream, seed))
    assert [row.layer for row in rows if not row.right] == []


@pytest.mark.slow
@pytest.mark.parametrize("name", ["cifar-relu", "alexnet"])
def test_networks_of_ours(name):
    arguments = {"classes": 3, "crop": 27} if name == "cifar-relu" else {"classes": 3, "crop": 67, "width": 1 / 8}
    network = networks.build(name, **arguments)
    pictures = tiny_runs.Squares()
    pictures.size = network.stored
    rng = np.random.default_rng(0)
    pictures.pictures = rng.integers(0, 256, (37, network.stored, network.stored, 3), np.uint8)
    pictures.mean = pictures.pictures.mean(axis=0).astype(np.float32)
    begun = Weights(network, initial.draw(network, 0), list("abc"), pictures.mean)
    rows = list(gradient_check.check(begun, Stream(pictures, 0, network.crop)))
    assert [row.layer for row in rows if not row.right] == []


def scaled(module, function, argument, factor):
    """Plant a fault: what a backward function writes to one of its arrays is off by a factor."""
    original = getattr(module, function)

    def wrong(device, *args, **named):
        original(device, *args, **named)
        for array in named[argument] if isinstance(named[argument], list) else [named[argument]]:
            if array is not None:
                array *= factor

    return module, function, wrong


def sinking(module, function, argument, factor):
    """Plant a fault: a sink gets a gradient that is off by a factor."""
    original = getattr(module, function)

    def wrong(device, *args, **named):
        sink = named[argument]
        named[argument] = lambda index, block: sink(index, block * factor)
        original(device, *args, **named)

    return module, function, wrong


def passing(module, function):
    """Plant a fault: the gradient goes on as it came."""

    def wrong(device, *args, **named):
        if named["dx"] is not named["dy"]:
            np.copyto(named["dx"], named["dy"])

    return module, function, wrong


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fault", "layer", "what"),
    [
        (scaled(host.softmax, "forward", "dx", 3 / 2), "softmax", "dx"),
        (scaled(host.dense, "backward", "dx", 0.99), "fc4", "dx"),
        (sinking(host.dense, "backward", "sink", 1.01), "fc4", "weight"),
        (sinking(host.dense, "backward", "bias_sink", 1.01), "fc4", "bias"),
        (passing(host.dropout, "backward"), "drop3", "dx"),
        (passing(host.relu, "backward"), "relu3", "dx"),
        (scaled(host.maxpool, "backward", "dx", 0.5), "pool2", "dx"),
        (scaled(host.conv, "input_gradient", "dx", 1.001), "conv2", "dx"),
        (sinking(host.conv, "weight_gradient", "sink", 1.001), "conv2", "weight"),
        (sinking(host.conv, "weight_gradient", "bias_sink", 0.0), "conv2", "bias"),
        (scaled(host.lrn, "backward", "dx", 1.001), "norm1", "dx"),
        (scaled(host.lrn, "backward", "dx", np.nan), "norm1", "dx"),
    ],
    ids=lambda given: given if isinstance(given, str) else f"{given[0].__name__.rpartition('.')[2]}.{given[1]}",
)
def test_a_planted_fault_is_found_and_its_layer_named(monkeypatch, fault, layer, what):
    monkeypatch.setattr(*fault)
    monkeypatch.setattr(gradient_check, "IMAGES", 2)
    monkeypatch.setattr(gradient_check, "HANDFUL", 0)  # moved together they show it
    rows = check()
    wrong = next(row for row in rows if not row.right)
    assert wrong.layer == layer
    found = {"dx": wrong.dx, **wrong.parameters}
    assert [name for name, value in found.items() if value is not None and value > gradient_check.TOLERANCE] == [what]


@pytest.mark.slow
def test_the_second_term_of_the_normalisation_is_missed(monkeypatch):
    """Planted: the gradient through the neighbours is left out."""

    def wrong(device, x, saved, dy, dx, *, n, k, alpha, beta, relu=False):
        np.divide(dy, host.lrn.to_beta(saved, beta, np.empty_like(dy)), out=dx)

    monkeypatch.setattr(host.lrn, "backward", wrong)
    assert next(row.layer for row in check() if not row.right) == "norm1"


def test_a_gradient_that_rounding_hides_is_neither_right_nor_wrong():
    row = Row("fc1", math.nan, {"weight": 1e-9})
    assert row.right
    assert row.largest == 1e-9
    assert not Row("fc1", math.inf, {}).right
    assert math.isnan(Row("fc1", math.nan, {}).largest)
    assert Row("fc1", math.nan, {}).right
