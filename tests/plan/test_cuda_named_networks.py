"""A training step of every named network through the kernels in the emulator, against the host engine."""

import math

import numpy as np
import pytest

from cualex import networks
from tests.support import small_alexnet
from tests.support.small_alexnet import ELSEWHERE, NEAR

EIGHTH = {"classes": 10, "dropout": 0.5, "width": 1 / 8}
NETWORKS = {
    "2012": ("alexnet-2012", {**EIGHTH, "crop": 64}),
    "2012, sizes with a rest": ("alexnet-2012", {**EIGHTH, "crop": 59}),
    "caffe": ("alexnet-caffe", {**EIGHTH, "crop": 62}),
    "caffenet": ("caffenet", {**EIGHTH, "crop": 67}),
    "torchvision": ("alexnet-torchvision", {**EIGHTH, "crop": 72}),
    "tanh": ("alexnet-tanh", {**EIGHTH, "crop": 195}),
    "cifar-tanh": ("cifar-tanh", {}),
    "lenet5": ("lenet5", {}),
    "lenet5 softplus": ("lenet5", {"function": "softplus"}),
    "no exchange": ("alexnet", {**EIGHTH, "crop": 67, "norm": "within", "exchange": False}),
    "half": ("alexnet-one-tower", {**EIGHTH, "crop": 67, "pool": 2, "half": True}),
}
QUICK = [("2012", "fp32", "cuda:0"), ("lenet5", "bf16", "cuda:0")]
EVERY = [
    (name, precision, device)
    for name in NETWORKS
    for precision in NEAR
    for device in (["cuda:0", "cuda:0,cuda:0"] if name.startswith(("2012", "no exchange")) else ["cuda:0"])
]
CASES = [*QUICK, *(pytest.param(*case, marks=pytest.mark.slow) for case in EVERY if case not in QUICK)]


@pytest.mark.parametrize(("name", "precision", "device"), CASES)
def test_a_training_step_is_the_hosts(emulated, name, precision, device):
    network, arguments = NETWORKS[name]
    net = networks.build(network, **arguments)
    ours = small_alexnet.parameters(device, net, precision=precision, runtime=emulated())
    host = small_alexnet.parameters("cpu", net)
    plans = [small_alexnet.plan(made, batch=2) for made in (ours, host)]
    for plan in plans:
        plan.run()
    near = {"rel": NEAR[precision], "abs": NEAR[precision] * math.log(10)}  # scores round alike where losses are small
    assert plans[0].result.loss == pytest.approx(plans[1].result.loss, **near)
    before, found, expected = small_alexnet.tensors(net), ours.unload(), host.unload()
    for parameter, start in before.items():
        moved = np.linalg.norm(expected[parameter] - start)
        assert np.linalg.norm(found[parameter] - expected[parameter]) < ELSEWHERE[precision] * moved, parameter
        assert moved > 0, parameter


@pytest.mark.slow
def test_placements_of_2012_have_the_same_bits():
    """Its own maps first, its zeros around the picture and its cnorm2, on one place and on two."""
    net = networks.build("alexnet-2012", **NETWORKS["2012"][1])
    digests = set()
    for device in ("cpu", "cpu,cpu"):
        made = small_alexnet.parameters(device, net)
        small_alexnet.train(made, updates=2)
        digests.add(small_alexnet.digest(made))
    assert len(digests) == 1
