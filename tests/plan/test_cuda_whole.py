"""The whole network of 2012, its real sizes, one training step at batch 2 in the emulator, against the host engine."""

import numpy as np
import pytest

from cualex import networks
from tests.support import small_alexnet
from tests.support.small_alexnet import ELSEWHERE, NEAR


@pytest.mark.slow
@pytest.mark.parametrize(("precision", "device"), [("tf32", "cuda:0,cuda:1"), ("bf16", "cuda:0")])
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
