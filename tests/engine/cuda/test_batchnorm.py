"""The kernels of batch normalisation under every schedule of threads, in the checked build, and in a whole network."""

import numpy as np
import pytest

from cualex import networks
from cualex.devices.cuda import CudaDevice
from cualex.weights.initial import draw
from cualex.weights.parameters import Parameters
from tests.support import small_alexnet
from tests.support.benches import Bench
from tests.support.planted_kernels import planted
from tests.support.work_on_maps import SCHEDULES, bits, every_precision

SPLIT = "cualex.engine.cuda.batchnorm.SHORTEST"


@pytest.fixture(autouse=True)
def cut_up(monkeypatch):
    """Let maps as small as these have several splits."""
    monkeypatch.setattr(SPLIT, 40)


def batchnorm(bench, rng, shape):
    """Do all that a training step and an inference do, with sinks that keep and one that updates."""
    module, (towers, *_, channels) = bench.engine.batchnorm, shape
    x, dy, y, dx = (
        bench.put(rng.normal(3, 2, shape)),
        bench.put(rng.normal(size=shape)),
        *empties(bench, 2, shape),
    )
    numbers = [bench.put(rng.uniform(0.5, 2, (towers, channels)), np.float32) for _ in range(5)]
    weight, bias, velocity, running_mean, running_variance = numbers
    mean, variance, gradient = empties(bench, 3, (towers, channels), np.float32)
    sinks = bench.engine.update.Momentum(bias, velocity, None, False), bench.engine.update.Keep(gradient)
    module.forward(bench.device, x, weight, bias, y, mean, variance, epsilon=0.5)
    module.backward(bench.device, x, weight, mean, variance, dy, dx, *sinks, epsilon=0.5, relu=True)
    module.average(bench.device, mean, variance, running_mean, running_variance, momentum=0.9, control=None)
    infer = bench.empty(shape)
    module.infer(bench.device, x, weight, bias, running_mean, running_variance, infer, epsilon=0.5)
    module.backward_frozen(bench.device, x, weight, running_variance, dy, dy, epsilon=0.5)
    return [y, dx, dy, infer, mean, variance, gradient, *numbers]


def empties(bench, count, shape, dtype=None):
    return [bench.empty(shape, dtype) for _ in range(count)]


@every_precision
def test_every_schedule_gives_the_same_bits(emulated, precision):
    first = bits(emulated(), precision, batchnorm)
    for schedule in SCHEDULES:
        assert bits(emulated(schedule=schedule), precision, batchnorm) == first


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["fp32", pytest.param("bf16", marks=pytest.mark.slow)])
def test_the_checked_build_finds_nothing(emulated, precision):
    assert bits(emulated(checked=True), precision, batchnorm) == bits(emulated(), precision, batchnorm)


@pytest.mark.emulator
def test_a_missing_barrier_is_caught(emulated):
    from tests.emulator import EmulationError

    runtime = planted(emulated, "    for (int o", "    __syncthreads();\n    for (int o")
    right = bits(emulated(), "fp32", batchnorm)
    try:
        wrong = any(bits(runtime(schedule=each), "fp32", batchnorm) != right for each in SCHEDULES)
    except EmulationError:
        wrong = True
    if not wrong:
        with pytest.raises(EmulationError):
            bits(runtime(checked=True), "fp32", batchnorm)


@pytest.mark.slow
@every_precision
def test_maps_are_written_in_whole_sectors(emulated, precision):
    runtime = emulated(lint=True)
    bench = Bench(CudaDevice("cuda:0", runtime, 0, precision))
    bench.begin()
    batchnorm(bench, np.random.default_rng(2012), (1, 2, 9, 13, 48))
    runtime.synchronize()
    assert runtime.requests
    for place, found in runtime.requests.items():
        allowed = {("global", "write"): 1.15, ("shared", "write"): 1.15}.get(place[1:], np.inf)
        assert found.cost <= allowed * found.ideal, (place, found)


@pytest.mark.slow
@pytest.mark.parametrize(("precision", "near"), [("fp32", 1e-4), ("bf16", 0.2)])
def test_a_training_step_of_the_whole_network(emulated, precision, near):
    """A sixteenth of its width, against the host; the averages tell of every layer's maps."""
    net = networks.build("alexnet-batchnorm", classes=5, crop=215, width=1 / 16)
    found = []
    for settings in ({}, {"device": "cuda:0", "runtime": emulated(), "precision": precision}):
        made = Parameters(net, **settings)
        made.load(draw(net, 0))
        plan = small_alexnet.plan(made, batch=4)
        plan.run()
        found.append((plan.result.loss, made.unload()))
    (loss, wanted), (got, held) = found
    assert got == pytest.approx(loss, rel=near)
    start = draw(net, 0)
    for name in wanted:
        moved = np.linalg.norm(wanted[name] - start[name])
        assert moved > 0, name
        if precision == "fp32" or name in net.state():
            assert np.linalg.norm(held[name] - wanted[name]) <= 10 * near * moved, name
