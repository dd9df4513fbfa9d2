"""The networks of the paper's experiments: each differs from the paper's in what it says, and can be trained."""

import re

import numpy as np
import pytest

from cualex import networks
from cualex.errors import UsageError
from cualex.layers import LRN, AveragePool, BatchNorm, MaxPool, SpatialLRN
from cualex.networks import summary
from cualex.plan import Plan
from cualex.weights import initial
from cualex.weights.parameters import Parameters
from tests.support import small_alexnet
from tests.support.small_alexnet import different

SMALL = {"alexnet": {"classes": 3, "crop": 67, "width": 1 / 16}, "cifar-relu": {"classes": 3}}


def changed(network, **arguments):
    return different(networks.build(network), networks.build(network, **arguments))


@pytest.mark.parametrize("network", SMALL)
def test_norm_changes_the_norms_alone(network):
    for norm, layer in {"batch": BatchNorm(), "within": SpatialLRN(5, 2.0, 1e-4, 0.75), "none": None}.items():
        assert changed(network, norm=norm) == {name: (LRN(), layer) for name in ("norm1", "norm2")}


@pytest.mark.parametrize(("network", "alpha"), [("alexnet", 1e-4), ("cifar-relu", 0.4096)])
def test_pictures_that_are_scaled_are_normalised_as_if_they_were_not(network, alpha):
    """x / 64 with 64^2 alpha is normalised to 1/64 of what x is with alpha."""
    for norm, layer in {"across": LRN, "within": SpatialLRN}.items():
        made = networks.build(network, norm=f"{norm}-unscaled").layers["norm1"]
        assert made == layer(n=5, k=2.0, alpha=pytest.approx(alpha), beta=0.75)


def test_pools_of_two_give_maps_of_the_same_size():
    for network, pools in {"alexnet": ("pool1", "pool2", "pool5"), "cifar-relu": ("pool1", "pool2")}.items():
        assert changed(network, pool=2) == {(name, "size"): (3, 2) for name in pools}
        shapes = [[stage.output for stage in networks.build(network, pool=pool).stages()] for pool in (2, 3)]
        assert shapes[0] == shapes[1]


def test_initial_weights_change_deviations_alone():
    upper = ("conv3", "conv4", "conv5")
    assert changed("alexnet", initial="paper") == {(name, "std"): (0.03, 0.01) for name in upper}
    trained = ("conv1", "conv2", *upper, "fc6", "fc7", "fc8")
    expected = {(name, "std"): (0.03 if name in upper else 0.01, None) for name in trained}
    assert changed("alexnet", initial="glorot") == expected


def test_towers_that_never_meet_send_nothing_before_the_last_layer():
    lone = networks.build("alexnet", exchange=False)
    assert set(changed("alexnet", exchange=False)) == {"exchange3", "exchange6", "exchange7"}
    assert summary.totals(summary.rows(lone)).sent == (2048, 2048)
    shapes = lone.parameters()
    assert (shapes["conv3.weight"], shapes["fc6.weight"]) == ((384, 128, 3, 3), (4096, 4608))


def test_half_the_network_has_about_as_many_parameters():
    """The paper's note 1: the last convolution and the dense layers are not halved."""
    half = different(*(networks.build("alexnet-one-tower", half=half) for half in (False, True)))
    counts = {"conv1": (96, 48), "conv2": (256, 128), "conv3": (384, 192), "conv4": (384, 192)}
    assert half == {(name, "filters"): both for name, both in counts.items()}
    ours, paper = (
        summary.totals(summary.rows(made)).parameters
        for made in (networks.build("alexnet-one-tower", half=True), networks.build("alexnet"))
    )
    assert abs(ours / paper - 1) < 0.02


@pytest.mark.parametrize(
    ("network", "variant"),
    [
        ("alexnet", {"norm": "within", "exchange": False}),
        ("alexnet", {"norm": "batch", "pool": 2, "initial": "glorot"}),
        ("alexnet", {"norm": "none", "dropout": 0.0}),
        ("cifar-relu", {"norm": "within", "pool": 2}),
        ("cifar-relu", {"norm": "none"}),
    ],
)
def test_a_variant_trains_and_comes_back_from_its_arguments(network, variant, rng):
    made = networks.build(network, **SMALL[network], **variant)
    assert networks.build(network, **made.arguments) == made
    parameters = Parameters(made)
    parameters.load(initial.draw(made, seed=1))
    plan = Plan(parameters, 4)
    plan.control.rate = 0.01
    side = made.stored
    plan.put(rng.integers(0, 256, (4, side, side, 3), np.uint8), np.zeros((4, 3), np.int32), np.arange(4) % 3)
    plan.run()
    assert plan.result.finite
    velocities = parameters.unload_velocities()
    assert [name for name in made.parameters() if not velocities[name].any()] == []


