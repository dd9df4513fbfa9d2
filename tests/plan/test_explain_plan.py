"""Backward passes of explanations: from any layer's output to the image, in every placement, plain and guided."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from cualex import networks
from cualex.errors import UsageError
from cualex.layers import (
    Activation,
    AveragePool,
    BatchNorm,
    Conv,
    Dense,
    Dropout,
    Exchange,
    Grey,
    Join,
    MeanDropout,
    ReLU,
    Softmax,
    SpatialLRN,
)
from cualex.networks import Network
from cualex.plan import ExplainPlan
from cualex.plan.builder import Builder
from cualex.plan.explain_builder import ExplainBuilder
from cualex.weights.parameters import Parameters
from tests.support import every_layer, reference, small_alexnet

GREY = Network(
    "grey towers",
    {
        "grey": Grey(),
        "conv1": Conv(3, size=3, std=0.3),
        "relu1": ReLU(),
        "exchange2": Exchange(),
        "fc2": Dense(4, std=0.3),
        "join3": Join(),
        "fc3": Dense(3, std=0.3),
        "softmax": Softmax(),
    },
    2,
    3,
    8,
    stored=8,
)
OTHERS = Network(
    "other layers",
    {
        "conv1": Conv(4, size=3, stride=2, pad=1, round_up=True, std=0.3),
        "norm1": BatchNorm(),
        "relu1": ReLU(),
        "rnorm1": SpatialLRN(alpha=0.5),
        "pool1": AveragePool(size=3, stride=2, round_up=True),
        "conv2": Conv(4, size=3, pad=1, groups=2, std=0.3),
        "gelu2": Activation("gelu"),
        "drop2": MeanDropout(0.25),
        "fc3": Dense(6, std=0.3),
        "tanh3": Activation("tanh"),
        "drop3": Dropout(0.25, inverted=True),
        "join4": Join(),
        "fc4": Dense(3, std=0.3),
        "softmax": Softmax(),
    },
    2,
    3,
    12,
    stored=12,
)
NETWORKS = {
    "every layer": every_layer.NETWORK,
    "grey towers": GREY,
    "lenet5": networks.build("lenet5", width=0.5, crop=16, classes=3),
    "other layers": OTHERS,
}


def loud(net, device="cpu", **settings):
    """Make parameters that every layer is heard with; averages of batch normalisation are no round numbers."""
    made, rng = Parameters(net, device, **settings), np.random.default_rng(3)
    tensors = small_alexnet.tensors(net)
    tensors |= {name: rng.uniform(0.5, 2, shape).astype(np.float32) for name, shape in net.state().items()}
    made.load(tensors)
    return made


def problem(net, start, batch=2, seed=4):
    """Draw images as the first layer reads them, and a gradient at a layer's output."""
    rng, stage = np.random.default_rng(seed), {each.name: each for each in net.stages()}[start]
    channels, rows, columns = stage.output
    meeting = stage.layer.kind in ("exchange", "join")
    shape = batch, channels * (1 if meeting else stage.towers), rows, columns
    return rng.normal(0, 1, (batch, 3, net.crop, net.crop)), rng.normal(0, 1, shape)


def run(made, start, x, dy, **settings):
    """Run an explanation once, and return its plan."""
    plan = ExplainPlan(made, len(x), start, **settings)
    plan.put(x)
    plan.put_gradient(dy)
    plan.run()
    return plan


def by_differences(plan, x, dy, at, step=1e-6):
    """Differentiate SUM of y * dy by single values of the images, (image, channel, row, column)."""
    found = []
    for place in at:
        ends = []
        for sign in (1, -1):
            moved = x.copy()
            moved[place] += sign * step
            plan.put(moved)
            plan.run()
            ends.append((plan.output(plan.start) * dy).sum())
        found.append((ends[0] - ends[1]) / (2 * step))
    return np.array(found)


def some(shape, count=12):
    rng = np.random.default_rng(8)
    return [tuple(int(rng.integers(0, side)) for side in shape) for _ in range(count)]


@pytest.mark.parametrize("start", [name for name in every_layer.LAYERS if name != "softmax"])
def test_a_backward_pass_starts_at_any_layer(start):
    """Against central differences of the forward pass in float64."""
    x, dy = problem(every_layer.NETWORK, start)
    plan = run(loud(every_layer.NETWORK, precision="fp64"), start, x, dy)
    found, at = plan.image_gradient(), some(x.shape, 6)
    assert_allclose([found[place] for place in at], by_differences(plan, x, dy, at), rtol=1e-5, atol=1e-7)
    assert np.abs(found).max() > 0.01


