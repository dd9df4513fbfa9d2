"""alexnet-batchnorm against PyTorch, built from the lectures' table: scores, gradients, averages, updates.

The dropped units are those that cualex dropped: PyTorch draws others. PyTorch's own running variance is another one
(unbiased, and it calls momentum what is new), so the averages are made here from what its layers saw.
"""

import math

import numpy as np
import pytest

from cualex import networks
from cualex.plan import Plan
from cualex.weights.parameters import Parameters

torch = pytest.importorskip("torch", reason="PyTorch is not installed: no second opinion on whole networks")

from torch import nn  # noqa: E402 (it needs torch)
from torch.nn import functional  # noqa: E402

UNIT = 2.0**-24
HIDDEN = (6, 7, 8)
SIZES = {  # crop, width, batch: the smallest crop and an eighth of the filters; and all of it
    "an eighth": (215, 1 / 8, 4),
    "whole": (224, 1.0, 2),
}


class Norm(nn.Module):
    """Normalise by the batch, or by averages that every batch moves by a hundredth."""

    def __init__(self, channels):
        super().__init__()
        self.weight, self.bias = (nn.Parameter(torch.empty(channels)) for _ in range(2))
        self.mean, self.variance = torch.zeros(channels).double(), torch.ones(channels).double()

    def forward(self, x):
        if not self.training:
            return functional.batch_norm(x, self.mean, self.variance, self.weight, self.bias, eps=1e-3)
        over = [0, 2, 3][: x.ndim - 1]
        with torch.no_grad():
            self.mean = 0.99 * self.mean + 0.01 * x.mean(over)
            self.variance = 0.99 * self.variance + 0.01 * x.var(over, unbiased=False)
        return functional.batch_norm(x, None, None, self.weight, self.bias, training=True, eps=1e-3)


class Lectures(nn.Module):
    """Be the network of the lectures: ReLU, pool or dropout, norm."""

    def __init__(self, classes, width):
        super().__init__()
        filters, units = ([round(n * width) for n in each] for each in ((96, 256, 384, 384, 256), (4096, 4096, 1000)))
        sizes = ((11, 4), (11, 1), (3, 1), (3, 1), (3, 1))
        inputs = 3
        for number, (outputs, (size, stride)) in enumerate(zip(filters, sizes, strict=True), 1):
            self.add_module(f"conv{number}", nn.Conv2d(inputs, outputs, size, stride))
            self.add_module(f"norm{number}", Norm(outputs))
            inputs = outputs
        for number, outputs in enumerate(units, 6):
            self.add_module(f"fc{number}", nn.Linear(inputs, outputs))
            self.add_module(f"norm{number}", Norm(outputs))
            inputs = outputs
        self.fc9 = nn.Linear(inputs, classes)
        self.masks = {}

    def forward(self, x):
        for number in range(1, 6):
            x = functional.relu(getattr(self, f"conv{number}")(x))
            if number in (1, 2, 5):
                x = functional.max_pool2d(x, 2)
            x = getattr(self, f"norm{number}")(x)
        x = x.flatten(1)
        for number in HIDDEN:
            x = functional.relu(getattr(self, f"fc{number}")(x))
            if self.training:
                x = x * self.masks[number] / 0.6
            x = getattr(self, f"norm{number}")(x)
        return self.fc9(x)


