"""Copies between GPUs are compared with copies through the host, and go that way where they are wrong."""

import pytest

from cualex.devices.runtime import address
from cualex.devices.self_test import records
from tests.support import small_alexnet, tiny_runs
from tests.support.self_tested import self_tested


def train(runtime, device="cuda:0,cuda:1"):
    """Train the smallest network; return its plan, and the digest of its parameters."""
    made = small_alexnet.parameters(device, tiny_runs.speck(), precision="fp32", runtime=runtime)
    return small_alexnet.train(made, updates=4, batch=4), small_alexnet.digest(made)


def copies(folder):
    """Return the records of copies, in the order of their names."""
    ((_, found),) = records.every(folder)
    return sorted((each.what, each.passed) for each in found.values() if each.what.startswith("copy from"))


BOTH = ["copy from cuda:0 to cuda:1", "copy from cuda:1 to cuda:0"]


@pytest.mark.slow
@pytest.mark.parametrize("streams", ["late", "random"])
def test_right_copies_pass_and_no_bit_changes(emulated, tmp_path, streams):
    plan, digest = train(self_tested(emulated(streams=streams), tmp_path))
    assert plan.captured
    assert copies(tmp_path) == [(each, True) for each in BOTH]
    assert digest == train(emulated(), "cuda:0")[1]


def wrong(runtime, to, part):
    """Return a class of runtimes whose copies between GPUs, to some of them, leave zeros in a part of the target."""

    class Wrong(runtime):
        owners: dict = {}

        def allocate(self, device, shape, dtype):
            array = super().allocate(device, shape, dtype)
            self.owners[address(array)] = device, array.nbytes
            return array

        def owner(self, array):
            starts = [(start, *held) for start, held in self.owners.items()]
            return next((gpu for start, gpu, size in starts if start <= address(array) < start + size), None)

        def copy(self, stream, source, target):
            super().copy(stream, source, target)
            owners = self.owner(source), self.owner(target)
            if None not in owners and owners[0] != owners[1] and owners[1] in to:
                lost = target.reshape(-1)[part]
                self.zero(stream, lost)

    return Wrong


@pytest.mark.slow
@pytest.mark.parametrize("to", [(1,), (0, 1)])
@pytest.mark.parametrize(
    "part", [pytest.param(slice(None), id="all", marks=pytest.mark.slow), pytest.param(slice(-1, None), id="last")]
)
def test_copies_that_lose_bytes_go_through_the_host(emulated, tmp_path, caplog, to, part):
    """Planted: a copy between two GPUs that brings zeros, or a zero at its end."""
    runtime = self_tested(wrong(type(emulated()), to, part)(), tmp_path)
    plan, digest = train(runtime)
    assert copies(tmp_path) == [(each, int(each[-1]) not in to) for each in BOTH]
    assert [device.fallbacks.through_host for device in plan.parameters.devices] == [
        {1} if 0 in to else set(),
        {0} if 1 in to else set(),
    ]
    assert digest == train(emulated(), "cuda:0")[1]
    lines = [each.message for each in caplog.records]
    assert len(lines) == len(to)
    assert all(line.endswith(" bytes; they go through the host, slower.") for line in lines)
    assert any(line.startswith("Self-test: copies from cuda:0 to cuda:1 change ") for line in lines)


@pytest.mark.slow
def test_copies_through_the_host_are_captured_and_give_the_same_bits(emulated):
    made = small_alexnet.parameters(
        "cuda:0,cuda:1", tiny_runs.speck(), precision="fp32", runtime=emulated(streams="random")
    )
    for device in made.devices:
        device.fallbacks.through_host = {0, 1}
    plan = small_alexnet.train(made, updates=4, batch=4)
    assert plan.captured
    assert small_alexnet.digest(made) == train(emulated(), "cuda:0")[1]


@pytest.mark.slow
def test_one_gpu_has_no_copies_to_test(emulated, tmp_path):
    train(self_tested(emulated(), tmp_path), "cuda:0,cuda:0")
    assert copies(tmp_path) == []