@pytest.mark.parametrize("name", NETWORKS)
def test_scores_of_every_kind_of_layer_reach_the_image(name):
    net = NETWORKS[name]
    start = list(net.layers)[-2]
    x, dy = problem(net, start)
    plan = run(loud(net, precision="fp64"), start, x, dy)
    found, at = plan.image_gradient(), some(x.shape)
    largest = np.abs(found).max()
    assert_allclose([found[place] for place in at], by_differences(plan, x, dy, at), rtol=1e-4, atol=1e-6 * largest)


@pytest.mark.parametrize("name", ["every layer", "grey towers", "other layers"])
@pytest.mark.parametrize("guided", [False, True])
def test_placements_and_fusion_change_no_bit(name, guided):
    net = NETWORKS[name]
    start = list(net.layers)[-2]
    x, dy = problem(net, start)
    plain = run(loud(net), start, x, dy, guided=guided, fuse=False).image_gradient()
    assert plain.dtype == np.float32
    for device in ("cpu", "cpu,cpu"):
        assert_array_equal(run(loud(net, device), start, x, dy, guided=guided).image_gradient(), plain)


def test_the_forward_pass_is_that_of_inference():
    """To the bit: the crop's steps are left out, not its arithmetic."""
    made, names = small_alexnet.parameters(), ("norm1", "pool2", "exchange6", "relu7", "fc8")
    expected = small_alexnet.plan(made, "infer", outputs=names)
    crop = next(step for step in expected.steps if step.kind == "data")
    plan = ExplainPlan(made, small_alexnet.BATCH, "fc8", outputs=names)
    seen = []
    expected.run(lambda step: (step.run(), seen.append(crop.writes["y"].array().copy()) if step is crop else None))
    plan.put(seen[0].transpose(0, 3, 1, 2))
    plan.run()
    for name in names:
        assert_array_equal(plan.output(name), expected.output(name))


def test_a_gradient_that_is_kept_is_that_of_the_layers_output():
    """Put in at that layer, it gives the rest of the pass to the bit, whatever steps worked in place above."""
    made, net = loud(every_layer.NETWORK), every_layer.NETWORK
    names = tuple(name for name in net.layers if name not in ("fc4", "softmax"))
    x, dy = problem(net, "fc4")
    whole = run(made, "fc4", x, dy, gradients=names)
    assert_array_equal(whole.image_gradient(), run(made, "fc4", x, dy).image_gradient())
    for name in names:
        part = run(made, name, x, whole.gradient(name))
        assert_array_equal(part.image_gradient(), whole.image_gradient(), err_msg=name)
        assert np.abs(whole.gradient(name)).max() > 0


def test_the_gradient_of_a_unit_that_is_off_is_kept():
    """The derivative of the ReLU comes after the gradient of its output: Grad-CAM reads that."""
    made, net = loud(every_layer.NETWORK), every_layer.NETWORK
    plan = run(made, "fc4", *problem(net, "fc4"), outputs=("relu2",), gradients=("relu2",))
    off = plan.output("relu2") == 0
    assert (plan.gradient("relu2")[off] != 0).any(), "a unit that is off has no gradient"


def test_a_run_leaves_the_gradient_that_was_put_in():
    """Dropout scales a gradient in place."""
    made, net = loud(every_layer.NETWORK), every_layer.NETWORK
    x, dy = problem(net, "drop3")
    plan = run(made, "drop3", x, dy)
    first = plan.image_gradient()
    plan.run()
    plan.run()
    assert_array_equal(plan.image_gradient(), first)


def guided_by_hand(tensors, x, dy):
    """Take conv1, relu1, fc2, relu2, fc3 back by Springenberg's rule, from matrices of the linear layers."""
    first = tensors["conv1.weight"]
    basis = np.eye(x[0].size).reshape(-1, *x.shape[1:])
    matrices = [reference.conv(basis, first).reshape(len(basis), -1).T]  # column by column, exact
    matrices += [tensors[f"{name}.weight"].astype(np.float64) for name in ("fc2", "fc3")]
    rows, columns = (side - first.shape[2] + 1 for side in x.shape[2:])
    biases = [np.repeat(tensors["conv1.bias"], rows * columns), tensors["fc2.bias"]]
    found = []
    for image, given in zip(x, dy[:, :, 0, 0], strict=True):
        one = matrices[0] @ image.ravel() + biases[0]
        two = matrices[1] @ np.maximum(one, 0) + biases[1]
        back = matrices[2].T @ given
        back = matrices[1].T @ np.where((two > 0) & (back > 0), back, 0)
        found.append(matrices[0].T @ np.where((one > 0) & (back > 0), back, 0))
    return np.reshape(found, x.shape)


