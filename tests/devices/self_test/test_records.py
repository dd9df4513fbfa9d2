"""Results of self-tests: kept for a type of GPU, driver and CuPy, read by all processes, and bounded."""

import json
import subprocess
import sys

import numpy as np
import pytest

from cualex.devices.fallbacks import Fallbacks, self_test
from cualex.devices.self_test import records
from cualex.devices.self_test.records import Record, Records
from cualex.engine import cuda
from cualex.errors import DeviceError
from tests.support import small_alexnet, tiny_runs
from tests.support.cuda_arrays import open_bench
from tests.support.planted_kernels import planted
from tests.support.self_tested import CONDITIONS, self_tested

WRONG = ("values[i] <= 0 ? 0 : values[i]", "values[i] <= 0 ? values[i] : 0")


def relu(emulated, folder, kind=None, conditions=CONDITIONS, seconds=600.0, size=50):
    """Test ReLU on a GPU that starts anew; return its self-test."""
    bench = open_bench(lambda: self_tested((kind or emulated)(), folder, conditions, seconds), "fp32")
    x, y = bench.empty((1, 2, size)), bench.empty((1, 2, size))
    assert bench.device.self_test(bench.device.prepare(lambda: cuda.relu.forward(bench.device, x, y))[1], [])
    return bench.device.runtime.self_test


def test_a_kernel_is_tested_once(emulated, tmp_path):
    assert len(relu(emulated, tmp_path).tried) == 1
    assert len(relu(emulated, tmp_path).tried) == 0
    assert len(relu(emulated, tmp_path, size=60).tried) == 1  # another count
    ((conditions, found),) = records.every(tmp_path)
    assert conditions == CONDITIONS
    assert [(each.what, each.passed, each.why) for each in found.values()] == [("relu_forward fp32", True, "")] * 2


@pytest.mark.parametrize("changed", [{"gpu": "another"}, {"driver": "2"}])
def test_another_gpu_or_driver_has_results_of_its_own(emulated, tmp_path, changed):
    for conditions in (CONDITIONS, CONDITIONS | changed):
        assert len(relu(emulated, tmp_path, conditions=conditions).tried) == 1
        assert len(relu(emulated, tmp_path, conditions=conditions).tried) == 0
    assert len(records.every(tmp_path)) == 2


def test_another_source_is_tested_anew(emulated, tmp_path, monkeypatch):
    from cualex.devices.self_test import launches

    relu(emulated, tmp_path)
    monkeypatch.setattr(launches, "text_of", lambda kernel: "another header")
    assert len(relu(emulated, tmp_path).tried) == 1


@pytest.mark.emulator
def test_what_failed_is_known_at_the_next_start(emulated, tmp_path):
    said = (
        r"relu_forward fp32 gives wrong results on emulated \(cuda:0\): \d+ of \d+ sampled values of y are wrong: at "
    )
    for kind in (planted(emulated, WRONG[1], into=WRONG[0]), emulated):
        with pytest.raises(DeviceError, match=said + r".*Nothing can take its place\. Use another --prec.*doctor"):
            relu(emulated, tmp_path, kind)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        '{"results": 3}',
        '{"results": {"a": 1}}',
        '{"conditions": {}, "results": {"a": {"what": "b"}}}',
        '{"conditions": {}, "results": {"a": {"what": "b", "passed": 1, "when": 0.5}}}',
    ],
)
def test_a_broken_file_counts_as_none_and_is_replaced(tmp_path, text):
    path = Records(tmp_path, CONDITIONS).path
    path.write_text(text)
    found = Records(tmp_path, CONDITIONS)
    assert found.find("a") is None
    found.add({"b": Record.now("b", "")})
    assert Records(tmp_path, CONDITIONS).find("b").passed


def test_a_file_that_is_no_text_counts_as_none(tmp_path):
    path = Records(tmp_path, CONDITIONS).path
    path.write_bytes(b"\xff\xfe\x00")
    assert Records(tmp_path, CONDITIONS).find("a") is None


def test_what_another_process_wrote_stays(tmp_path):
    one, other = Records(tmp_path, CONDITIONS), Records(tmp_path, CONDITIONS)
    one.add({"a": Record.now("a", "")})
    other.add({"b": Record.now("b", "wrong")})
    last = Records(tmp_path, CONDITIONS)
    assert last.find("a").passed
    assert (last.find("b").passed, last.find("b").why) == (False, "wrong")


def test_files_and_entries_are_bounded(tmp_path, monkeypatch):
    monkeypatch.setattr(records, "MOST_ENTRIES", 3)
    monkeypatch.setattr(records, "MOST_FILES", 2)
    found = Records(tmp_path, CONDITIONS)
    for number in range(5):
        found.add({f"{number}": Record(f"{number}", True, "", float(number))})
    assert set(json.loads(found.path.read_text())["results"]) == {"2", "3", "4"}
    for number in range(4):
        Records(tmp_path, CONDITIONS | {"driver": f"{number}"}).add({"a": Record.now("a", "")})
    assert len(list(tmp_path.iterdir())) == 2


