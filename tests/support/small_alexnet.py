"""An alexnet of an eighth of the width with loud weights and a lopsided batch, for tests of whole plans."""

import dataclasses
import hashlib
import math

import numpy as np
import pytest

from cualex import networks
from cualex.plan import Plan
from cualex.weights.parameters import Parameters

# How far an update may be from the host's, in relative norm. Where a value is near to changing sides at a ReLU, or near
# to its rival in a window, rounding by u sends its gradient elsewhere: about 4 u of the values (the share within u of
# a rival, of up to nine) at each of the 7 ReLUs and 3 pools; what goes elsewhere adds in squares: sqrt(10 * 4 * u).
ELSEWHERE = {"fp32": 1e-4, "tf32": math.sqrt(40 * 2.0**-11), "bf16": math.sqrt(40 * 2.0**-8)}

# How far a tensor may be from the host's, in relative norm. fp32: sums in another order. TF32 rounds
# both operands of each product by up to 2^-11 of themselves; a gradient of conv1 has come through 8 products up and 8
# down, whose errors are independent: sqrt(16) times two of these (here no value changes sides; test_cuda_whole.py).
# In bfloat16 every map is rounded, and where two values of a window become equal the gradient goes to another place,
# 17 % of conv1's in norm: so the host rounds as well, after each step; what is left are sums that fall to the other
# side of a rounding, less than one rounding a product.
NEAR = {"fp32": 1e-4, "tf32": 2 * 4 * 2.0**-11, "bf16": 4 * 2.0**-8}

BATCH = 5


def network(**arguments):
    """Build the network; 16 stands for 128 channels, 24 for 192 and 256 for 2048."""
    return networks.build("alexnet", **{"classes": 10, "crop": 67, "width": 1 / 8, **arguments})


def tensors(net, seed=0):
    """Draw weights that keep the size of the maps, so that every layer is heard."""
    rng = np.random.default_rng(seed)
    return {
        name: rng.normal(0, math.sqrt(2 / math.prod(shape[1:])) if shape[1:] else 0.3, shape).astype(np.float32)
        for name, shape in net.parameters().items()
    }


def parameters(device="cpu", net=None, **settings):
    """Make parameters and load the weights; skip the test where this machine has too few GPUs for the placement."""
    enough(device, settings.get("runtime"))
    net = net or network()
    made = Parameters(net, device, **settings)
    made.load(tensors(net))
    return made


def enough(device, runtime):
    """Skip the test where a placement names a second GPU and there is one."""
    if "cuda:1" in device and runtime.count() < 2:
        pytest.skip("this machine has one GPU")


def plan(made, mode="train", batch=BATCH, **settings):
    """Make a plan with a batch in it: other crops for each picture, one of them not counted."""
    rng = np.random.default_rng(1)
    stored, crop = made.network.stored, made.network.crop
    built = Plan(made, batch, mode, **settings)
    pictures = rng.integers(0, 256, (batch, stored, stored, 3), np.uint8)
    pictures[:, :, stored // 3 :, 0] //= 3
    views = np.column_stack([rng.integers(0, stored - crop + 1, (batch, 2)), np.arange(batch) % 2])
    labels = rng.integers(0, made.network.classes, batch)
    labels[1] = -1
    built.put(pictures, views, labels)
    built.put_mean(rng.normal(100, 20, (stored, stored, 3)).astype(np.float32))
    return built


def digest(made):
    """Return a hash of all weights and velocities."""
    every = {**made.unload(), **{f"velocity.{name}": v for name, v in made.unload_velocities().items()}}
    total = hashlib.sha256()
    for name in sorted(every):
        total.update(name.encode() + every[name].tobytes())
    return total.hexdigest()


def train(made, updates=3, **settings):
    """Run a few updates on the same batch, and return the plan."""
    built = plan(made, **settings)
    for step in range(updates):
        built.control.step = step
        built.run()
    return built


def different(one, other):
    """Return what the layers of two networks have that differs: (name, field) -> values; a missing layer is None."""
    found = {}
    for name in {**one.layers, **other.layers}:
        layers = one.layers.get(name), other.layers.get(name)
        if None in layers or type(layers[0]) is not type(layers[1]):
            found[name] = layers
            continue
        for field in dataclasses.fields(layers[0]):
            values = tuple(getattr(layer, field.name) for layer in layers)
            if values[0] != values[1]:
                found[name, field.name] = values
    return found
