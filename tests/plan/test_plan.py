"""The plan: fused against plain, the two sinks, memory that is shared but never at the same time."""

import tracemalloc

import numpy as np
import pytest

from cualex.engine.host.update import momentum
from cualex.errors import UsageError
from cualex.plan import Plan, buffers
from tests.support import small_alexnet


def test_fused_and_plain_give_the_same_bits():
    fused, plain = small_alexnet.parameters(), small_alexnet.parameters()
    a, b = small_alexnet.train(fused), small_alexnet.train(plain, fuse=False)
    assert len(b.steps) > len(a.steps)
    assert a.result == b.result
    assert small_alexnet.digest(fused) == small_alexnet.digest(plain)


@pytest.mark.parametrize("device", ["cpu", "cpu,cpu"])
def test_momentum_is_keep_and_then_the_update(device):
    moved, kept = small_alexnet.parameters(device), small_alexnet.parameters(device)
    plan = small_alexnet.train(moved, updates=2)
    other = small_alexnet.plan(kept, sink="keep")
    for step in range(2):
        other.control.step = step
        other.run()
        for (name, place), gradient in other._gradients.items():
            decay = name.endswith("weight")
            velocity = kept.velocity(name, place)
            momentum(kept.arrays[name, place], velocity, gradient.copy(), other.control, decay)
    assert plan.result == other.result
    assert small_alexnet.digest(moved) == small_alexnet.digest(kept)


@pytest.mark.parametrize("workers", [1, 3])
def test_the_bits_do_not_depend_on_the_number_of_workers(workers):
    one, other = small_alexnet.parameters(workers=2), small_alexnet.parameters(workers=workers)
    small_alexnet.train(one, batch=9)
    small_alexnet.train(other, batch=9)
    assert small_alexnet.digest(one) == small_alexnet.digest(other)


@pytest.mark.slow
def test_training_moves_the_weights_and_lowers_the_loss():
    made = small_alexnet.parameters(net=small_alexnet.network(dropout=0))
    before = small_alexnet.digest(made)
    plan = small_alexnet.plan(made)
    plan.control.rate = 0.001
    losses = []
    for _ in range(12):
        plan.run()
        losses.append(plan.result.loss)
    assert losses[-1] < losses[0] / 2
    assert small_alexnet.digest(made) != before


def test_a_loss_that_is_no_number_leaves_the_weights_alone():
    made = small_alexnet.parameters()
    plan = small_alexnet.train(made, updates=1)
    before = small_alexnet.digest(made)
    plan.put_mean(np.full((made.network.stored,) * 2 + (3,), np.inf, np.float32))
    with np.errstate(all="ignore"):
        plan.run()
    assert not plan.result.finite
    assert small_alexnet.digest(made) == before


def test_buffers_that_live_at_the_same_time_do_not_overlap():
    plan = small_alexnet.plan(small_alexnet.parameters())
    spans = []
    for buffer in plan.buffers:
        start = buffer.array.__array_interface__["data"][0]
        spans.append((start, start + buffer.bytes, buffer))
    shared = 0
    for i, (start, stop, one) in enumerate(spans):
        for begin, end, other in spans[:i]:
            if start < end and begin < stop:
                shared += 1
                assert not one.lasting, one.name
                assert not other.lasting, other.name
                assert one.last < other.first or other.last < one.first, (one.name, other.name)
    assert shared  # else nothing is saved, and this test sees nothing


def test_a_buffer_reused_one_step_early_is_caught(monkeypatch):
    """The test above must be able to fail: end every life one step early."""
    right = small_alexnet.train(small_alexnet.parameters()).result

    def hasty(found):
        for buffer in found:
            buffer.last = max(buffer.first, buffer.last - 1)
        return arrange(found)

    arrange = buffers.arrange
    monkeypatch.setattr(buffers, "arrange", hasty)
    with np.errstate(all="ignore"):
        assert small_alexnet.train(small_alexnet.parameters()).result != right


@pytest.mark.slow
def test_a_steady_step_allocates_no_maps():
    """One worker: with more, a worker's work arrays grow until it has met the largest task."""
    plan = small_alexnet.plan(small_alexnet.parameters(net=small_alexnet.network(width=0.5), workers=1), batch=32)
    plan.run()
    tracemalloc.start()
    plan.run()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    maps = [buffer.bytes for buffer in plan.buffers if buffer.shape[3:4] > (3,)]
    assert peak < min(maps)


def test_inference_needs_less_memory_than_training():
    made = small_alexnet.parameters()
    assert Plan(made, 8, "infer").bytes < Plan(made, 8, "train").bytes


def test_an_output_that_is_asked_for_is_kept():
    made = small_alexnet.parameters()
    plan = small_alexnet.plan(made, "infer", outputs=("conv1", "norm1", "exchange3"))
    plan.run()
    assert plan.output("conv1").shape == (small_alexnet.BATCH, 12, 15, 15)
    assert plan.output("norm1").min() >= 0 > plan.output("conv1").min()
    assert plan.output("exchange3").shape == (small_alexnet.BATCH, 32, 3, 3)
    usual = small_alexnet.plan(made, "infer")
    usual.run()
    assert np.array_equal(usual.output("softmax"), plan.output("softmax"))


@pytest.mark.slow
@pytest.mark.parametrize("device", ["cpu", "cpu,cpu"])
def test_every_output_is_that_of_a_plan_in_which_nothing_is_shared(device):
    made = small_alexnet.parameters(device)
    names = tuple(made.network.layers)
    everything = small_alexnet.plan(made, "infer", outputs=names)
    everything.run()
    for name in names:
        plan = small_alexnet.plan(made, "infer", outputs=(name,), fuse=False)
        plan.run()
        assert np.array_equal(plan.output(name), everything.output(name)), name


def test_an_unknown_output_is_said_with_the_layers_that_there_are():
    with pytest.raises(UsageError, match=r"alexnet has no layer 'fc9'; its layers are conv1, relu1, .*softmax"):
        Plan(small_alexnet.parameters(), 1, "infer", outputs=("fc9",))


def test_operations_are_those_of_the_layers():
    made = small_alexnet.parameters()
    plan = small_alexnet.plan(made, "infer")
    adds = sum(s.layer.multiply_adds(s.reading.shape) * s.towers for s in made.network.stages())
    assert sum(step.operations for step in plan.steps) == 2 * adds * small_alexnet.BATCH


def test_a_device_runs_all_steps_of_a_layer_before_the_next_device_does():
    plan = small_alexnet.plan(small_alexnet.parameters("cpu,cpu"))
    backward = [step for step in plan.steps if step.layers[0] == "conv4" and step.kind == "backward"]
    each = ["conv.input_gradient", "conv.weight_gradient"]
    assert [(step.place, step.function) for step in backward] == [(place, name) for place in (0, 1) for name in each]


def test_a_released_plan_refuses_to_run():
    plan = small_alexnet.plan(small_alexnet.parameters(), "infer")
    step = plan.steps[0]
    plan.release()
    with pytest.raises(RuntimeError, match="a step belongs to a plan, which was released or is not ready"):
        step.run()
