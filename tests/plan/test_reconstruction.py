"""The plan of an auto-encoder through the kernels: as on a CPU, also as a graph."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from cualex.devices.control import Control
from cualex.layers import Conv, Dropout, MaxPool, ReLU
from cualex.networks import Network
from cualex.plan import ReconstructionPlan
from cualex.weights import initial
from cualex.weights.parameters import Parameters
from tests.support.small_alexnet import NEAR

CODER = Network(
    "coder",
    {
        "conv1": Conv(4, size=3, pad=1, std=0.3),
        "relu1": ReLU(),
        "pool1": MaxPool(size=2, stride=2),
        "conv2": Conv(5, size=3, pad=1, std=0.3),
        "relu2": ReLU(),
        "drop": Dropout(0.5, inverted=True),
        "decoder": Conv(4, size=3, pad=1, std=0.3),
    },
    1,
    1,
    6,
    stored=8,
    scale=1 / 64,
)
FROZEN = {"conv1.weight": 0.0, "conv1.bias": 0.0}


def trained(updates=3, **settings):
    """Return the weights after some updates that give back what conv2 reads, and the losses."""
    parameters = Parameters(CODER, tensors=initial.draw(CODER, 1), **settings)
    control = Control(0.01, decay=0.0, seed=7)
    plan = ReconstructionPlan(parameters, 2, outputs=("pool1",), factors=FROZEN, control=control)
    rng = np.random.default_rng(2)
    plan.put_mean(np.full((8, 8, 3), 120, np.float32))
    losses = []
    for _ in range(updates):
        plan.put(rng.integers(0, 256, (2, 8, 8, 3), np.uint8))
        plan.forward()
        losses.append(plan.step(plan.output("pool1")))
    return parameters.unload(), losses


@pytest.mark.parametrize("streams", ["random", "late"])
def test_updates_are_the_hosts(emulated, streams):
    found, losses = trained(device="cuda:0", precision="fp32", runtime=emulated(streams=streams, seed=3))
    expected, theirs = trained()
    assert losses == pytest.approx(theirs, rel=1e-4)
    before = initial.draw(CODER, 1)
    for name, value in expected.items():
        if name in FROZEN:
            assert_array_equal(value, before[name])
            assert_array_equal(found[name], before[name])
        else:
            moved = np.linalg.norm(value - before[name])
            assert moved > 0
            assert np.linalg.norm(found[name] - value) < NEAR["fp32"] * np.linalg.norm(value)
