"""Links between GPUs: copies in both directions at once, and what else goes along."""

from itertools import groupby

import numpy as np
import pytest

from cualex.devices.cuda import CudaDevice
from cualex.devices.dry_runtime import DryRuntime
from tests.support import small_alexnet


def parameters():
    return small_alexnet.parameters("cuda:0,cuda:1", precision="fp32", runtime=DryRuntime())


@pytest.mark.emulator
def test_copies_in_both_directions_wait_for_no_other(emulated):
    """Two links follow each other, and only the second is waited for: the first is still on its way."""
    runtime = emulated(streams="late")
    one, other = (CudaDevice(f"cuda:{index}", runtime, index, "fp32") for index in range(2))
    sources, targets = ([device.allocate((8,)) for device in (one, other)] for _ in range(2))
    for device, source in zip((one, other), sources, strict=True):
        device.upload(source, np.arange(8))
    one.link(other, sources[1], targets[0], "a", finite=False)
    other.link(one, sources[0], targets[1], "b", finite=False)
    runtime.finish(runtime.record(other.linking))
    assert (np.asarray(targets[1]) == np.arange(8)).all()
    assert np.isnan(np.asarray(targets[0])).all()
    assert (one.download(targets[0]) == np.arange(8)).all()


@pytest.mark.parametrize("frozen", [(), ("conv1", "conv2", "conv3")])
def test_each_device_hears_once_whether_the_loss_was_finite(frozen):
    """Of the links on the way back, the first to the second device."""
    plan = small_alexnet.plan(
        parameters(), factors={f"{name}.{last}": 0.0 for name in frozen for last in ("weight", "bias")}
    )
    links = [step for step in plan.steps if step.kind == "link"]
    assert [step.place for step in links if step.numbers["finite"]] == [1]
    loss = [step.function for step in plan.steps].index("softmax.forward")
    back = [step for step in plan.steps[loss:] if step.kind == "link"]
    assert back[0].numbers["finite"]


def test_links_of_an_exchange_follow_each_other():
    """So that nothing of one direction comes before the copy of the other; and all they touch lives as long as all."""
    plan = small_alexnet.plan(parameters())
    numbered = groupby(enumerate(plan.steps), lambda item: item[1].kind == "link")
    groups = [list(group) for link, group in numbered if link]
    assert [len(group) for group in groups] == [2, 2, 2, 1, 1, 2, 2, 2]
    for group in groups:
        first, last = group[0][0], group[-1][0]
        buffers = [operand.buffer for _, step in group for operand in step.operands()]
        assert all(buffer.first <= first and buffer.last >= last for buffer in buffers)
