"""Parameters that are put on a device at once: the same as those loaded later, in memory of their own."""

import numpy as np
import pytest

from cualex import networks
from cualex.layers import BatchNorm, Conv, Dense, Grey, Softmax
from cualex.networks import Network
from cualex.weights import initial
from cualex.weights.parameters import Parameters


@pytest.mark.parametrize("device", ["cpu", "cpu,cpu"])
@pytest.mark.parametrize("precision", ["fp32", "fp64"])
def test_given_at_once_or_loaded_later_they_are_the_same(device, precision):
    network = networks.build("alexnet", classes=3, crop=67, width=1 / 64)
    tensors = initial.draw(network, 1)
    later = Parameters(network, device, precision=precision)
    later.load(tensors)
    once = Parameters(network, device, precision=precision, tensors=tensors)
    assert once.arrays.keys() == later.arrays.keys()
    for key, array in later.arrays.items():
        got = once.arrays[key]
        assert (got.dtype, got.shape, got.tobytes()) == (array.dtype, array.shape, array.tobytes())
        assert got.flags.c_contiguous
        assert got.flags.writeable
    back = once.unload()
    assert all(back[name].tobytes() == tensors[name].tobytes() for name in tensors)


def test_the_callers_tensors_are_not_the_devices_memory():
    """Also where the engine's order is the canonical one, so that packing returns a view: one map, one filter."""
    layers = {"grey": Grey(), "conv1": Conv(1, size=3), "norm1": BatchNorm(), "fc2": Dense(1), "softmax": Softmax()}
    network = Network("own", layers, 1, 1, 8, 8)
    tensors = initial.draw(network, 1) | {key: np.ones(shape, np.float32) for key, shape in network.state().items()}
    before = {key: tensor.tobytes() for key, tensor in tensors.items()}
    for array in Parameters(network, tensors=tensors).arrays.values():
        array += 1
    assert {key: tensor.tobytes() for key, tensor in tensors.items()} == before
