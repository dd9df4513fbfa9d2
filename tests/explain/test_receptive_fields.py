"""Receptive fields: the published ones of alexnet, and those that changing pixels shows."""

import numpy as np
import pytest

from cualex import networks
from cualex.errors import UsageError
from cualex.explain import ReceptiveField, receptive_field
from cualex.layers import LRN, AveragePool, Conv, Dense, MaxPool, ReLU, Softmax, SpatialLRN
from cualex.networks import Network
from cualex.plan import ExplainPlan
from tests.support import small_alexnet

MIXED = Network(
    "mixed",
    {
        "conv1": Conv(6, size=5, stride=2, pad=1),
        "relu1": ReLU(),
        "norm1": LRN(alpha=1.0),
        "pool1": MaxPool(size=3, stride=2, round_up=True),
        "conv2": Conv(8, size=3, pad=1),
        "rnorm2": SpatialLRN(n=3, alpha=1.0),
        "pool2": AveragePool(size=2, stride=1),
        "fc3": Dense(4),
        "softmax": Softmax(),
    },
    1,
    4,
    31,
    stored=31,
)


def test_those_of_alexnet():
    """Size, stride: 11, 4 of conv1; 195 and 32 of pool5, as published calculators have them."""
    network = networks.build("alexnet")
    expected = {"conv1": (11, 4), "pool1": (19, 8), "conv2": (51, 8), "pool2": (67, 16), "conv3": (99, 16)}
    expected |= {"conv4": (131, 16), "conv5": (163, 16), "pool5": (195, 32)}
    found = {name: receptive_field(network, name) for name in expected}
    assert {name: (each.size, each.stride) for name, each in found.items()} == expected
    assert receptive_field(network, "norm1") == receptive_field(network, "conv1") == ReceptiveField(11, 4, 0, 227)
    assert receptive_field(network, "exchange3") == receptive_field(network, "pool2")
    for layer in ("fc6", "fc8", "softmax"):
        assert receptive_field(network, layer).box(0, 0) == (0, 0, 227, 227)


@pytest.mark.parametrize("layer", [name for name in MIXED.layers if name != "softmax"])
def test_no_other_pixel_changes_a_unit_and_the_outermost_do(layer):
    rng, side = np.random.default_rng(5), MIXED.crop
    made = small_alexnet.parameters(net=MIXED)
    plan, images = ExplainPlan(made, 8, layer), rng.normal(0, 1, (8, 3, side, side)).astype(np.float32)

    def output(values):
        plan.put(values)
        plan.forward()
        return plan.output(layer)

    before, field = output(images), receptive_field(MIXED, layer)
    rows, columns = before.shape[2:]
    for row, column in {(0, 0), (rows - 1, columns // 2), (rows // 2, columns - 1), (rows // 2, 0)}:
        top, left, bottom, right = field.box(row, column)
        outside = np.ones((side, side), bool)
        outside[top:bottom, left:right] = False
        changed = output(np.where(outside, images + 9, images))
        assert np.array_equal(changed[:, :, row, column], before[:, :, row, column]), (row, column)
        for edge in (np.s_[top, left:right], np.s_[bottom - 1, left:right], np.s_[top:bottom, right - 1]):
            moved = images.copy()
            moved[(..., *edge)] += 9
            assert (output(moved)[:, :, row, column] != before[:, :, row, column]).any(), (row, column, edge)


def test_a_layer_that_is_not_there_is_said():
    with pytest.raises(UsageError, match=r"^mixed has no layer 'conv9'; its layers are conv1, "):
        receptive_field(MIXED, "conv9")
