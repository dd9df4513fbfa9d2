"""The whole network of 2012, its real sizes, one training step at batch 2 in the emulator, against the host engine."""

import math

import numpy as np
import pytest

from cualex import networks
from tests.plan.test_cuda_plan import NEAR
from tests.support import small_alexnet

# How far an update may be from the host's, in relative norm. Where a value is near to changing sides at a ReLU, or near
# to its rival in a window, rounding by u sends its gradient elsewhere: about 4 u of the values (the share within u of
# a rival, of up to nine) at each of the 7 ReLUs and 3 pools; what goes elsewhere adds in squares: sqrt(10 * 4 * u).
ELSEWHERE = {"fp32": 1e-4, "tf32": math.sqrt(40 * 2.0**-11), "bf16": math.sqrt(40 * 2.0**-8)}


@pytest.mark.slow
@pytest.mark.parametrize(("precision", "device"), [("fp32", "cuda:0"), ("tf32", "cuda:0,cuda:1"), ("bf16", "cuda:0")])
def test_a_training_step_of_the_whole_network(emulated, precision, device):
    net = networks.build("alexnet")
    ours = small_alexnet.parameters(device, net, precision=precision, runtime=emulated())
    host = small_alexnet.parameters("cpu", net)
    plans = [small_alexnet.plan(made, batch=2) for made in (ours, host)]
    for plan in plans:
        plan.run()
    assert plans[0].result.loss == pytest.approx(plans[1].result.loss, rel=NEAR[precision])
    before, found, expected = small_alexnet.tensors(net), ours.unload(), host.unload()
    for name, start in before.items():
        moved = np.linalg.norm(expected[name] - start)
        assert np.linalg.norm(found[name] - expected[name]) < ELSEWHERE[precision] * moved, name
        assert moved > 0, name
