"""Layers as auto-encoders: their gradients, what they give back, and that a training starts from them."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from cualex import networks
from cualex.devices.control import Control
from cualex.errors import Diverged, UsageError
from cualex.layers import Conv, Dense, Dropout, MaxPool, MeanDropout, ReLU, Softmax, activation
from cualex.networks import Network
from cualex.plan import ReconstructionPlan
from cualex.training import autoencoder
from cualex.training.recipes import CIFAR
from cualex.weights import initial
from cualex.weights.parameters import Parameters

SIDE = 8


class Images:
    """Random images that vary slowly, so that there is something to learn."""

    size, skipped, covariance, components = SIDE, (), None, None
    classes = ("a", "b")

    def __init__(self, count, seed=0):
        coarse = np.random.default_rng(seed).integers(0, 256, (count, 2, 2, 3))
        self.pixels = np.kron(coarse, np.ones((1, SIDE // 2, SIDE // 2, 1))).astype(np.uint8)
        self.labels = np.zeros(count, np.int32)
        self.names = tuple(map(str, range(count)))
        self.mean = self.pixels.mean(axis=0).astype(np.float32)

    def __len__(self):
        return len(self.pixels)

    def read(self, indices, out):
        out[:] = self.pixels[indices]


def net(function="relu", **others):
    """Return a network of two convolutions and two dense layers."""
    layers = {
        "conv1": Conv(5, size=3, pad=1, std=0.2),
        f"{function}1": activation(function),
        "pool1": MaxPool(size=2, stride=2),
        "drop1": Dropout(0.25),
        "conv2": Conv(6, size=3, pad=1, std=0.1),
        f"{function}2": activation(function),
        "fc3": Dense(7, std=0.1),
        f"{function}3": activation(function),
        "fc4": Dense(2, std=0.1),
        "softmax": Softmax(),
    } | others
    return Network("toy", layers, 1, 2, SIDE - 2, SIDE, 1 / 64)


def without_dropout(coder):
    """Return an auto-encoder that drops nothing, so that its loss has a gradient that differences can show."""
    return Network("plain", {k: v for k, v in coder.layers.items() if k != "drop"}, 1, 1, coder.crop, SIDE, coder.scale)


@pytest.mark.parametrize("name", ["conv1", "conv2", "fc3"])
def test_an_update_goes_down_the_gradient_of_the_squared_error(name):
    """Adam's first update is the rate times the gradient's sign: held against central differences, where large."""
    coder = without_dropout(autoencoder.autoencoder(net(), name))
    tensors, images = initial.draw(coder, 3), Images(4)
    target = np.random.default_rng(1).normal(size=(4, *list(coder.stages())[-1].output)).astype(np.float32)

    def loss(changed, steps=0):
        parameters = Parameters(coder, tensors=changed)
        plan = ReconstructionPlan(parameters, 4, control=Control(1e-3, decay=0.0))
        plan.put_mean(images.mean)
        plan.put(images.pixels)
        y = plan.forward()
        assert y.shape == target.shape
        found = plan.step(target)
        expected = np.square(y - target, dtype=np.float64).sum() / (2 * len(y) * y[0, 0].size)
        assert found == pytest.approx(expected, rel=1e-6)
        return found, parameters.unload()

    _, after = loss(tensors)
    seen = 0
    for key in (f"{name}.weight", "decoder.weight", "decoder.bias"):
        moved = after[key] - tensors[key]
        for index in list(np.ndindex(moved.shape))[:: max(1, moved.size // 7)]:
            ends = []
            for step in (0.01, -0.01):
                changed = {each: value.copy() for each, value in tensors.items()}
                changed[key][index] += step
                ends.append(loss(changed)[0])
            slope = (ends[0] - ends[1]) / 0.02
            if abs(slope) > 1e-3:
                assert moved[index] == pytest.approx(-1e-3 * np.sign(slope), rel=0.02), (key, index)
                seen += 1
    assert seen > 8


def test_layers_below_are_frozen_and_as_at_test_and_begin_as_they_are_drawn(monkeypatch):
    network = net()
    coder = autoencoder.autoencoder(network, "conv2")
    names = ["conv1", "relu1", "pool1", "drop1", "conv2", "relu2", "drop", "decoder"]
    assert list(coder.layers) == names
    assert coder.layers["drop1"] == MeanDropout(0.25)
    assert coder.layers["decoder"] == Conv(5, size=3, pad=1, std=None)
    assert autoencoder.autoencoder(network, "fc3").layers["decoder"] == Dense(6 * 3 * 3, std=None)
    drawn, frozen = initial.draw(network, 5), []

    def plan(parameters, batch, **settings):
        frozen.append(sorted({key.partition(".")[0] for key, factor in settings["factors"].items() if not factor}))
        return ReconstructionPlan(parameters, batch, **settings)

    monkeypatch.setattr(autoencoder, "ReconstructionPlan", plan)
    for learned in autoencoder.pretrain(network, Images(40), Images(40).mean, 3, seed=5):
        assert set(learned.tensors) == {f"{learned.layer}.weight", f"{learned.layer}.bias"}
        for key, value in learned.tensors.items():
            assert value.shape == drawn[key].shape
            assert (value != drawn[key]).any()
    assert frozen == [[], ["conv1"], ["conv1", "conv2"]]


def test_what_is_learned_is_given_back_better_the_longer_and_keeps_the_size_of_the_code():
    network, images = net(), Images(64)
    left = []
    for updates in (10, 300):
        (learned,) = autoencoder.pretrain(network, images, images.mean, updates, layers=("conv1",))
        left.append(learned.left)
    assert left[1] < 0.5 * left[0]

    def size(tensors):
        coder = without_dropout(autoencoder.autoencoder(network, "conv1"))
        own = {**initial.draw(coder, 0), **tensors}
        plan = ReconstructionPlan(Parameters(coder, tensors=own), 64, outputs=("relu1",))
        plan.put_mean(images.mean)
        plan.put(images.pixels)
        plan.forward()
        return np.sqrt(np.square(plan.output("relu1")).mean())

    assert size(learned.tensors) == pytest.approx(size({}), rel=0.15)


def test_the_same_seed_gives_the_same_bits_and_labels_are_not_read():
    def weights(seed, images):
        found = {}
        for learned in autoencoder.pretrain(net(), images, images.mean, 4, seed=seed):
            found |= learned.tensors
        return found

    images, other = Images(40), Images(40)
    other.labels = np.ones(40, np.int32)
    one, same, another = weights(1, images), weights(1, other), weights(2, images)
    for key, value in one.items():
        assert_array_equal(value, same[key])
        assert (value != another[key]).any()


def test_a_training_starts_from_what_is_learned_and_the_drawn_head():
    images = Images(40)
    images.size = 32
    images.pixels = np.repeat(np.repeat(images.pixels, 4, axis=1), 4, axis=2)
    images.mean = images.pixels.mean(axis=0).astype(np.float32)
    recipe = CIFAR.but(variant={"width": 1 / 16, "norm": "none"}, seed=4)
    work, learned = autoencoder.start(recipe, images, images, 2), {}
    while True:
        try:
            learned |= next(work).tensors
        except StopIteration as end:
            start = end.value
            break
    drawn = initial.draw(start.weights.network, 4)
    assert set(learned) == {key for key in drawn if not key.startswith("fc4")}
    for key, value in start.weights.tensors.items():
        assert_array_equal(value, learned.get(key, drawn[key]))
    assert_allclose(start.weights.mean, images.mean)
    assert start.said == "conv1, conv2, conv3 are pre-trained on 40 images without their labels"


def test_tanh_keeps_its_weights_as_they_were_learned():
    """Twice the weights are not twice a tanh."""
    assert autoencoder._code(autoencoder.autoencoder(net("tanh"), "conv1"), "conv1")[1] == activation("tanh")
    (learned,) = autoencoder.pretrain(net("tanh"), Images(40), Images(40).mean, 1, layers=("conv1",), rate=1e-9)
    assert_allclose(learned.tensors["conv1.weight"], initial.draw(net("tanh"), 0)["conv1.weight"], atol=1e-7)


@pytest.mark.parametrize(
    ("network", "layer", "said"),
    [
        (networks.build("alexnet", crop=67), "conv1", "alexnet has 2 towers: an auto-encoder is for networks of one"),
        (net(), "conv9", "toy has no layer 'conv9'; its layers are conv1, relu1, "),
        (net(), "pool1", "toy: pool1 has no auto-encoder; expected a dense layer, or a convolution whose maps are as "),
        (net(conv1=Conv(5, size=3, pad=1, stride=2)), "conv1", "toy: conv1 has no auto-encoder; "),
        (net(conv1=Conv(6, size=3, pad=1, groups=3)), "conv1", "toy: conv1 has no auto-encoder; "),
    ],
)
def test_layers_without_an_auto_encoder_are_refused(network, layer, said):
    with pytest.raises(UsageError) as error:
        autoencoder.autoencoder(network, layer)
    assert str(error.value).startswith(said)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_an_error_that_is_no_number_is_said():
    with pytest.raises(Diverged, match=r"the error of the auto-encoder of conv1 is (nan|inf) at update \d+: lower its"):
        list(autoencoder.pretrain(net(), Images(40), Images(40).mean, 50, rate=1e30))


def test_the_first_layer_reads_the_image_as_a_plan_does():
    """What the host computes as the target is what the device's crop gives: a filter of one 1 shows it."""
    network, images = net(), Images(4)
    one = np.zeros((3, 3, 1, 1), np.float32)
    one[[0, 1, 2], [0, 1, 2]] = 1
    seeing = Network("see", {"conv": Conv(3, size=1)}, 1, 1, network.crop, SIDE, network.scale)
    plan = ReconstructionPlan(Parameters(seeing, tensors={"conv.weight": one, "conv.bias": np.zeros(3, np.float32)}), 4)
    plan.put_mean(images.mean)
    plan.put(images.pixels)
    assert_allclose(plan.forward(), autoencoder._pictures(network, images.pixels, images.mean), rtol=1e-6, atol=1e-6)
    assert isinstance(network.layers["relu1"], ReLU)
