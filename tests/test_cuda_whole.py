"""The whole network of 2012, its real sizes, one training step at batch 2 in the emulator, against the host engine."""

import numpy as np
import pytest
import small
from test_cuda_plan import NEAR

from cualex import networks


@pytest.mark.slow
@pytest.mark.parametrize(
    ("precision", "device", "checked"),
    [("fp32", "cuda:0", False), ("tf32", "cuda:0,cuda:1", False), ("bf16", "cuda:0", False), ("tf32", "cuda:0", True)],
)
def test_a_training_step_of_the_whole_network(emulated, precision, device, checked):
    net = networks.build("alexnet")
    ours = small.parameters(device, net, precision=precision, runtime=emulated(checked=checked))
    host = small.parameters("cpu", net)
    plans = [small.plan(made, batch=2) for made in (ours, host)]
    for plan in plans:
        plan.run()
    assert plans[0].result.loss == pytest.approx(plans[1].result.loss, rel=NEAR[precision])
    before, found, expected = small.tensors(net), ours.unload(), host.unload()
    for name, start in before.items():
        moved = np.linalg.norm(expected[name] - start)
        if precision != "bf16":  # where gradients go other ways: see test_cuda_plan.py
            assert np.linalg.norm(found[name] - expected[name]) < 2 * NEAR[precision] * moved, name
        assert moved > 0, name