def test_towers_that_never_meet_have_the_same_bits_on_two_places():
    digests = set()
    for device in ("cpu", "cpu,cpu"):
        made = small_alexnet.parameters(device, small_alexnet.network(exchange=False, norm="none"))
        small_alexnet.train(made, updates=2)
        digests.add(small_alexnet.digest(made))
    assert len(digests) == 1


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ({"norm": "l2"}, "normalisation 'l2': expected across, within, batch, none"),
        ({"norm": "none-unscaled"}, "normalisation 'none-unscaled': only across and within can be unscaled"),
        ({"pool": 4}, "expected pooling windows of 3 (overlapping) or 2 (not overlapping), got 4"),
        ({"initial": "zero"}, "initial weights 'zero': expected 2012, paper, glorot"),
    ],
)
def test_what_cannot_be_is_said(arguments, line):
    (said,) = (f"{key}={value}" for key, value in arguments.items())
    with pytest.raises(UsageError) as error:
        networks.build("alexnet", **arguments)
    assert str(error.value) == f"network alexnet with {said}: {line}"


@pytest.mark.parametrize("name", ["cifar-relu", "cifar-tanh"])
def test_raw_images_begin_as_the_same_function_as_scaled_ones(name):
    """Weights of conv1 and grey levels differ by 64 the other way round: the products are the same bits."""
    scaled, raw = (networks.build(name, inputs=inputs) for inputs in ("scaled", "raw"))
    assert (scaled.scale, raw.scale) == (1 / 64, 1.0)
    assert different(scaled, raw) == {("conv1", "std"): (0.1, 0.1 / 64)}
    one, other = (initial.draw(network, 3) for network in (scaled, raw))
    assert (one["conv1.weight"] == 64 * other["conv1.weight"]).all()
    assert all((one[key] == other[key]).all() for key in one if key != "conv1.weight")


def test_figure_1_has_cuda_convnet_s_weights_and_pools():
    plain = networks.build("cifar-relu")
    assert different(plain, networks.build("cifar-relu", inputs="raw", initial="cuda-convnet")) == {
        ("conv1", "std"): (0.1, 0.0001),
        **{(name, "std"): (0.03, 0.01) for name in ("conv2", "conv3", "fc4")},
    }
    pools = different(plain, networks.build("cifar-relu", pools="average"))
    assert pools == {
        "pool2": (MaxPool(size=3, stride=2), AveragePool(size=3, stride=2)),
        "pool3": (MaxPool(size=2, stride=2), AveragePool(size=2, stride=2)),
    }
    halved = different(plain, networks.build("cifar-relu", width=0.5))
    assert halved == {(name, "filters"): (64, 32) for name in ("conv1", "conv2", "conv3")}
    sigmoid = networks.build("cifar-tanh", function="sigmoid")
    assert [name for name in sigmoid.layers if name.startswith("sigmoid")] == ["sigmoid1", "sigmoid2", "sigmoid3"]


def test_arguments_that_came_later_are_kept_where_they_are_not_the_defaults():
    before = {"classes": 10, "crop": 27, "mean_at": "crop", "norm": "across", "pool": 3}
    assert networks.build("cifar-tanh", inputs="scaled").arguments == before
    changed = networks.build("cifar-tanh", inputs="raw", function="sigmoid")
    assert changed.arguments == before | {"inputs": "raw", "function": "sigmoid"}
    assert networks.build("cifar-tanh", **changed.arguments) == changed


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"inputs": "grey"}, "inputs 'grey': expected scaled, raw"),
        ({"pools": "mean"}, "pools 'mean': expected max, average"),
        ({"initial": "2012"}, "initial weights '2012': expected even, cuda-convnet"),
        ({"width": 0.0}, "expected a width above 0, at most 16384, got 0.0"),
    ],
)
def test_what_the_cifar_networks_have_not_is_refused(given, said):
    with pytest.raises(UsageError, match=re.escape(said)):
        networks.build("cifar-relu", **given)
