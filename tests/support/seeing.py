"""A small model with loud weights and images, for tests of what a network sees."""

import numpy as np

from cualex.model import Model
from cualex.weights import Weights
from cualex.weights.parameters import Parameters
from tests.support import small_alexnet


def model(device="cpu", precision="fp64", net=None, runtime=None, seed=0):
    """Make a model, by default an alexnet of two towers and an eighth of the width that computes in float64."""
    net = net or small_alexnet.network()
    rng = np.random.default_rng(7)
    mean = rng.uniform(90, 140, (net.stored, net.stored, 3)).astype(np.float32)
    weights = Weights(net, small_alexnet.tensors(net, seed), [f"class {i}" for i in range(net.classes)], mean)
    if runtime is None:
        return Model(weights, device, precision)
    parameters = Parameters(net, device, precision=precision, runtime=runtime)
    parameters.load(weights.tensors)
    return Model(weights, parameters=parameters)


def images(net, count, seed=11):
    """Draw images of the network's stored size, smooth and of other colours each: uint8 (count, stored, stored, 3)."""
    rng, side = np.random.default_rng(seed), net.stored
    coarse = rng.uniform(0, 255, (count, 8, 8, 3))
    at = np.arange(side) * 8 // side
    fine = coarse[:, at][:, :, at] + rng.normal(0, 10, (count, side, side, 3))
    return np.clip(fine, 0, 255).astype(np.uint8)
