"""Weights written down with a tower's own inputs first, as fc7's of 2012: a single one lands where it should."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from cualex.layers import Conv, Dense, Exchange, Join, Softmax
from cualex.networks import Network
from cualex.plan import Plan
from cualex.weights.parameters import Parameters

UNITS, OUTPUTS = 3, 2  # of one tower
PLACEMENTS = ["cpu", "cpu,cpu", "cuda:0", "cuda:0,cuda:0"]


def network(own_first, reader):
    """Read the picture in two towers, exchange, read both in `reader`, join, and name one of three classes."""
    layers = {
        "conv1": Conv(UNITS, size=3),
        "exchange2": Exchange(own_first=own_first),
        "read2": reader,
        "join3": Join(),
        "fc3": Dense(3),
        "softmax": Softmax(),
    }
    return Network("own-first", layers, 2, 3, 3, stored=3)


@pytest.fixture(params=PLACEMENTS)
def settings(request):
    """Say where to compute; the GPUs are emulated, and compute in fp32."""
    if request.param.startswith("cuda"):
        runtime = request.getfixturevalue("emulated")()
        return {"device": request.param, "runtime": runtime, "precision": "fp32"}
    return {"device": request.param}


READERS = [Dense(OUTPUTS), Conv(OUTPUTS, size=1)]
every_reader = pytest.mark.parametrize("reader", READERS, ids=["dense", "conv"])


def tensors(net, weight):
    """Let unit u of conv1, of both towers together, be u + 1 whatever the picture."""
    found = {name: np.zeros(shape, np.float32) for name, shape in net.parameters().items()}
    found["conv1.bias"] = np.arange(1, 2 * UNITS + 1, dtype=np.float32)
    found["read2.weight"] = weight.reshape(found["read2.weight"].shape)
    return found


def run(net, given, settings):
    made = Parameters(net, **settings)
    made.load(given)
    plan = Plan(made, 2, "train", sink="keep", outputs=("read2",))
    plan.put(np.zeros((2, 3, 3, 3), np.uint8), np.zeros((2, 3), np.int32), np.array([1, 0]))
    plan.run()
    return made, plan


@every_reader
def test_a_single_one_is_where_it_was_put(settings, reader):
    """Row r of tower t with a one in column c reads unit c of tower t, or from UNITS on of the other."""
    net = network(True, reader)
    weight = np.zeros((2 * OUTPUTS, 2 * UNITS), np.float32)
    weight[0, 1], weight[1, UNITS] = 1, 1  # the first tower: its own second unit, the other's first
    weight[2, 1], weight[3, UNITS] = 1, 1  # the second tower: the same of itself, and of the first
    given = tensors(net, weight)
    made, plan = run(net, given, settings)
    assert_array_equal(plan.output("read2")[0, :, 0, 0], [2, 4, 5, 1])
    for name, tensor in made.unload().items():
        assert_array_equal(tensor, given[name])


@every_reader
def test_gradients_come_back_in_the_same_order(settings, reader):
    """A weight's gradient is its output's times its input, 1 to 6 in the order in which the tower has them."""
    net = network(True, reader)
    given = tensors(net, np.zeros((2 * OUTPUTS, 2 * UNITS), np.float32))
    given["fc3.weight"] = np.eye(3, 2 * OUTPUTS, k=1, dtype=np.float32) + np.eye(3, 2 * OUTPUTS, dtype=np.float32)
    _, plan = run(net, given, settings)
    gradient = plan.gradients()["read2.weight"].reshape(2, OUTPUTS, 2 * UNITS)
    bias = plan.gradients()["read2.bias"].reshape(2, OUTPUTS)
    assert np.abs(bias).min() > 0.01
    for tower, order in enumerate(([1, 2, 3, 4, 5, 6], [4, 5, 6, 1, 2, 3])):
        np.testing.assert_allclose(gradient[tower], bias[tower][:, None] * order, rtol=1e-5)


def test_without_it_every_tower_has_the_order_of_the_towers():
    net = network(False, READERS[0])
    weight = np.zeros((2 * OUTPUTS, 2 * UNITS), np.float32)
    weight[[0, 2], 1] = 1
    _, plan = run(net, tensors(net, weight), {"device": "cpu"})
    assert_array_equal(plan.output("read2")[0, :, 0, 0], [2, 0, 2, 0])
