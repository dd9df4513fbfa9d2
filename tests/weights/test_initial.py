"""Initial weights: normal, or even within Glorot's limit; each by its name and the seed alone."""

import math

import numpy as np
import pytest

import cualex
from cualex import networks
from cualex.layers import BatchNorm, Conv, Dense, Softmax
from cualex.layers.layer import glorot
from cualex.networks import Network
from cualex.weights import initial, quantisation
from tests.support import page_networks


def network(**layers):
    return Network("made", {**layers, "softmax": Softmax()}, 1, 7, 20, stored=24)


def test_the_limit_is_that_of_the_fans():
    """Keras's numbers: a filter's pixels count in both fans, and a group reads its own channels."""
    assert glorot((4096, 256)) == math.sqrt(6 / (256 + 4096))
    assert glorot((96, 3, 11, 11)) == math.sqrt(6 / (3 * 121 + 96 * 121))
    grouped = Conv(8, size=3, groups=2, std=None).parameters((6, 9, 9))["weight"]
    assert grouped.limit == math.sqrt(6 / (3 * 9 + 8 * 9))
    assert Dense(5, std=None).parameters((2, 3, 3))["weight"].limit == math.sqrt(6 / (18 + 5))


@pytest.mark.parametrize("seed", [0, 1])
def test_they_are_even_between_the_limits(seed):
    made = network(conv1=Conv(40, size=5, std=None), fc2=Dense(7, std=None, bias=0.25))
    drawn = initial.draw(made, seed)
    for name in ("conv1.weight", "fc2.weight"):
        values, limit = drawn[name].ravel(), glorot(drawn[name].shape)
        assert np.abs(values).max() <= limit * (1 + 1e-6)
        counts, _ = np.histogram(values, bins=10, range=(-limit, limit))
        expected = len(values) / 10
        assert (np.abs(counts - expected) < 5 * math.sqrt(expected)).all()
        assert np.abs(values).max() > 0.99 * limit
    assert (drawn["conv1.bias"] == 0).all()
    assert (drawn["fc2.bias"] == 0.25).all()


def test_a_layer_is_drawn_by_its_name_alone():
    plain, more = network(fc9=Dense(7, std=None)), network(norm1=BatchNorm(), fc9=Dense(7, std=None))
    first, second = initial.draw(plain, 3)["fc9.weight"], initial.draw(more, 3)["fc9.weight"]
    assert (first == second).all()
    assert (first != initial.draw(plain, 4)["fc9.weight"]).mean() > 0.99


def test_norms_begin_with_one_and_zero():
    drawn = initial.draw(networks.build("alexnet-batchnorm", crop=215, width=1 / 32), 0)
    for last, value in {"weight": 1, "bias": 0, "mean": 0, "variance": 1}.items():
        assert (drawn[f"norm7.{last}"] == value).all()
    assert drawn["conv3.weight"].std() == pytest.approx(glorot(drawn["conv3.weight"].shape) / math.sqrt(3), rel=0.1)


def test_only_glorot_and_normal_weights_are_drawn():
    """A deviation of 0 is no request for Glorot's."""
    assert (initial.draw(network(fc1=Dense(7, std=0.0)), 0)["fc1.weight"] == 0).all()


def small(name):
    """Return a network of little width, and initial weights of it."""
    net = networks.build(name, **page_networks.SMALL[name])
    return net, initial.draw(net, 3)


@pytest.mark.parametrize("name", page_networks.SMALL)
def test_what_was_drawn_is_told_from_what_was_trained(name):
    net, tensors = small(name)
    layers = [stage.name for stage in net.stages() if stage.parameters]
    assert initial.untrained(net, tensors.__getitem__) == layers
    assert initial.said(layers, net) == "Untrained: all weights are random."
    restored = quantisation.restored(quantisation.quantised(tensors))
    assert initial.untrained(net, restored.__getitem__) == layers
    last = layers[-1]
    tensors[f"{last}.bias"][-1] = np.nextafter(tensors[f"{last}.bias"][-1], np.float32(9))
    found = initial.untrained(net, tensors.__getitem__)
    assert last not in found
    assert set(found) < set(layers)
    assert initial.said([], net) == ""
    assert initial.said(found[:1], net) == (f"Partly untrained: the weights of {found[0]} are random." if found else "")


def test_layers_without_learned_biases_are_told_by_their_weights():
    """Imported layers may lack biases, and have 0."""
    net, tensors = small("cifar-relu")
    tensors["conv2.weight"] *= np.float32(1.5)
    assert "conv2" not in initial.untrained(net, tensors.__getitem__)
    tensors["conv3.weight"][0, 0, 0, 0] = np.nan
    assert "conv3" not in initial.untrained(net, tensors.__getitem__)
    assert "conv1" in initial.untrained(net, tensors.__getitem__)


def test_weights_are_asked_for_where_biases_are_initial_alone():
    net, tensors = small("alexnet")
    for name in tensors:
        if name.endswith(".bias"):
            tensors[name] += np.float32(0.01)
    asked = []
    assert initial.untrained(net, lambda name: asked.append(name) or tensors[name]) == []
    assert asked == [name for name in tensors if name.endswith(".bias")]
    assert cualex.load("cifar10").untrained == []
