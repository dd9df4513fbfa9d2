"""Networks with parts off, each compared with the same made in another way."""

from dataclasses import replace

import numpy as np
import pytest

from cualex import networks
from cualex.errors import UsageError
from cualex.explain.passes import class_seed
from cualex.layers import ReLU
from cualex.model import Model
from cualex.page import changes
from cualex.page.seeing import KEPT, Seer
from tests.support import page_networks


def probabilities(weights, image):
    return Model(weights).probabilities(image[None])[0]


@pytest.mark.parametrize("name", ["alexnet", "alexnet-2012"])  # of the second, fc7's weights are its own tower's first
@pytest.mark.parametrize("tower", [0, 1])
def test_a_tower_that_is_off_is_one_whose_weights_are_zero(name, tower):
    seer = page_networks.seer(name)
    weights, image = seer.weights, page_networks.image(seer.weights.network)
    silent = {key: tensor.copy() for key, tensor in weights.tensors.items()}
    for key, tensor in silent.items():
        if not key.startswith("fc8"):
            half = len(tensor) // 2
            tensor[tower * half : (tower + 1) * half] = 0
    expected = probabilities(replace(weights, tensors=silent), image)
    found = seer.name(image, [f"tower{tower + 1}"])
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)
    assert np.abs(found - seer.name(image)).max() > 1e-3


def test_without_the_exchange_it_is_the_network_that_has_none():
    weights = page_networks.weights()
    network = networks.build("alexnet", **weights.network.arguments | {"exchange": False})
    tensors = dict(weights.tensors)
    for key, shape in network.tensors().items():
        if tensors[key].shape != shape:  # of each tower, the weights for its own maps
            first, second = np.split(tensors[key], 2)
            half = shape[1]
            tensors[key] = np.concatenate([first[:, :half], second[:, half:]])
    image = page_networks.image(network)
    expected = probabilities(replace(weights, network=network, tensors=tensors), image)
    found = Seer(weights).name(image, ["exchange"])
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)


def test_normalisation_that_is_off_divides_by_its_constant():
    seer = page_networks.seer()
    seen = seer.see(page_networks.image(seer.weights.network), ["relu1", "norm1"], ["norm"]).layers
    np.testing.assert_allclose(seen["norm1"], seen["relu1"] / 2**0.75, rtol=1e-5)


def test_an_activation_that_is_off_passes_on_what_it_reads():
    seer = page_networks.seer("lenet5")
    seen = seer.see(page_networks.image(seer.weights.network), ["conv1", "tanh1", "pool1"], ["activation"]).layers
    assert np.array_equal(seen["conv1"], seen["tanh1"])
    pooled = seen["conv1"].reshape(6, 14, 2, 14, 2).mean(axis=(2, 4))
    np.testing.assert_allclose(seen["pool1"], pooled, rtol=1e-5, atol=1e-5)


def test_the_whole_network_is_left_as_it_was():
    weights = page_networks.weights()
    before = {key: tensor.copy() for key, tensor in weights.tensors.items()}
    seer, image = Seer(weights), page_networks.image(weights.network)
    whole = seer.name(image)
    for off in (["tower1", "exchange"], ["norm"], ["activation"], ["tower2"], ["tower1"], ["exchange"]):
        seer.name(image, off)
    assert np.array_equal(seer.name(image), whole)
    assert all(np.array_equal(weights.tensors[key], tensor) for key, tensor in before.items())
    assert len(seer._variants) == KEPT


def test_a_tower_is_off_on_devices_of_their_own_as_on_one():
    weights = page_networks.weights()
    image = page_networks.image(weights.network)
    for off in (["tower1"], ["tower2", "exchange"]):
        apart = Seer(weights, "cpu,cpu").name(image, off)
        assert np.array_equal(apart, page_networks.seer().name(image, off))


def test_zeros_stay_zeros_from_one_image_to_the_next():
    """No step writes to them, and they share their memory with nothing."""
    seer, found = Seer(page_networks.weights()), []
    for seed in (1, 2, 1):
        found.append(seer.name(page_networks.image(seer.weights.network, seed), ["tower2"]))
    assert np.array_equal(found[0], found[2])
    assert not np.array_equal(found[0], found[1])


def test_only_tensors_of_the_exchange_are_made_anew():
    weights = page_networks.weights()
    _, changed = changes.without(weights.network, weights.tensors, ["tower1"])
    assert changed == {}
    _, changed = changes.without(weights.network, weights.tensors, ["exchange"])
    assert set(changed) == {"conv3.weight", "fc6.weight", "fc7.weight"}
    network, changed = changes.without(weights.network, weights.tensors, ["activation"])
    assert changed == {}
    assert not any(isinstance(layer, ReLU) for layer in network.layers.values())
    parameters = Seer(weights).model.parameters
    shared = parameters.variant(weights.network, {"conv3.weight": weights.tensors["conv3.weight"]})
    for key, array in parameters.arrays.items():
        assert (shared.arrays[key] is array) == (key[0] != "conv3.weight")


def test_an_unknown_part_is_refused():
    seer = page_networks.seer("lenet5")
    image = page_networks.image(seer.weights.network)
    with pytest.raises(UsageError, match=r"^lenet5 has no part 'tower1' that can be switched off$"):
        seer.name(image, ["tower1"])


OFF = [["tower1"], ["tower2", "norm"], ["exchange"], ["norm"], ["activation"], ["tower1", "exchange", "activation"]]


@pytest.mark.parametrize("off", OFF, ids="+".join)
def test_gradients_with_parts_off_are_the_slopes_of_the_score(off):
    """In float64, by central differences of the network without the parts, in every direction of 8."""
    _, analytic, numeric = slopes(off)
    np.testing.assert_allclose(analytic, numeric, rtol=1e-5, atol=1e-7 * np.abs(numeric).max())


def test_a_silent_tower_that_gets_a_gradient_is_noticed(monkeypatch):
    """Planted: what a tower that is off gave is answered as if it had been read."""
    _, right, _ = slopes(["tower1"])
    monkeypatch.setattr(changes.Silence, "backward", changes.Exchange.backward)
    _, analytic, numeric = slopes(["tower1"])
    assert np.abs(analytic - numeric).max() > 1e-3 * np.abs(numeric).max()
    assert not np.array_equal(right, analytic)


@pytest.mark.parametrize("off", [["tower1"], ["tower2", "exchange"]], ids="+".join)
def test_gradients_with_a_tower_off_are_the_same_bits_on_devices_of_their_own(off):
    assert np.array_equal(slopes(off, "cpu,cpu")[0], slopes(off)[0])


def slopes(off, device="cpu", index=2):
    """Return the score's gradient at the image, and along 8 directions its slopes, from it and by differences."""
    seer = Seer(page_networks.weights(), device, "fp64")
    model, _ = seer._without(off)
    passes = model._passes
    pixels = passes.crop(page_networks.image(seer.weights.network)[None]).astype(float)
    directions = np.random.default_rng(0).standard_normal((8, *pixels.shape[1:]))
    gradient = passes.gradient(pixels, passes.scores, class_seed(index)).pixels[0]
    step = 1e-4
    ends = passes.output(np.concatenate([pixels + step * directions, pixels - step * directions]), passes.scores)
    above, below = np.split(ends[:, index, 0, 0], 2)
    return gradient, np.einsum("dchw,chw->d", directions, gradient), (above - below) / (2 * step)
