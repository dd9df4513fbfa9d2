"""Activations on both engines: functions and derivatives against textbook formulas, and inputs that overflow."""

import math

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from cualex import networks
from cualex.engine import activations
from cualex.layers import Activation, ReLU, activation
from cualex.plan import Plan
from cualex.weights.parameters import Parameters
from tests.support import reference

NAMES = ["tanh", "sigmoid", "softplus", "linear", "linear:-0.5,3", "leaky-relu:0.25", "elu:0.5", "gelu"]
SHAPES = [(1, 1, 1), (2, 5, 17), (2, 3, 3, 5, 48)]
SLOPES = {  # of the output; of GELU, of the input
    "tanh": lambda y: 1 - y**2,
    "sigmoid": lambda y: y * (1 - y),
    "softplus": lambda y: 1 - np.exp(-y),
    "linear": np.ones_like,
    "linear:-0.5,3": lambda y: np.full_like(y, -0.5),
    "leaky-relu:0.25": lambda y: np.where(y > 0, 1, 0.25),
    "elu:0.5": lambda y: np.where(y > 0, 1, y + 0.5),
    "gelu": lambda x: reference.normal(x) + x * np.exp(-(x**2) / 2) / math.sqrt(2 * math.pi),
}
OWN = 4 * 2.0**-53  # what the textbook's forms round away themselves, from numbers near 1
ROUNDINGS = 8  # of two exponentials, good to 3 units each, a sum and a division
every_name = pytest.mark.parametrize("name", NAMES)


def run(bench, name, x, dy):
    x, dy, y, dx = bench.put(x), bench.put(dy), bench.empty(x.shape), bench.empty(x.shape)
    with bench.untouched(x, dy):
        bench.engine.activation.forward(bench.device, x, y, function=name)
        kept = x if activations.find(name).keeps == "x" else y
        with bench.untouched(kept):
            bench.engine.activation.backward(bench.device, kept, dy, dx, function=name)
    bench.engine.activation.backward(bench.device, kept, dy, dy, function=name)
    assert_array_equal(bench.get(dy), bench.get(dx))  # in the place of the gradient above
    return bench.get(y).astype(np.float64), bench.get(dx).astype(np.float64)


@every_name
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_agrees_with_the_formula(bench, rng, name, shape):
    x, dy = bench.rounded(rng.normal(-0.5, 3, (2, *shape)))
    y, dx = run(bench, name, x, dy)
    wanted = reference.activation(x, name)
    rounded, slopes = ROUNDINGS, 4
    if name == "gelu":  # x / sqrt(2) is off by two roundings, and erfc then by x^2 times as many; two library functions
        rounded, slopes = ROUNDINGS + 2 * x**2, 8
    assert (np.abs(y - wanted) <= (rounded * bench.sums + bench.unit) * np.abs(wanted) + OWN).all()
    slope = SLOPES[name](x if name == "gelu" else y)
    assert (np.abs(dx - dy * slope) <= np.abs(dy) * (slopes * bench.sums + bench.unit * np.abs(slope))).all()


@every_name
def test_the_slopes_are_differences(name, rng):
    x = rng.normal(-0.5, 3, 200)
    wanted = reference.gradient(lambda x: reference.activation(x, name), x, np.ones(200), apart=True)
    kept = x if name == "gelu" else reference.activation(x, name)
    np.testing.assert_allclose(SLOPES[name](kept), wanted, rtol=0, atol=1e-9)
    np.testing.assert_allclose(activations.find(name).derivative(x), wanted, rtol=0, atol=1e-9)


@pytest.mark.parametrize(
    ("name", "outputs", "slopes"),
    [
        ("tanh", [-1, -1, 0, 1, 1, np.nan], [0, 0, 1, 0, 0, np.nan]),
        ("sigmoid", [0, 0, 0.5, 1, 1, np.nan], [0, 0, 0.25, 0, 0, np.nan]),
        ("softplus", [0, 0, None, 1000, np.inf, np.nan], [0, 0, None, 1, 1, np.nan]),
        ("linear", [-np.inf, -1000, 0, 1000, np.inf, np.nan], [1, 1, 1, 1, 1, 1]),
        ("linear:2,-1", [-np.inf, -2001, -1, 1999, np.inf, np.nan], [2, 2, 2, 2, 2, 2]),
        ("leaky-relu:0.25", [-np.inf, -250, 0, 1000, np.inf, np.nan], [0.25, 0.25, 0.25, 1, 1, np.nan]),
        ("elu:0.5", [-0.5, -0.5, 0, 1000, np.inf, np.nan], [0, 0, 0.5, 1, 1, np.nan]),
        ("gelu", [0, 0, 0, 1000, np.inf, np.nan], [0, 0, 0.5, 1, 1, np.nan]),
    ],
)
def test_nothing_overflows(bench, name, outputs, slopes):
    x = np.array([[-np.inf, -1000, 0, 1000, np.inf, np.nan]])
    y, dx = run(bench, name, x, np.ones((1, 6)))
    for found, wanted in ((y, outputs), (dx, slopes)):
        keep = [place for place, value in enumerate(wanted) if value is not None]
        assert_array_equal(found[0, keep], bench.rounded([wanted[place] for place in keep]))


