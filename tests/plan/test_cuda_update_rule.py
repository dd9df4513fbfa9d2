"""Update rules, frozen layers and parts of a batch through the kernels in the emulator, on one GPU and on two."""

import gc
import weakref

import numpy as np
import pytest

from cualex.devices.cuda import CudaDevice
from cualex.plan.update_rule import Rule
from tests.support import small_alexnet
from tests.support.update_runs import RATE, batch, differing, frozen, layers, run

FACTORS = {"conv1.weight": 0.3, "conv1.bias": 2.0}
# Between the engines, in relative norm: sums in another order, and in bfloat16 maps that are rounded after each of 16
# products up and down, independently (test_cuda_plan.py).
NEAR = {"fp32": 1e-4, "bf16": 4 * 2.0**-8}


def parameters(emulated, device="cuda:0", precision="fp32", **options):
    return small_alexnet.parameters(device, precision=precision, runtime=emulated(**options))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("sink", "precision"),
    [
        ("momentum", "fp32"),
        pytest.param("adam", "bf16", marks=pytest.mark.slow),
        pytest.param("momentum", "bf16", marks=pytest.mark.slow),
        pytest.param("adam", "fp32", marks=pytest.mark.slow),
        ("lars", "fp32"),
        ("lars", "bf16"),
    ],
)
def test_updates_are_those_of_the_kept_gradients(emulated, sink, precision):
    """As a graph on two GPUs, and one by one on one: the same bits, of frozen layers too."""
    moved = parameters(emulated, "cuda:0,cuda:1", precision, streams="late")
    kept = parameters(emulated, precision=precision)
    before = kept.unload()
    factors = {**FACTORS, **frozen(moved.network, "conv4")}
    plan = run(moved, updates=2, sink=sink, accumulate=2, factors=factors)
    assert plan.captured
    plan = run(kept, updates=0, sink="keep", accumulate=2, graph=False)
    mover, plan.control.rate = Rule(sink, factors), RATE
    for step in range(2):
        plan.control.step = step
        plan.run()
        for (name, place), gradient in plan._gradients.items():
            if mover.factor(name):
                own = mover.mover(kept, name, place, plan.control)
                kept.engine.update.apply(kept.devices[place], gradient, own)
    assert small_alexnet.digest(moved) == small_alexnet.digest(kept)
    assert layers(differing(before, moved.unload())) == layers(before) - {"conv4"}


@pytest.mark.slow
def test_the_parts_gradients_are_those_of_the_whole_batch_on_the_host(emulated):
    """With dropout; the whole batch in one part on the CPU, in three on a GPU."""
    wanted = run(small_alexnet.parameters(), sink="keep")
    found = run(parameters(emulated), sink="keep", accumulate=3)
    assert found.result.loss == pytest.approx(wanted.result.loss, rel=NEAR["fp32"])
    theirs = found.gradients()
    for name, gradient in wanted.gradients().items():
        norm = np.linalg.norm(gradient)
        assert np.linalg.norm(theirs[name] - gradient) < NEAR["fp32"] * norm, name


@pytest.mark.slow
@pytest.mark.parametrize(
    ("sink", "part"), [pytest.param("adam", 0, marks=pytest.mark.slow), ("momentum", 1), ("lars", 1)]
)
def test_nothing_moves_when_the_loss_of_any_part_is_no_number(emulated, sink, part):
    """On either GPU: the second hears of it by the links. The next update is as if nothing had been."""
    made = parameters(emulated, "cuda:0,cuda:1", streams="random")
    plan = run(made, sink=sink, accumulate=2)
    before, (pictures, views, labels, drawn) = small_alexnet.digest(made), batch(made.network)
    colours = drawn.copy()
    colours[3 * part] = np.nan
    for given in (colours, drawn):
        plan.put(pictures, views, labels, given)
        plan.run()
        assert plan.result.finite == (given is drawn)
        assert (small_alexnet.digest(made) == before) == (given is colours)


@pytest.mark.slow
def test_a_released_plan_leaves_its_memory_and_its_graphs(emulated):
    plan = run(parameters(emulated), updates=2, accumulate=2)
    assert plan.captured
    held = [weakref.ref(buffer.array) for buffer in plan.buffers if buffer.lasting]
    plan.release()
    gc.collect()
    assert not [each for each in held if each() is not None]


@pytest.mark.slow
def test_the_links_of_every_part_are_counted(emulated):
    made, host = parameters(emulated, "cuda:0,cuda:1"), small_alexnet.parameters("cpu,cpu")
    for each in (made, host):
        run(each, updates=3, accumulate=3)
    assert made.ledger.floats == host.ledger.floats


@pytest.mark.emulator
@pytest.mark.slow
def test_a_gpu_that_forgets_the_parts_before_is_found(emulated, monkeypatch):
    """Planted: the word for a finite loss is handed over anew with every part."""
    begin = CudaDevice.begin

    def careless(self, control, training):
        begin(self, control, training)
        self.upload(self.control[-1:], np.ones(1, np.uint32))

    monkeypatch.setattr(CudaDevice, "begin", careless)
    with pytest.raises(AssertionError):
        test_nothing_moves_when_the_loss_of_any_part_is_no_number(emulated, "momentum", 0)