def small_line():
    """Make a network of one tower with two ReLUs."""
    layers = {
        "conv1": Conv(5, size=3, std=0.3),
        "relu1": ReLU(),
        "fc2": Dense(7, std=0.3),
        "relu2": ReLU(),
        "fc3": Dense(3, std=0.3),
        "softmax": Softmax(),
    }
    return Network("line", layers, 1, 3, 6, stored=6)


@pytest.mark.parametrize("fuse", [True, False])
def test_guided_backpropagation_is_the_rule_by_hand(fuse):
    net = small_line()
    x, dy = problem(net, "fc3")
    found = run(loud(net, precision="fp64"), "fc3", x, dy, guided=True, fuse=fuse).image_gradient()
    assert_allclose(found, guided_by_hand(small_alexnet.tensors(net), x, dy), rtol=1e-6, atol=1e-12)
    plain = run(loud(net, precision="fp64"), "fc3", x, dy).image_gradient()
    assert np.abs(found - plain).max() > 0.01


def test_links_are_those_of_training():
    """The floats of a pass from the scores are those of an update: the image's gradient crosses nowhere."""
    made, net = loud(every_layer.NETWORK, "cpu,cpu"), every_layer.NETWORK
    small_alexnet.plan(made, batch=2).run()
    trained = dict(made.ledger.floats)
    made.ledger.clear()
    run(made, "fc4", *problem(net, "fc4"))
    assert made.ledger.floats == trained
    assert trained
    made.ledger.clear()
    run(made, "pool2", *problem(net, "pool2"))
    assert made.ledger.floats == {}


def test_no_weight_moves_and_none_has_a_gradient():
    made, net = loud(every_layer.NETWORK), every_layer.NETWORK
    before = small_alexnet.digest(made)
    plan = run(made, "fc4", *problem(net, "fc4"))
    assert small_alexnet.digest(made) == before
    assert not any(step.sinks for step in plan.steps)
    assert {step.kind for step in plan.steps} == {"forward", "backward"}


def test_what_cannot_be_started_from_is_said():
    made = loud(every_layer.NETWORK)
    with pytest.raises(UsageError, match=r"^all has no layer 'conv9'; its layers are conv1, "):
        ExplainPlan(made, 1, "conv9")
    with pytest.raises(UsageError, match=r"^a backward pass cannot start at softmax: start at fc4, the scores"):
        ExplainPlan(made, 1, "softmax")
    with pytest.raises(UsageError, match=r"^relu2 is above conv2, where the backward pass starts$"):
        ExplainPlan(made, 1, "conv2", outputs=("relu2",))


def test_a_forgotten_positive_part_is_noticed(monkeypatch):
    """Planted: the activations of a guided pass pass on all of a gradient."""
    net, passed_down = small_line(), ExplainBuilder._passed_down

    def unguided(self, stage, dy):
        self.guided = False
        return passed_down(self, stage, dy)

    monkeypatch.setattr(ExplainBuilder, "_passed_down", unguided)
    x, dy = problem(net, "fc3")
    found = run(loud(net, precision="fp64"), "fc3", x, dy, guided=True).image_gradient()
    assert np.abs(found - guided_by_hand(small_alexnet.tensors(net), x, dy)).max() > 0.01


def test_a_relu_that_is_taken_too_early_is_noticed(monkeypatch):
    """Planted: the step above a kept gradient takes the ReLU as well."""
    monkeypatch.setattr(ExplainBuilder, "gradient", Builder.gradient)
    with pytest.raises(AssertionError, match="a unit that is off"):
        test_the_gradient_of_a_unit_that_is_off_is_kept()


def test_a_backward_pass_can_be_repeated_with_another_gradient():
    """What it reads of the forward pass is still there: several classes are explained by one forward pass."""
    made, net = loud(every_layer.NETWORK), every_layer.NETWORK
    x, dy = problem(net, "fc4")
    plan = run(made, "fc4", x, dy)
    for given in (-dy, dy[::-1], dy):
        plan.put_gradient(given)
        plan.backward()
        assert_array_equal(plan.image_gradient(), run(made, "fc4", x, given).image_gradient())
