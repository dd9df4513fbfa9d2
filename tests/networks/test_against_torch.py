"""Whole networks against PyTorch: scores, every gradient, and five updates.

Each tensor is held to one number, the norm of the difference as a share of its own norm. Element by element
nothing can be promised: rounding may let a ReLU or a pool decide otherwise, and then a few elements are far off.
The pictures here come from seeds at which no decision is near, which a test checks.
"""

import copy
import dataclasses

import numpy as np
import pytest

from cualex import networks
from cualex.layers import Dropout

torch = pytest.importorskip("torch", reason="PyTorch is not installed: no second opinion on whole networks")

from tests.support.torch_problem import (  # noqa: E402 (it needs torch)
    EIGHTH,
    FULL,
    NEAR,
    NETWORKS,
    PAIRS,
    UNIT,
    Problem,
    allowed,
    check,
    off,
)


@pytest.fixture(scope="module")
def problems():
    """Make each problem once."""
    made = {}
    return lambda name: made.setdefault(name, Problem(name))


@pytest.mark.parametrize("name", NETWORKS)
def test_no_decision_is_near(problems, name):
    twin, crops, _ = problems(name).twin()
    assert twin.closest(crops) > NEAR


SLOW = pytest.param(FULL, "fp64", marks=pytest.mark.slow)


@pytest.mark.parametrize(("name", "precision"), [SLOW if pair == (FULL, "fp64") else pair for pair in PAIRS])
def test_scores_loss_and_every_gradient(problems, name, precision):
    problem = problems(name)
    plan = problem.plan(precision=precision, sink="keep", outputs=(problem.scores,))
    plan.run()
    check(problem, plan, precision)


@pytest.mark.parametrize("settings", [{"fuse": False}, {"device": "cpu,cpu"}], ids=["not fused", "two places"])
def test_other_plans_of_the_same_network(problems, settings):
    problem = problems(EIGHTH)
    plan = problem.plan(precision="fp64", sink="keep", outputs=(problem.scores,), **settings)
    plan.run()
    check(problem, plan, "fp64")


@pytest.mark.parametrize("inverted", [False, True], ids=["classic", "inverted"])
def test_inference_with_dropout(problems, inverted):
    """Classic dropout multiplies by the share kept at test; fc7 and fc8 see it."""
    problem = copy.copy(problems(EIGHTH))
    plain = problem.network
    dropped = {**plain.layers, "drop6": Dropout(0.25, inverted), "drop7": Dropout(0.75, inverted)}
    order = networks.find("alexnet")().layers
    problem.network = dataclasses.replace(plain, layers={name: dropped[name] for name in order})
    twin, crops, _ = problem.twin()
    plan = problem.plan("infer", precision="fp64", outputs=("fc8",))
    plan.run()
    assert off(plan.output("fc8")[..., 0, 0], twin.eval()(crops).detach()) <= UNIT


@pytest.mark.parametrize(
    ("name", "precision", "rate", "decay"),
    [
        pytest.param(EIGHTH, "fp64", 5e-5, 0.5, id="an eighth, loud decay, fp64"),
        pytest.param(EIGHTH, "fp32", 5e-5, 0.5, id="an eighth, loud decay, fp32"),
        pytest.param(FULL, "fp32", 1e-6, 0.0005, id="full width, the paper's decay", marks=pytest.mark.slow),
    ],
)
def test_five_updates(problems, name, precision, rate, decay):
    """The paper's rule and PyTorch's are one rule as long as the rate stays.

    PyTorch keeps b <- 0.9 b + (g + decay w) and takes w <- w - rate b. With v = -rate b that reads
    v <- 0.9 v - rate g - rate decay w and w <- w + v: section 5 of the paper. When the rate changes, the paper's
    velocity keeps the steps as they were made, while PyTorch's are all made anew with the new rate.
    """
    problem = problems(name)
    twin, crops, labels = problem.twin()
    optimizer = twin.optimizer(rate, 0.9, decay)
    plan = problem.plan(precision=precision)
    plan.control.rate, plan.control.momentum, plan.control.decay = rate, 0.9, decay
    losses = []
    for _ in range(5):
        assert twin.closest(crops) > NEAR
        scores, loss, _ = twin.gradients(crops, labels)
        losses.append(loss)
        optimizer.step()
        plan.run()
        size = scores.abs().max().item()  # a loss is a difference of scores
        assert plan.result.loss == pytest.approx(loss, rel=0, abs=5 * allowed(problem, precision) * size)
    assert min(losses[1:]) < 0.9 * losses[0]  # the updates did something
    weights, velocities = plan.parameters.unload(), plan.parameters.unload_velocities()
    for parameter, wanted in twin.canonical().items():
        velocity = -rate * optimizer.state[wanted]["momentum_buffer"].numpy()
        wanted, start = wanted.detach().numpy(), problem.tensors[parameter].astype(np.float64)
        tolerance = 5 * allowed(problem, precision)  # each step's gradient adds its share
        assert off(velocities[parameter], velocity) <= tolerance, parameter
        change = np.linalg.norm(wanted - start)
        rounding = 5 * UNIT * np.linalg.norm(wanted) / change  # of the weights themselves, each time
        assert off(weights[parameter] - start, wanted - start) <= tolerance + rounding, parameter
