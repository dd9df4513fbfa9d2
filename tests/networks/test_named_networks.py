"""The named networks against PyTorch's: sizes, scores, every gradient and an update, with loud weights.

In float64, so that a difference is a fault and no rounding: each tensor to a few units of float32, in which results
leave the engine.
"""

import math
from dataclasses import replace

import numpy as np
import pytest

from cualex import networks
from cualex.layers import LRN
from cualex.networks import summary
from cualex.plan import Plan
from cualex.training import recipes
from cualex.weights.parameters import Parameters

torch = pytest.importorskip("torch", reason="PyTorch is not installed: no second opinion on the named networks")

from tests.support import torch_networks as theirs  # noqa: E402 (it needs torch)
from tests.support.torch_problem import Problem as Whole  # noqa: E402

UNIT = 2.0**-24
LOUD = 1000
SIZES = {  # parameters and multiply-adds as the networks' descriptions have them
    "alexnet-2012": (60_965_224, 724_406_816),
    "alexnet-caffe": (60_965_224, 724_406_816),
    "caffenet": (60_965_224, 724_406_816),
    "alexnet-torchvision": (61_100_840, 714_188_480),
    "alexnet-tanh": (27_410_792, 408_228_384),
    "cifar-tanh": (215_562, 24_496_960),
    "lenet5": (61_706, 416_520),
}
SHAPES = {  # the sides of the maps that convolution and pooling give
    "alexnet-2012": [55, 27, 27, 13, 13, 13, 13, 6],
    "alexnet-caffe": [55, 27, 27, 13, 13, 13, 13, 6],
    "caffenet": [55, 27, 27, 13, 13, 13, 13, 6],
    "alexnet-torchvision": [55, 27, 27, 13, 13, 13, 13, 6],
    "alexnet-tanh": [55, 27, 23, 11, 9, 7, 5, 2],
    "cifar-tanh": [27, 13, 13, 6, 6, 3],
    "lenet5": [28, 14, 10, 5],
}
EIGHTH = {"classes": 10, "dropout": 0, "width": 1 / 8}
TWINS = {  # ours, its arguments, theirs
    "2012": ("alexnet-2012", {**EIGHTH, "crop": 64}, lambda: theirs.alexnet_2012(1 / 8, 1, 10, LOUD)),
    "caffe": ("alexnet-caffe", {**EIGHTH, "crop": 67}, lambda: theirs.caffe(1 / 8, 1, 10, False, LOUD)),
    "caffenet": ("caffenet", {**EIGHTH, "crop": 67}, lambda: theirs.caffe(1 / 8, 1, 10, True, LOUD)),
    "torchvision": (
        "alexnet-torchvision",
        {**EIGHTH, "crop": 72},
        lambda: theirs.torchvision(1 / 8, 1, 10),
    ),
    "alexnet-tanh": ("alexnet-tanh", {**EIGHTH, "crop": 195}, lambda: theirs.alexnet_tanh(1 / 8, 1, 10)),
    "cifar-tanh": ("cifar-tanh", {}, lambda: theirs.cifar("tanh", LOUD)),
    "lenet5 tanh": ("lenet5", {}, lambda: theirs.lenet5(torch.nn.Tanh)),
    "lenet5 sigmoid": ("lenet5", {"function": "sigmoid"}, lambda: theirs.lenet5(torch.nn.Sigmoid)),
    "lenet5 softplus": ("lenet5", {"function": "softplus"}, lambda: theirs.lenet5(torch.nn.Softplus)),
}


def loud(network):
    """Multiply every alpha by LOUD: at the paper's a broken normalisation changes next to nothing."""
    layers = {
        name: replace(layer, alpha=LOUD * layer.alpha) if isinstance(layer, LRN) else layer
        for name, layer in network.layers.items()
    }
    return replace(network, layers=layers)