class Problem:
    """Loud weights and averages, and a lopsided batch, one picture of which is not counted."""

    def __init__(self, size, precision="fp64", seed=3):
        crop, width, self.batch = SIZES[size]
        self.network = networks.build("alexnet-batchnorm", crop=crop, width=width)
        rng, self.tensors = np.random.default_rng(seed), {}
        for name, shape in self.network.tensors().items():
            spread = 0.4 if len(shape) == 1 else math.sqrt(2 / math.prod(shape[1:]))
            middle = 1.0 if name.startswith("norm") and name.endswith(("weight", "variance")) else 0.0
            self.tensors[name] = rng.normal(middle, spread, shape).astype(np.float32)
            if name.endswith("variance"):
                self.tensors[name] = np.abs(self.tensors[name]) + np.float32(0.1)
        stored = self.network.stored
        self.pictures = rng.integers(0, 256, (self.batch, stored, stored, 3), np.uint8)
        self.pictures[:, :, stored // 3 :, 0] //= 3
        self.mean = rng.uniform(80, 140, (stored, stored, 3)).astype(np.float32)
        offsets = rng.integers(0, stored - crop + 1, (self.batch, 2))
        self.views = np.column_stack([offsets, np.arange(self.batch) % 2]).astype(np.int32)
        self.labels = np.array([3, -1, 16, 0][: self.batch], np.int32)
        self.parameters = Parameters(self.network, precision=precision)
        self.parameters.load(self.tensors)

    def plan(self, mode="train", **settings):
        """Make a plan with everything put in, whose scores and dropped units are kept."""
        kept = [f"{kind}{number}" for number in HIDDEN for kind in ("relu", "drop")]
        plan = Plan(self.parameters, self.batch, mode, outputs=("fc9", *kept), **settings)
        plan.put_mean(self.mean)
        plan.put(self.pictures, self.views, self.labels)
        return plan

    def twin(self):
        """Make the network in PyTorch, in float64, with the crops it reads and the labels."""
        twin = Lectures(self.network.classes, SIZES["whole" if self.batch == 2 else "an eighth"][1]).double()
        own = dict(twin.named_parameters())
        for name, tensor in self.tensors.items():
            given = torch.from_numpy(tensor.astype(np.float64))
            if name in own:
                own[name].data.copy_(given)
            else:
                layer, _, last = name.partition(".")
                setattr(getattr(twin, layer), last, given)
        crops = []
        for picture, (row, column, mirror) in zip(self.pictures, self.views, strict=True):
            place = slice(row, row + self.network.crop), slice(column, column + self.network.crop)
            crop = (picture[place] - self.mean[place].astype(np.float64)) / 255
            crops.append((crop[:, ::-1] if mirror else crop).transpose(2, 0, 1))
        return twin, torch.from_numpy(np.array(crops)), torch.from_numpy(self.labels.astype(np.int64))


def drop_alike(twin, plan):
    """Let PyTorch drop what the plan dropped; of units that are 0 it makes no difference."""
    for number in HIDDEN:
        before, after = (plan.output(f"{kind}{number}")[..., 0, 0] for kind in ("relu", "drop"))
        assert 0.25 < (after[before > 0] == 0).mean() < 0.55
        twin.masks[number] = torch.from_numpy((after > 0).astype(np.float64))


def averages(twin):
    """Return the running averages by cualex's names."""
    layers = {name: layer for name, layer in twin.named_children() if isinstance(layer, Norm)}
    return {f"{n}.{last}": getattr(norm, last).numpy() for n, norm in layers.items() for last in ("mean", "variance")}


def off(found, wanted):
    """Return the norm of the difference as a share of the norm."""
    found, wanted = np.asarray(found, np.float64), np.asarray(wanted, np.float64)
    assert found.shape == wanted.shape
    return np.linalg.norm(found - wanted) / np.linalg.norm(wanted)


def gradients(twin, crops, labels):
    """Return scores, loss, and every gradient."""
    twin.zero_grad()
    scores = twin(crops)
    loss = functional.cross_entropy(scores, labels, ignore_index=-1)
    loss.backward()
    return scores.detach(), loss.item(), {name: each.grad.clone() for name, each in twin.named_parameters()}


def check(problem, plan, allowed):
    """Hold scores, loss, every gradient and the averages of a plan that has run, its sink "keep", to PyTorch.

    `allowed` says by how much each may be off: a function of its name.
    """
    twin, crops, labels = problem.twin()
    drop_alike(twin, plan)
    scores, loss, wanted = gradients(twin, crops, labels)
    assert plan.result.loss == pytest.approx(loss, rel=allowed("loss"))
    found = plan.gradients()
    assert found.keys() == wanted.keys()
    shares = {name: off(found[name], wanted[name]) for name in wanted}
    shares["scores"] = off(plan.output("fc9")[..., 0, 0], scores)
    held = problem.parameters.unload()
    shares |= {name: off(held[name], average) for name, average in averages(twin).items()}
    assert {name: share for name, share in shares.items() if not share <= allowed(name)} == {}


def rounded_once(name):
    """Allow what float64 is off: it is rounded on its way out."""
    return UNIT


def as_good_as_torch(problem, plan):
    """Allow three times what PyTorch is off in float32, and a few roundings.

    Where the values of a channel are few and near each other, their norm amplifies every rounding below it: there is
    no bound that tells much, but both amplify the same.
    """
    twin, crops, labels = problem.twin()
    drop_alike(twin, plan)
    exact = gradients(twin, crops, labels)
    low = problem.twin()[0].float()
    low.masks = {number: mask.float() for number, mask in twin.masks.items()}
    for norm in (each for each in low.modules() if isinstance(each, Norm)):
        norm.mean, norm.variance = norm.mean.float(), norm.variance.float()
    scores, loss, found = gradients(low, crops.float(), labels)
    shares = {name: off(found[name], exact[2][name]) for name in found}
    shares |= {"scores": off(scores, exact[0]), "loss": abs(loss - exact[1]) / exact[1]}
    fine, coarse = averages(twin), averages(low)
    shares |= {name: off(coarse[name], fine[name]) for name in fine}
    return lambda name: 3 * shares[name] + 64 * UNIT


SLOW = pytest.param("whole", marks=pytest.mark.slow)


@pytest.mark.parametrize("size", ["an eighth", SLOW])
def test_training_gives_scores_gradients_and_averages(size):
    problem = Problem(size)
    plan = problem.plan(sink="keep")
    plan.run()
    check(problem, plan, rounded_once)


@pytest.mark.slow
def test_training_without_fusing():
    problem = Problem("an eighth")
    plan = problem.plan(sink="keep", fuse=False)
    plan.run()
    check(problem, plan, rounded_once)


@pytest.mark.slow
def test_training_in_float32():
    problem = Problem("an eighth", "fp32")
    plan = problem.plan(sink="keep")
    plan.run()
    check(problem, plan, as_good_as_torch(problem, plan))


@pytest.mark.parametrize("size", ["an eighth", SLOW])
def test_inference_uses_the_averages(size):
    problem = Problem(size)
    plan = problem.plan("infer")
    plan.run()
    twin, crops, _ = problem.twin()
    assert off(plan.output("fc9")[..., 0, 0], twin.eval()(crops).detach()) <= UNIT


@pytest.mark.parametrize(("size", "updates"), [("an eighth", 3), pytest.param("whole", 1, marks=pytest.mark.slow)])
def test_updates(size, updates):
    """Weights, velocities and averages; see test_against_torch.py for why the two rules are one.

    Norms over a few values amplify roundings: one of the first update is many in the third, and over batches of two
    pictures float64 itself is not enough for a second.
    """
    problem, rate, allowed = Problem(size), 0.002, 16 * UNIT
    plan = problem.plan()
    plan.control.rate, plan.control.momentum, plan.control.decay = rate, 0.9, 0.0005
    twin, crops, labels = problem.twin()
    own = dict(twin.named_parameters())
    decaying = [each for name, each in own.items() if name.endswith("weight") and each.ndim > 1]
    others = [each for each in own.values() if not any(each is one for one in decaying)]
    groups = [{"params": decaying, "weight_decay": 0.0005}, {"params": others, "weight_decay": 0.0}]
    optimizer = torch.optim.SGD(groups, lr=rate, momentum=0.9)
    for step in range(updates):
        plan.control.step = step
        plan.run()
        drop_alike(twin, plan)
        _, loss, _ = gradients(twin, crops, labels)
        optimizer.step()
        assert plan.result.loss == pytest.approx(loss, rel=allowed)
    velocities, held = plan.parameters.unload_velocities(), plan.parameters.unload()
    for name, wanted in own.items():
        velocity = -rate * optimizer.state[wanted]["momentum_buffer"].numpy()
        assert off(velocities[name], velocity) <= allowed, name
        assert off(held[name], wanted.detach()) <= allowed, name
    for name, wanted in averages(twin).items():
        assert off(held[name], wanted) <= allowed, name
    assert velocities.keys() == own.keys()  # the averages have none
