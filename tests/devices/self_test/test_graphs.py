"""A captured graph is compared with eager execution once: a dropped node is seen, and no bit of a training changes."""

import shutil

import numpy as np
import pytest

from cualex.devices.self_test import records, trial
from cualex.weights.parameters import Parameters
from tests.emulator.streams import Transfer, Work
from tests.support import small_alexnet, tiny_runs
from tests.support.self_tested import self_tested

PLACEMENTS = ["cuda:0", "cuda:0,cuda:1"]


def train(runtime, device="cuda:0", net=tiny_runs.speck, updates=4, **settings):
    """Train a small network; return its plan, and the digest of its parameters."""
    made = Parameters(network := net(), device, precision="fp32", runtime=runtime)
    state = {name: np.ones(shape, np.float32) for name, shape in network.tensors().items()}
    made.load(state | small_alexnet.tensors(network))
    plan = small_alexnet.train(made, updates=updates, batch=4, **settings)
    return plan, small_alexnet.digest(made), made.ledger.floats


def dropping(emulated, dropped):
    """Return a class of runtimes whose graphs lack a node: its number among the kernels and copies, or None."""

    class Dropping(emulated):
        nodes = 0

        def capture(self, streams, work):
            graph = super().capture(streams, work)
            items = graph.capture.items
            # The word that says that the loss was finite is made on the first GPU; each link copies it, once would do.
            real, told = [], {0}
            for i, (stream, item) in enumerate(items):
                word = isinstance(item, Transfer) and item.target.size == 1
                if isinstance(item, Work | Transfer) and not (word and stream.device in told):
                    real.append(i)
                told |= {stream.device} if word else set()
            self.nodes = len(real)
            if dropped is not None:
                del items[real[dropped]]
            return graph

    return Dropping


@pytest.mark.slow
@pytest.mark.parametrize("device", PLACEMENTS)
@pytest.mark.parametrize(
    "settings",
    [*(pytest.param(each, marks=pytest.mark.slow) for each in ({}, {"sink": "adam"})), {"accumulate": 2}],
    ids=str,
)
def test_a_right_graph_passes_and_no_bit_changes(emulated, tmp_path, device, settings):
    plan, digest, ledger = train(self_tested(emulated(), tmp_path), device, **settings)
    assert plan.captured
    assert [each.passed for each in graphs(tmp_path)] == [True] * (1 + ("accumulate" in settings))
    plain, expected, floats = train(emulated(), device, **settings)
    assert plain.captured
    assert (digest, ledger) == (expected, floats)


@pytest.mark.slow
def test_running_averages_are_part_of_the_state(emulated, tmp_path):
    plan, digest, _ = train(self_tested(emulated(), tmp_path), net=tiny_runs.mote)
    assert plan.captured
    assert digest == train(emulated(), net=tiny_runs.mote)[1]


def graphs(folder):
    """Return the records of graphs."""
    ((_, found),) = records.every(folder)
    return [each for each in found.values() if each.what.startswith("graph of")]


@pytest.mark.slow
@pytest.mark.emulator
@pytest.mark.parametrize("device", PLACEMENTS)
def test_a_graph_that_drops_any_node_is_seen(emulated, tmp_path, caplog, device):
    """Whichever it is; the training is then that without a graph."""
    runtime = self_tested(dropping(emulated, None)(), tmp_path / "right")
    _, expected, _ = train(runtime, device)
    kernels = tmp_path / "kernels"  # which have passed once, before any step is captured
    train(self_tested(emulated(), kernels), device, updates=1)
    assert graphs(kernels) == []
    for number in range(runtime.nodes):
        caplog.clear()
        folder = shutil.copytree(kernels, tmp_path / f"{number}")
        plan, digest, _ = train(self_tested(dropping(emulated, number)(), folder), device, updates=4)
        assert not plan.captured, f"node {number} is missing"
        assert digest == expected
        (record,) = graphs(folder)
        assert not record.passed
        assert [each.message for each in caplog.records] == [
            "Self-test on emulated (cuda:0): a CUDA graph is wrong (it does not give the bits of its kernels one by "
            "one); its steps run kernel by kernel, slower."
        ]


@pytest.mark.slow
@pytest.mark.emulator
def test_a_graph_that_fails_is_not_used(emulated, tmp_path):
    class Failing(emulated):
        def capture(self, streams, work):
            graph = super().capture(streams, work)
            graph.launch = self.fail
            return graph

        def fail(self):
            raise RuntimeError("cudaErrorInvalidValue")

    plan, digest, _ = train(self_tested(Failing(), tmp_path))
    assert not plan.captured
    assert graphs(tmp_path)[0].why == "it fails: cudaErrorInvalidValue"
    assert digest == train(emulated())[1]


@pytest.mark.slow
def test_a_graph_is_compared_once(emulated, tmp_path, monkeypatch):
    from cualex.devices import self_test

    train(self_tested(emulated(), tmp_path))
    monkeypatch.setattr(self_test, "compare", None)  # would fail
    plan, digest, _ = train(self_tested(emulated(), tmp_path))
    assert plan.captured
    assert digest == train(emulated())[1]


@pytest.mark.slow
@pytest.mark.emulator
@pytest.mark.parametrize("call", [1, 20, 40])
def test_host_memory_that_is_full_ends_nothing(emulated, tmp_path, monkeypatch, caplog, call):
    """Whenever: while the state is saved, or while results are read."""
    from cualex.devices.self_test import graphs as module

    def full(*given):
        calls.append(given)
        if len(calls) == call:
            raise MemoryError
        return save(*given)

    calls, save = [], module.save
    monkeypatch.setattr(module, "save", full)
    plan, digest, _ = train(self_tested(emulated(), tmp_path))
    assert plan.captured
    assert len(calls) == call
    assert digest == train(emulated())[1]
    assert [each.message for each in caplog.records] == [
        "The self-test on emulated (cuda:0) could not be completed: MemoryError. What is not tested is used "
        "all the same."
    ]


def test_a_poisoned_array_holds_no_number(emulated):
    runtime = emulated()
    stream, array = runtime.stream(0), runtime.allocate(0, (3, 70_000), "f4")
    trial.poison(runtime, stream, array)
    assert all(value != value for value in runtime.download(stream, array).ravel()[::999])