class Problem(Whole):
    """A network with loud weights, and a lopsided batch of which one picture is padding."""

    def __init__(self, name, batch=3):
        ours, arguments, twin = TWINS[name]
        self.network, self.batch = loud(networks.build(ours, **arguments)), batch
        rng = np.random.default_rng(5)
        stored, crop = self.network.stored, self.network.crop
        self.pictures = rng.integers(0, 256, (batch, stored, stored, 3), np.uint8)
        self.pictures[:, :, stored // 3 :, 0] //= 3
        self.mean = self.network.mean_picture(rng.integers(60, 190, (stored, stored, 3)))
        offsets = rng.integers(0, stored - crop + 1, (batch, 2))
        self.views = np.column_stack([offsets, np.arange(batch) % 2]).astype(np.int32)
        self.labels = rng.integers(0, self.network.classes, batch)
        self.labels[1] = -1
        self.tensors = {}
        for parameter, shape in self.network.parameters().items():
            spread = math.sqrt(2 / math.prod(shape[1:])) if shape[1:] else 0.3
            self.tensors[parameter] = rng.normal(0, spread, shape).astype(np.float32)
        self.twin = twin().double()
        state = {name: torch.from_numpy(tensor).double() for name, tensor in self.tensors.items()}
        self.twin.load_state_dict(state, strict=True)

    def crops(self):
        found = []
        for picture, (row, column, mirror) in zip(self.pictures, self.views, strict=True):
            place = slice(row, row + self.network.crop), slice(column, column + self.network.crop)
            if self.network.mean_at == "centre":
                edge = (self.network.stored - self.network.crop) // 2
                mean = self.mean[edge : edge + self.network.crop, edge : edge + self.network.crop]
                mean = mean[:, ::-1] if mirror else mean
            else:
                mean = self.mean[place]
            crop = (picture[place].astype(np.float64) - mean) * self.network.scale
            found.append((crop[:, ::-1] if mirror else crop).transpose(2, 0, 1))
        return torch.from_numpy(np.array(found))

    def theirs(self):
        return theirs.scores_and_gradients(self.twin, self.crops(), torch.from_numpy(self.labels))

    def plan(self, precision="fp64", device="cpu", **settings):
        parameters = Parameters(self.network, device, precision=precision)
        parameters.load(self.tensors)
        plan = Plan(parameters, self.batch, "train", **settings)
        plan.put_mean(self.mean)
        plan.put(self.pictures, self.views, self.labels)
        return plan


def off(found, wanted):
    assert found.shape == wanted.shape
    return np.linalg.norm(np.asarray(found, np.float64) - wanted) / np.linalg.norm(wanted)


@pytest.fixture(scope="module")
def problems():
    made = {}
    return lambda name: made.setdefault(name, Problem(name))


@pytest.mark.parametrize("name", SIZES)
def test_sizes(name):
    total = summary.totals(summary.rows(networks.build(name)))
    assert (total.parameters, total.multiply_adds) == SIZES[name]


@pytest.mark.parametrize("named", ["demo", "paper"])
@pytest.mark.parametrize("name", networks.names())
def test_every_network_has_a_recipe_that_fits_it(name, named):
    if named == "demo" and name not in recipes.QUICK:
        pytest.skip("the demo's recipe is for alexnet and its kin")
    recipe = recipes.named(named, name)
    network = networks.build(recipe.network, **recipe.arguments(classes=10))
    assert (network.name, network.classes, network.crop) == (name, 10, recipe.crop)
    assert (recipe.dropout > 0) == any(layer.kind == "dropout" for layer in network.layers.values())
    if named == "paper":  # the whole network, as it is by default
        default = networks.build(name)
        assert (network.crop, network.mean_at) == (default.crop, default.mean_at)


@pytest.mark.parametrize("name", SHAPES)
def test_shapes(name):
    stages = networks.build(name).stages()
    assert [stage.output[1] for stage in stages if stage.layer.kind in ("conv", "maxpool", "averagepool")] == SHAPES[
        name
    ]


@pytest.mark.parametrize("name", TWINS)
def test_scores_loss_and_every_gradient(problems, name):
    problem = problems(name)
    scores, loss, gradients = problem.theirs()
    last = list(problem.network.layers)[-2]
    plan = problem.plan(sink="keep", outputs=(last,))
    plan.run()
    found = plan.gradients()
    assert plan.result.loss == pytest.approx(loss, rel=1e-12)
    assert off(plan.output(last)[..., 0, 0], scores) <= UNIT
    assert found.keys() == gradients.keys()
    assert {name: share for name in found if (share := off(found[name], gradients[name])) > UNIT} == {}


FEW = ["2012", "lenet5 tanh"]
REST = [pytest.param(name, marks=pytest.mark.slow) for name in TWINS if name not in FEW]


@pytest.mark.parametrize("name", [*FEW, *REST])
def test_an_update(problems, name):
    """w <- w - rate (g + decay w), the decay for weights alone: the first step has no velocity."""
    problem = problems(name)
    gradients = problem.theirs()[2]
    plan = problem.plan()
    plan.control.rate, plan.control.decay = 0.5, 0.25
    plan.run()
    weights = plan.parameters.unload()
    for parameter, gradient in gradients.items():
        start = problem.tensors[parameter].astype(np.float64)
        wanted = -0.5 * (gradient + (0.25 * start if parameter.endswith("weight") else 0))
        rounding = 2 * UNIT * np.linalg.norm(start + wanted) / np.linalg.norm(wanted)
        assert off(weights[parameter] - start, wanted) <= 4 * UNIT + rounding, parameter


@pytest.mark.parametrize("name", [*FEW, *REST])
def test_a_step_in_float32(problems, name):
    """As it is trained: u sqrt(K) over all sums on the way, as test_against_torch.py has it, and the normalisations.

    The gradient of one is a difference of two terms with 35 roundings between them (test_lrn.py); so loud, these
    nearly cancel, and their sum is up to three times the difference.
    """
    problem = problems(name)
    _, loss, gradients = problem.theirs()
    plan = problem.plan("fp32", sink="keep")
    plan.run()
    norms = sum(isinstance(layer, LRN) for layer in problem.network.layers.values())
    tolerance, found = UNIT * math.sqrt(problem.terms + norms * (3 * 35) ** 2), plan.gradients()
    assert plan.result.loss == pytest.approx(loss, rel=tolerance)
    assert {name: share for name in found if not (share := off(found[name], gradients[name])) <= tolerance} == {}
