"""Small networks of every name, with weights that keep the size of the maps, as the page opens them."""

import math
from functools import cache

import numpy as np
import pytest

from cualex import networks
from cualex.page.seeing import Seer
from cualex.weights import Weights

# A narrow one of each name, of few pixels; the rest of its arguments is the network's own.
SMALL = {
    "alexnet": {"width": 1 / 16, "crop": 67},
    "alexnet-one-tower": {"width": 1 / 16, "crop": 67},
    "alexnet-2012": {"width": 1 / 16, "crop": 68},
    "alexnet-caffe": {"width": 1 / 16, "crop": 67},
    "caffenet": {"width": 1 / 16, "crop": 67},
    "alexnet-torchvision": {"width": 1 / 16, "crop": 67},
    "alexnet-tanh": {"width": 1 / 16},
    "alexnet-batchnorm": {"width": 1 / 16},
    "cifar-relu": {},
    "cifar-tanh": {},
    "lenet5": {},
}

FEW = (
    "alexnet",
    "alexnet-2012",
    "alexnet-caffe",
    "lenet5",
)  # the others are slow tests
EACH = [pytest.param(name, marks=() if name in FEW else pytest.mark.slow) for name in SMALL]


def weights(name="alexnet", classes=5, seed=0, **arguments):
    """Return weights of a small network."""
    network = networks.build(name, **{"classes": classes, **SMALL[name], **arguments})
    rng = np.random.default_rng(seed)
    tensors = {}
    for tensor, shape in network.tensors().items():
        drawn = rng.standard_normal(shape).astype(np.float32)
        tensors[tensor] = drawn * np.float32(math.sqrt(2 / math.prod(shape[1:])) if shape[1:] else 0.3)
        if tensor.endswith(".variance"):
            tensors[tensor] = np.abs(tensors[tensor]) + 1
    mean = rng.uniform(90, 140, (network.stored, network.stored, 3)).astype(np.float32)
    return Weights(network, tensors, [f"class {number}" for number in range(classes)], mean)


@cache
def diverged(name="alexnet"):
    """Return a network whose values overflow from its second convolution on, as of a training that diverges."""
    found = weights(name)
    found.tensors["conv2.weight"] *= np.float32(1e37)
    return Seer(found)


@cache
def seer(name="alexnet"):
    """Return the small network of a name; tests that share it leave it as it is."""
    return Seer(weights(name))


def image(network, seed=1):
    """Return an image as a network stores it: loud, and another on every side."""
    rng = np.random.default_rng(seed)
    drawn = rng.integers(0, 256, (network.stored, network.stored, 3), np.uint8)
    drawn[:, : network.stored // 3, 0] //= 3
    return drawn