def test_small_outputs_keep_their_digits(bench):
    """1 - something near 1 would have none left."""
    x = bench.rounded([[-20.0, -30.0, -80.0]])
    for name in ("sigmoid", "softplus"):
        y, dx = run(bench, name, x, np.ones((1, 3)))
        assert (np.abs(y / np.exp(x) - 1) <= ROUNDINGS * bench.sums + 2 * bench.unit + 3e-9).all()
        assert (np.abs(dx / np.exp(x) - 1) <= 2 * ROUNDINGS * bench.sums + 4 * bench.unit + 5e-9).all()


def test_output_inside_a_border(device, rng):
    x = rng.normal(size=(2, 2, 3, 4, 5)).astype(np.float32)
    from cualex.engine.host import activation as engine

    for name in NAMES:
        around = np.zeros((2, 2, 5, 6, 5), np.float32)
        engine.forward(device, x, around[:, :, 1:-1, 1:-1], function=name)
        assert_array_equal(around[:, :, 1:-1, 1:-1], activations.find(name).function(x))
        around[:, :, 1:-1, 1:-1] = 0
        assert not around.any()


def test_the_table_has_relu_too():
    relu = activations.find("relu")
    assert_array_equal(relu.function([-2.0, 0.0, 3.0]), [0, 0, 3])
    assert_array_equal(relu.derivative([-2.0, 0.0, 3.0]), [0, 0, 1])


def test_parameters_have_pytorchs_defaults():
    assert (activations.find("leaky-relu").a, activations.find("elu").a) == (0.01, 1.0)
    assert activations.find("elu:0.5").a == 0.5
    assert (activations.find("linear:2").a, activations.find("linear:2").offset) == (2, 0)


def test_a_layer_is_made_by_its_name():
    assert activation("relu") == ReLU()
    assert activation("tanh") == Activation("tanh")
    with pytest.raises(ValueError, match=r"^activation: relu is a layer of its own, ReLU\(\)$"):
        Activation("relu")
    said = "^no activation is called 'swish'; there are relu, tanh, sigmoid, softplus, linear, leaky-relu, elu, gelu$"
    with pytest.raises(ValueError, match=said):
        activation("swish")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("tanh:2", "activation tanh has no parameter, got 'tanh:2'"),
        ("elu:a", "activation 'elu:a': expected a number after the colon, as in elu:0.2"),
        ("leaky-relu:2", "activation 'leaky-relu:2': expected a parameter above 0 and at most 1"),
        ("linear:", "activation 'linear:': expected two numbers, as in linear:2,0.5 for 2 x \\+ 0.5"),
        ("linear:1,2,3", "activation 'linear:1,2,3': expected two numbers, as in linear:2,0.5 for 2 x \\+ 0.5"),
        ("linear:inf,0", "activation 'linear:inf,0': expected finite numbers"),
        ("leaky-relu:nan", "activation 'leaky-relu:nan': expected a parameter above 0 and at most 1"),
    ],
)
def test_a_parameter_that_cannot_be_is_refused(name, words):
    with pytest.raises(ValueError, match=f"^{words}$"):
        activation(name)


@pytest.mark.parametrize("name", NAMES)
def test_only_what_the_derivative_reads_is_kept(name):
    """A step's backward pass reads the input or the output, not both."""
    network = networks.build("lenet5", function=name)
    plan = Plan(Parameters(network, "cpu"), 2, "train")
    layer = f"{name.partition(':')[0]}3"
    (forward,) = [step for step in plan.steps if step.kind == "forward" and step.layers[0] == layer]
    (backward,) = [step for step in plan.steps if step.kind == "backward" and step.layers[0] == layer]
    kept = forward.reads["x"] if activations.find(name).keeps == "x" else forward.writes["y"]
    assert backward.reads["kept"].buffer is kept.buffer
    assert set(backward.reads) == {"kept", "dy"}


def test_gelu_is_pytorchs(rng):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed: no second opinion on GELU")
    x = torch.tensor(rng.normal(0, 3, 300), requires_grad=True)
    y = torch.nn.functional.gelu(x)
    y.sum().backward()
    found, values = activations.find("gelu"), x.detach().numpy()
    np.testing.assert_allclose(found.function(values), y.detach().numpy(), rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(found.derivative(values), x.grad.numpy(), rtol=1e-12, atol=1e-14)
