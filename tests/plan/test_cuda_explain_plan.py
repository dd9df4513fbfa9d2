"""Explanations through the kernels: every precision and placement, and exact gradients of blocks of pixels."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from cualex.layers import Conv, Dense, Grey, Join, ReLU, Softmax
from cualex.networks import Network
from cualex.plan import ExplainPlan
from cualex.weights.parameters import Parameters
from tests.support import every_layer, reference, small_alexnet
from tests.support.small_alexnet import NEAR

PRECISIONS = ("fp32", "tf32", "bf16")


def explain(made, start="fc8", batch=3, **settings):
    """Run an explanation of drawn images, and return its plan."""
    rng, net = np.random.default_rng(6), made.network
    stage = next(each for each in net.stages() if each.name == start)
    plan = ExplainPlan(made, batch, start, **settings)
    plan.put(rng.normal(0, 50, (batch, 3, net.crop, net.crop)).astype(np.float32))
    channels, *sides = stage.output
    plan.put_gradient(rng.normal(0, 1, (batch, channels * stage.towers, *sides)).astype(np.float32))
    plan.run()
    return plan


def parameters(runtime, device="cuda:0", precision="fp32", net=None):
    return small_alexnet.parameters(device, net, precision=precision, runtime=runtime)


EVERY_LAYER = pytest.param(every_layer.NETWORK, "fc4", id="every layer")
ALEXNET = pytest.param(small_alexnet.network(), "fc8", id="alexnet", marks=pytest.mark.slow)


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize(("net", "start"), [EVERY_LAYER, ALEXNET])
def test_every_placement_gives_the_same_bits(emulated, precision, net, start):
    """One device adds up the towers' gradients of the image in a kernel, two do so on the host."""
    alone = explain(parameters(emulated(), precision=precision, net=net), start, graph=False).image_gradient()
    for device, streams in (("cuda:0,cuda:1", "random"), ("cuda:0,cuda:0", "late")):
        apart = explain(parameters(emulated(streams=streams, seed=3), device, precision, net), start)
        assert_array_equal(apart.image_gradient(), alone)
    assert np.abs(alone).max() > 0


@pytest.mark.slow
@pytest.mark.parametrize("guided", [False, True])
def test_image_gradients_are_the_hosts(emulated, guided):
    found = explain(parameters(emulated()), guided=guided).image_gradient()
    expected = explain(small_alexnet.parameters(), guided=guided).image_gradient()
    assert found.shape == expected.shape == (3, 3, 67, 67)
    assert np.linalg.norm(found - expected) < NEAR["fp32"] * np.linalg.norm(expected)


@pytest.mark.slow
def test_gradients_that_are_kept_are_the_hosts(emulated):
    names = ("relu5", "exchange3", "norm1")
    plans = [explain(made, gradients=names) for made in (parameters(emulated()), small_alexnet.parameters())]
    for name in names:
        found, expected = (plan.gradient(name) for plan in plans)
        assert np.linalg.norm(found - expected) < NEAR["fp32"] * np.linalg.norm(expected), name


def test_a_graph_gives_the_same_bits(emulated):
    plan = explain(parameters(emulated(), "cuda:0,cuda:1", net=every_layer.NETWORK), "fc4")
    first = plan.image_gradient()
    plan.run()
    plan.run()
    assert plan.captured
    assert_array_equal(plan.image_gradient(), first)


def line(size, stride, pad, crop, towers, grey=False):
    """Make a network of one convolution and one dense layer."""
    layers = {"grey": Grey()} if grey else {}
    layers |= {
        "conv1": Conv(4, size=size, stride=stride, pad=pad),
        "relu1": ReLU(),
        "join2": Join(towers=towers),
        "fc2": Dense(2),
        "softmax": Softmax(),
    }
    return Network("line", layers, towers, 2, crop, stored=crop)


CASES = {
    "paper's": (11, 4, 0, 19),
    "padded, of 2012": (11, 4, 2, 20),
    "blocks of 2": (3, 2, 1, 9),
    "no blocks": (3, 1, 1, 7),
    "left-over pixels": (5, 3, 0, 13),
}


@pytest.mark.parametrize("towers", [1, 2])
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("engine", ["host", *PRECISIONS])
def test_gradients_of_a_convolution_of_the_image_are_exact(emulated, engine, case, towers):
    """On small integers: of blocks of pixels, padding, pixels that no filter sees, one device and two."""
    net, rng = line(*CASES[case], towers), np.random.default_rng(1)
    tensors = {name: rng.integers(-1, 2, shape).astype(np.float32) for name, shape in net.parameters().items()}
    conv = net.layers["conv1"]
    rows = conv.output_shape((3, net.crop, net.crop))[1]
    dy = rng.integers(-1, 2, (2, 4 * towers, rows, rows)).astype(np.float32)

    def forward(x):
        return reference.conv(x, tensors["conv1.weight"], None, conv.stride, conv.pad)

    expected = reference.gradient(forward, np.zeros((2, 3, net.crop, net.crop)), dy, step=1, apart=True)
    kind = "cpu" if engine == "host" else "cuda:0"
    for device in (kind, f"{kind},{kind}")[:towers]:
        settings = {} if engine == "host" else {"precision": engine, "runtime": emulated()}
        made = Parameters(net, device, **settings)
        made.load(tensors)
        plan = ExplainPlan(made, 2, "conv1")
        plan.put(np.zeros((2, 3, net.crop, net.crop), np.float32))
        plan.put_gradient(dy)
        plan.run()
        assert_array_equal(plan.image_gradient(), expected, err_msg=device)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_grey_images_have_gradients_of_the_same_bits(emulated, precision):
    """The host's in float32; in bfloat16 two towers on one device or on two."""
    net, found = line(3, 1, 1, 7, 2, grey=True), {}
    for device in ("cuda:0", "cuda:0,cuda:1", "cpu"):
        settings = {} if device == "cpu" else {"precision": precision, "runtime": emulated()}
        made, rng = Parameters(net, device, **settings), np.random.default_rng(1)
        made.load({name: rng.integers(-2, 3, shape).astype(np.float32) for name, shape in net.parameters().items()})
        found[device] = whole(made)
    assert_array_equal(found["cuda:0"], found["cuda:0,cuda:1"])
    if precision != "bf16":
        assert_array_equal(found["cuda:0"], found["cpu"])


def whole(made):
    """Explain by a gradient of integers, which no precision rounds before the colours are weighed."""
    rng = np.random.default_rng(6)
    plan = ExplainPlan(made, 2, "conv1")
    plan.put_gradient(rng.integers(-2, 3, (2, 8, 7, 7)).astype(np.float32))
    plan.run()
    return plan.image_gradient()
