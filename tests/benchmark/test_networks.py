"""PyTorch's side of the benchmark computes the same networks: the losses of both sides, for every kind of layer."""

import numpy as np
import pytest

from cualex import networks
from cualex.benchmark import problem
from cualex.benchmark.our_side import Ours
from cualex.errors import UsageError

pytest.importorskip("torch", reason="PyTorch is not installed: there is no other side")

from cualex.benchmark.torch_side import Contender

SMALL = {"classes": 7, "dropout": 0.5, "width": 1 / 16}
NETWORKS = {
    "2012": ("alexnet-2012", {**SMALL, "crop": 62}),
    "caffenet": ("caffenet", {**SMALL, "crop": 62}),
    "torchvision": ("alexnet-torchvision", {**SMALL, "crop": 72}),
    "cifar-tanh": ("cifar-tanh", {}),
    "lenet5": ("lenet5", {"function": "sigmoid"}),
    "lenet5 softplus": ("lenet5", {"function": "softplus"}),
}


FEW = ["2012", "lenet5"]


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name in FEW else pytest.mark.slow) for name in NETWORKS]
)
def test_both_sides_have_the_same_loss(name):
    network, arguments = NETWORKS[name]
    given = problem.make(networks.build(network, **arguments), 3)
    ours, theirs = Ours(given, "infer", "cpu").loss(), Contender(given, "infer", lrn=True).loss()
    assert ours == pytest.approx(theirs, rel=1e-5)
    assert abs(ours - np.log(given.network.classes)) > 1e-3  # the loss tells networks apart


def test_the_mean_of_the_centre_and_a_scale_for_each_colour():
    network = networks.build("alexnet-torchvision", **{**SMALL, "crop": 72, "mean_at": "centre"})
    given = problem.make(network, 4)
    edge = (network.stored - 72) // 2
    mean = given.mean[edge : edge + 72, edge : edge + 72]
    for crop, picture, (row, column, mirror) in zip(given.crops(), given.images, given.views, strict=True):
        seen = picture[row : row + 72, column : column + 72]
        wanted = ((seen[:, ::-1] if mirror else seen) - mean) * np.array(network.scale)
        np.testing.assert_allclose(crop, wanted.transpose(2, 0, 1), rtol=1e-6, atol=1e-5)


def test_what_it_has_not_is_said():
    network = networks.build("alexnet-batchnorm", width=1 / 16)
    said = r"^PyTorch's side of the benchmark has no batchnorm, which alexnet-batchnorm has; leave --against out$"
    with pytest.raises(UsageError, match=said):
        Contender(problem.make(network, 2), "infer", lrn=True)
