"""A network with loud weights and a lopsided batch, in cualex and in PyTorch."""

import math

import numpy as np
import pytest
import torch

from cualex import networks
from cualex.plan import Plan
from cualex.weights.parameters import Parameters
from tests.support.torch_network import Twin

UNIT = 2.0**-24
NEAR = 1e-6  # as a share of the maps' size: several times what float32 is off there
NETWORKS = {
    "alexnet, an eighth": ("alexnet", {"classes": 10, "crop": 67, "dropout": 0, "width": 1 / 8}, 9),
    "alexnet, full width": ("alexnet", {"classes": 100, "crop": 67, "dropout": 0}, 2),
    "one tower": ("alexnet-one-tower", {"classes": 10, "crop": 67, "dropout": 0, "width": 1 / 8}, 5),
    "cifar": ("cifar-relu", {"classes": 10}, 3),
}


EIGHTH, FULL = "alexnet, an eighth", "alexnet, full width"


class Problem:
    """A network with loud weights and a lopsided batch, one picture of which is padding."""

    def __init__(self, name, seed=6):
        network, arguments, self.batch = NETWORKS[name]
        self.network = networks.find(network)(**arguments)
        rng = np.random.default_rng(seed)
        stored, crop = self.network.stored, self.network.crop
        self.pictures = rng.integers(0, 256, (self.batch, stored, stored, 3), np.uint8)
        self.pictures[:, :, stored // 3 :, 0] //= 3  # neither the sides nor the colours are alike
        self.mean = (rng.integers(0, 2048, (stored, stored, 3)) / 8).astype(np.float32)
        offsets = rng.integers(0, stored - crop + 1, (self.batch, 2))
        self.views = np.column_stack([offsets, np.arange(self.batch) % 2]).astype(np.int32)
        self.labels = rng.integers(0, self.network.classes, self.batch).astype(np.int32)
        self.labels[1:2] = -1
        self.tensors = {}
        for parameter, shape in self.network.parameters().items():
            spread = 0.3 if len(shape) == 1 else math.sqrt(2 / math.prod(shape[1:]))
            last = 0.1 if shape[0] == self.network.classes else 1  # scores that do not drown each other
            self.tensors[parameter] = (rng.normal(0, spread * last, shape)).astype(np.float32)

    def plan(self, mode="train", precision="fp32", device="cpu", **settings):
        """Make a plan with everything put in."""
        parameters = Parameters(self.network, device, precision=precision)
        parameters.load(self.tensors)
        plan = Plan(parameters, self.batch, mode, **settings)
        plan.put_mean(self.mean)
        plan.put(self.pictures, self.views, self.labels)
        return plan

    def twin(self):
        """Make the network in PyTorch, in float64, with the crops it reads and the labels."""
        twin = Twin(self.network).double()
        twin.load({name: tensor.astype(np.float64) for name, tensor in self.tensors.items()})
        crops = []
        for picture, (row, column, mirror) in zip(self.pictures, self.views, strict=True):
            place = slice(row, row + self.network.crop), slice(column, column + self.network.crop)
            crop = (picture[place].astype(np.float64) - self.mean[place]) * self.network.scale
            crops.append((crop[:, ::-1] if mirror else crop).transpose(2, 0, 1))
        return twin, torch.from_numpy(np.array(crops)), torch.from_numpy(self.labels.astype(np.int64))

    @property
    def scores(self):
        """Name the layer that gives the scores."""
        return list(self.network.layers)[-2]

    @property
    def terms(self):
        """Count the terms of the longest sums on the way up and down again: forward, and for both gradients."""
        count = 0
        for stage in self.network.stages():
            products = stage.towers * stage.layer.multiply_adds(stage.reading.shape)
            if products:
                outputs = stage.towers * math.prod(stage.output)
                weights = sum(math.prod(p.shape) for p in stage.parameters.values()) * stage.towers
                inputs = math.prod(stage.reading.shape) * (1 if stage.reading.shared else stage.towers)
                count += products // outputs + products // inputs + self.batch * products // weights
        return count


def off(found, wanted):
    """Return the norm of the difference as a share of the norm."""
    found, wanted = np.asarray(found, np.float64), np.asarray(wanted, np.float64)
    assert found.shape == wanted.shape
    return np.linalg.norm(found - wanted) / np.linalg.norm(wanted)


def allowed(problem, precision):
    """Bound the share: float64 is only rounded on its way out; in float32 every sum adds its share.

    The rounding errors of a sum of K terms walk at random, so they come to about u sqrt(K) of the result; those
    of the sums one behind the other are independent, so their squares add.
    """
    return UNIT if precision == "fp64" else UNIT * math.sqrt(problem.terms)


def check(problem, plan, precision):
    """Hold a plan that has run, its sink "keep", to PyTorch."""
    twin, crops, labels = problem.twin()
    scores, loss, gradients = twin.gradients(crops, labels)
    tolerance, found = allowed(problem, precision), plan.gradients()
    assert plan.result.loss == pytest.approx(loss, rel=tolerance)
    assert plan.result.count == (labels >= 0).sum()
    assert off(plan.output(problem.scores)[..., 0, 0], scores) <= tolerance
    assert found.keys() == gradients.keys()
    shares = {name: off(found[name], gradients[name]) for name in found}
    assert {name: share for name, share in shares.items() if not share <= tolerance} == {}


PAIRS = [(name, precision) for name in NETWORKS for precision in ("fp64", "fp32")]
