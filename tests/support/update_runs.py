"""Small trainings under an update rule: factors of the rate, frozen layers, parts of a batch."""

import numpy as np

from cualex.plan import Plan
from tests.support import small_alexnet

RATE = 1e-3


def frozen(net, *layers):
    """Return the factors that freeze these layers."""
    return {name: 0.0 for name in net.parameters() if name.partition(".")[0] in layers}


def batch(network, pictures=6):
    """Draw a batch whose pictures all count, with colours."""
    rng = np.random.default_rng(1)
    given = rng.integers(0, 256, (pictures, network.stored, network.stored, 3), np.uint8)
    views = np.column_stack([rng.integers(0, 5, (pictures, 2)), np.arange(pictures) % 2])
    colours = rng.normal(0, 20, (pictures, 3)).astype(np.float32)
    return given, views, rng.integers(0, network.classes, pictures), colours


def run(made=None, updates=1, colours=None, **settings):
    """Train on the same batch; return the plan."""
    made = made or small_alexnet.parameters()
    plan = Plan(made, 6, **settings)
    pictures, views, labels, drawn = batch(made.network)
    plan.put(pictures, views, labels, drawn if colours is None else colours)
    for step in range(updates):
        plan.control.step, plan.control.rate = step, RATE
        plan.run()
    return plan


def after(updates=1, **settings):
    """Return the weights after some updates."""
    return run(updates=updates, **settings).parameters.unload()


def differing(one, other):
    """Name the parameters that are not the same to the bit."""
    return {name for name in one if not np.array_equal(one[name], other[name])}


def layers(names):
    return {name.partition(".")[0] for name in names}


def kept(precision="fp64", dropout=0.5, **settings):
    """Return the gradients of the batch, and the plan."""
    made = small_alexnet.parameters(net=small_alexnet.network(dropout=dropout), precision=precision)
    plan = run(made, sink="keep", **settings)
    return plan.gradients(), plan


def apart(one, other):
    """Say how far two sets of gradients are apart: the largest relative norm."""
    return max(np.linalg.norm(one[name] - other[name]) / np.linalg.norm(other[name]) for name in other)


# In float64 the parts' sums are the whole batch's in another order: a gradient is a sum of at most 6 * 15 * 15 terms,
# each through 16 products of at most 1,200 terms, and errors grow as the root. Gradients come out as float32.
NEAR = 2.0**-23 + 2.0**-53 * 16 * np.sqrt(1200) * np.sqrt(6 * 15 * 15)
