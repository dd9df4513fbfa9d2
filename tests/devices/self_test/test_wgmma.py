"""wgmma is used where its self-test has passed, and nowhere else."""

from types import SimpleNamespace

import numpy as np
import pytest

from cualex.devices.cuda import CudaDevice
from cualex.devices.cupy_runtime import CupyRuntime
from cualex.devices.self_test import records
from cualex.engine.cuda import gemm_wgmma
from cualex.engine.cuda.gemm_tiles import Tiles
from tests.support import reference
from tests.support.benches import Bench
from tests.support.conv_cases import Case, draw
from tests.support.cuda_arrays import Convolution, open_bench
from tests.support.planted_kernels import planted
from tests.support.self_tested import self_tested

CASE = Case(channels=24, filters=40, size=3, pad=1, height=6, width=7, pictures=4)


@pytest.fixture(autouse=True)
def small_gemms_by_wgmma(monkeypatch):
    monkeypatch.setattr(gemm_wgmma, "choose", lambda *_: Tiles(128, 128, 16, 128, 64, 4))


def settled(bench):
    """Bind a convolution until its kernels may be used; return what it launches then, and its result."""
    run = Convolution(bench, CASE, draw(CASE, True))
    while not bench.device.self_test(launches := bench.device.prepare(run.forward)[1], []):
        pass
    return [launch.kernel.name for launch in launches], run.forward()


def test_a_kernel_that_passes_is_used(emulated, tmp_path):
    bench = open_bench(lambda: self_tested(emulated(), tmp_path), "bf16")
    assert settled(bench)[0] == ["conv_forward_wgmma"]
    assert bench.device.fallbacks.by_wgmma == {"conv_forward 42x40x216"}
    ((_, found),) = records.every(tmp_path)
    assert [(each.what, each.passed) for each in found.values()] == [("conv_forward_wgmma bf16", True)]


def test_the_real_cupy_tests_and_runs_it(stand_in, tmp_path, monkeypatch):
    monkeypatch.setenv("CUALEX_CACHE", str(tmp_path))
    monkeypatch.setenv("CUALEX_SELF_TEST", "1")
    bench = Bench(CudaDevice("cuda:0", CupyRuntime(), 0, "bf16"))
    names, found = settled(bench)
    assert names == ["conv_forward_wgmma"]
    ((_, kept),) = records.every(tmp_path / "self-test")
    assert [(each.what, each.passed) for each in kept.values()] == [("conv_forward_wgmma bf16", True)]
    right = reference.conv(draw(CASE, True).x[0], draw(CASE, True).weight, draw(CASE, True).bias, pad=1)
    np.testing.assert_array_equal(found[0], bench.rounded(right))


FAULTS = {
    "swizzle": ("1ull << 62", "2ull << 62"),
    "stride": ("stride = 8 * 128", "stride = 4 * 128"),
    "one product of sixteen": ("depth < TILE_DEPTH; depth += WGMMA_DEPTH", "depth < 48; depth += WGMMA_DEPTH"),
    "words of a row": ("upper ? words[i] : words[i + 2], 2)", "upper ? words[i + 2] : words[i], 2)"),
    "bias": ("if (filter < filters) values[e] +=", "if (filter + 8 < filters) values[e] +="),
}


@pytest.mark.emulator
@pytest.mark.parametrize("fault", [n if n == "swizzle" else pytest.param(n, marks=pytest.mark.slow) for n in FAULTS])
def test_a_kernel_that_fails_gives_way_to_mma(emulated, tmp_path, caplog, fault):
    before, after = FAULTS[fault]
    runtime = self_tested(planted(emulated, after, into=before)(), tmp_path)
    bench = open_bench(lambda: runtime, "bf16")
    names, found = settled(bench)
    assert names[0] == "conv_forward"
    assert bench.device.fallbacks.by_wgmma == bench.device.fallbacks.used == set()
    right = Convolution(open_bench(emulated, "fp32"), CASE, draw(CASE, True)).forward()
    np.testing.assert_allclose(found, right, rtol=2.0**-8)
    lines = [record.message for record in caplog.records]
    assert len(lines) == 1, lines
    (line,) = lines
    assert "wrong results on wgmma and run on mma.sync, perhaps with other bits: conv_forward_wgmma (" in line
    assert runtime.found


def test_a_kernel_without_a_result_is_not_used(emulated, tmp_path, caplog):
    """The time was over: it waits for the next start."""
    bench = open_bench(lambda: self_tested(emulated(), tmp_path, seconds=-1.0), "bf16")
    assert settled(bench)[0][0] == "conv_forward"
    assert "; 1 by wgmma wait, and run on mma.sync. The next start tests what is left." in caplog.messages[0]


def test_a_gpu_that_tests_nothing_does_not_use_it(emulated, monkeypatch):
    """$CUALEX_SELF_TEST is 0."""
    bench = open_bench(emulated, "bf16")
    monkeypatch.setattr(bench.device.runtime, "name", "cupy", raising=False)
    vars(bench.device.runtime)["self_test"] = None
    assert settled(bench)[0][0] == "conv_forward"


def test_a_test_that_cannot_be_completed_proves_nothing(emulated, tmp_path, monkeypatch, caplog):
    bench = open_bench(lambda: self_tested(emulated(), tmp_path), "bf16")
    monkeypatch.setattr(bench.device.runtime.self_test, "records", lambda index: SimpleNamespace())
    assert settled(bench)[0][0] == "conv_forward"
    assert "used all the same, but for wgmma, in whose place mma.sync runs." in caplog.messages[0]