def test_where_the_cache_cannot_be_written_results_hold_for_the_process(tmp_path):
    (tmp_path / "file").write_text("in the way")
    found = Records(tmp_path / "file", CONDITIONS)
    found.add({"a": Record.now("a", "")})
    assert found.find("a").passed


# --- what keeps a test from being completed


@pytest.mark.emulator
def test_a_fault_of_the_self_test_itself_is_one_line(emulated, tmp_path, monkeypatch, caplog):
    """Nothing is kept, nothing stops, and arrays are as they were."""
    from cualex.devices.self_test.trial import Trial

    def full(self, runtime, stream):
        fill(self, runtime, stream)
        raise MemoryError("no room")

    fill = Trial.fill
    monkeypatch.setattr(Trial, "fill", full)
    bench = open_bench(lambda: self_tested(emulated(), tmp_path), "fp32")
    x, y = bench.put(np.arange(50).reshape(1, 2, 25)), bench.empty((1, 2, 25))
    launches = bench.device.prepare(lambda: cuda.relu.forward(bench.device, x, y))[1]
    with bench.untouched(x, y):
        assert bench.device.self_test(launches, [])
        assert bench.device.self_test(launches, [])
    assert [record.message for record in caplog.records] == [
        "The self-test on emulated (cuda:0) could not be completed: MemoryError: no room. "
        "What is not tested is used all the same."
    ]
    assert records.every(tmp_path) == []


@pytest.mark.emulator
def test_there_is_a_limit_of_time(emulated, tmp_path, caplog):
    found = relu(emulated, tmp_path, seconds=0.0)
    assert found.tried == []
    assert [record.message for record in caplog.records] == [
        "Self-test on emulated (cuda:0): 0 s are over; 1 kernel is used untested. The next start tests what is left."
    ]
    assert len(relu(emulated, tmp_path).tried) == 1


@pytest.mark.emulator
def test_a_kernel_to_which_the_gpu_is_lost_is_known_at_the_next_start(emulated, tmp_path):
    """Planted: the launch fails, and so does every call after it."""

    class Lost(emulated):
        lost = False

        def launch(self, stream, launch):
            self.lost = True
            self.synchronize()

        def synchronize(self):
            if self.lost:
                raise RuntimeError("cudaErrorIllegalAddress")

        def download(self, stream, source):
            self.synchronize()
            return super().download(stream, source)

    with pytest.raises(DeviceError, match=r"^relu_forward fp32 fails on emulated .*IllegalAddress\. It will "):
        relu(emulated, tmp_path, Lost)
    with pytest.raises(DeviceError, match="gives wrong results"):
        relu(emulated, tmp_path)


# --- where it runs


@pytest.mark.emulator
def test_conditions_that_cannot_be_asked_for_end_nothing(emulated, tmp_path, caplog):
    """Planted: the compiler's version, say, is not there."""
    runtime = self_tested(emulated(), tmp_path)
    runtime.self_test._conditions = lambda index: {}["nvrtc"]
    made = small_alexnet.parameters("cuda:0,cuda:1", tiny_runs.speck(), precision="fp32", runtime=runtime)
    plan = small_alexnet.train(made, updates=3, batch=3)
    assert plan.captured
    assert len(caplog.records) == 2  # one a device
    assert "could not be completed: KeyError: 'nvrtc'" in caplog.records[0].message


def test_a_runtime_that_stands_in_for_a_gpu_has_no_self_test(emulated):
    assert self_test(emulated()) is None


@pytest.mark.parametrize(("value", "wanted"), [("0", False), ("1", True), (None, True)])
def test_it_can_be_switched_off(monkeypatch, tmp_path, value, wanted):
    class Gpus:
        name = "cupy"

    monkeypatch.setenv("CUALEX_CACHE", str(tmp_path))
    monkeypatch.delenv("CUALEX_SELF_TEST")
    if value is not None:
        monkeypatch.setenv("CUALEX_SELF_TEST", value)
    gpus = Gpus()
    found = self_test(gpus)
    assert (found is not None) == wanted
    assert self_test(gpus) is found
    assert found is None or found.folder == tmp_path / "self-test"


def test_nothing_is_avoided_before_something_failed():
    assert not Fallbacks().avoids("conv_forward", {})


@pytest.mark.slow
def test_the_cpu_does_not_import_it():
    code = """
import sys
from cualex import networks
from cualex.plan import Plan
from cualex.weights.parameters import Parameters
Plan(Parameters(networks.build("lenet5")), 2)
sys.exit(any(name.startswith("cualex.devices.self_test") for name in sys.modules))
"""
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
