"""Results of self-tests as users meet them: the table of `cualex doctor`, what resuming says of other kernels."""

import json
import time

import pytest
from click.testing import CliRunner

from cualex import cli
from cualex.devices import placement
from cualex.devices.self_test import report
from cualex.devices.self_test.records import Record, Records
from cualex.devices.self_test.report import REFERENCES
from cualex.training.run import Run
from tests.support import tiny_runs
from tests.support.planted_kernels import planted
from tests.support.self_tested import self_tested

H200 = {"gpu": "H200", "architecture": "sm_90", "driver": "13020", "cupy": "14.2.0", "nvrtc": "13.5"}


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """Let the cache be empty."""
    monkeypatch.setenv("CUALEX_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "self-test"


def doctor(*words):
    return CliRunner().invoke(cli.main, ["doctor", *words]).stdout


def test_before_any_test_there_is_no_table(cache):
    assert report.rows() == []
    assert "self-test" not in doctor()
    assert json.loads(doctor("--json"))["self_test"] == []


@pytest.mark.slow
def test_the_table_has_each_group_of_kernels(cache):
    day = time.mktime((2026, 11, 30, 12, 0, 0, 0, 0, -1))
    Records(cache, H200).add(
        {
            "a": Record("conv_forward tf32 tensor cores", True, "", day - 100_000),
            "b": Record("conv_forward tf32 tensor cores", False, "3 of 400 sampled values of y are wrong", day),
            "c": Record("graph of 31 steps", True, "", day),
        }
    )
    gpu, others = "H200 sm_90", len(REFERENCES) - 1
    assert report.rows() == [
        {
            "self-test": "conv_forward tf32 tensor cores",
            "gpu": gpu,
            "result": "1 passed, 1 failed: 3 of 400 sampled values of y are wrong",
            "last": "2026-11-30",
        },
        {"self-test": "graph of 31 steps", "gpu": gpu, "result": "1 passed", "last": "2026-11-30"},
        {"self-test": f"{others} other kernels", "gpu": gpu, "result": "untested", "last": ""},
    ]
    assert "1 passed, 1 failed: 3 of 400 sampled values" in doctor()
    assert len(json.loads(doctor("--json"))["self_test"]) == 3


def test_a_broken_file_of_results_is_no_problem(cache):
    cache.mkdir(parents=True)
    (cache / "a.json").write_text("{")
    assert report.rows() == []


MMA = "mma_tf32(sums[i][2 * j + half], a[i], column);"


@pytest.mark.slow
@pytest.mark.emulator
def test_resuming_says_when_other_kernels_run(emulated, speck, tmp_path, monkeypatch):
    """A run that fell back to FFMA records it; where tensor cores are right its bits may differ."""
    run, said = Run.create(tmp_path), []
    broken = planted(emulated, "", into=MMA)
    for number, kind in enumerate((broken, broken, emulated)):
        runtime = self_tested(kind(), tmp_path / f"cache {number}")
        monkeypatch.setattr(placement, "CupyRuntime", lambda runtime=runtime: runtime)
        records = tiny_runs.training(run, device="cuda:0", precision="tf32")
        said.append([text for text in tiny_runs.go(records, 2) if "bits may differ" in text])
        records.close()
    assert said[:2] == [[], []]
    ((line,),) = said[2:]
    assert line.startswith(
        "On another type of machine the bits may differ: gemms_without_tensor_cores null (was "
        '["conv_forward 648x4x27", '
    )
    changed = [each["machine"] for each in tiny_runs.log(run) if "machine" in each]
    assert [list(each) for each in changed] == [["gemms_without_tensor_cores"]]
