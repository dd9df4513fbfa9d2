"""Parameters that are put on a device at once: the same as those loaded later, in memory of their own."""

import numpy as np
import pytest

from cualex import networks
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


@pytest.mark.parametrize("name", ["alexnet", "cifar-relu", "lenet5", "alexnet-batchnorm"])
def test_the_callers_tensors_are_not_the_devices_memory(name):
    """Also where the engine's order is the canonical one, so that packing could return a view."""
    sizes = {"classes": 3, "crop": 67, "width": 1 / 64} if name == "alexnet" else {"classes": 1}
    network = networks.build(name, **sizes)
    tensors = initial.draw(network, 1) | {key: np.ones(shape, np.float32) for key, shape in network.state().items()}
    read_only = {key: tensor.copy() for key, tensor in tensors.items()}
    for tensor in read_only.values():
        tensor.flags.writeable = False
    parameters = Parameters(network, tensors=read_only)
    for array in parameters.arrays.values():
        array += 1
    assert all(read_only[key].tobytes() == tensors[key].tobytes() for key in tensors)
