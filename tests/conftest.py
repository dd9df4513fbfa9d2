"""What many tests share: numbers that are the same in every run, and the engine of this machine."""

import os
import signal
import subprocess
import sys

# Before NumPy is loaded: the products of the reference are small, and BLAS threads that wait for a busy core
# make them a hundred times slower. The engine takes one thread a worker in any case.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
# What tests kernels at their first use has tests of its own, and would take its time in every other.
os.environ["CUALEX_SELF_TEST"] = "0"

import numpy as np
import pytest

from tests import ROOT
from tests.support import gpu_selection

ENGINE = ROOT / "tests" / "engine"
# Files with a test that takes half a minute and more begin first, or the last process would run it alone at the end.
LONGEST = [
    "kernels/test_architectures.py",
    "data/sources/test_demo.py",
    "training/test_signals.py",
    "training/test_kills.py",
    "training/debugging/test_diagnostics.py",
    "page/test_tour_browser.py",
    "page/test_browser.py",
    "formats/test_fuzz.py",
    "data/test_fuzz_images.py",
    "devices/self_test/test_kernels.py",
]

# A shell's background job ignores Ctrl-C, and so would every process of the tests that it is sent to.
signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_addoption(parser):
    parser.addoption("--gpu", action="store_true", help="test the CUDA engine on this machine's GPUs")
    # A name with its value: an option --gpu that may take one would take a file's name for it.
    parser.addoption(
        "--gpu=cpu",
        action="store_true",
        dest="gpu_on_cpu",
        help="test it with the real CuPy on a CUDA that runs on this CPU (tests/cudart), in several orders of streams",
    )


def pytest_configure(config):
    if config.getoption("gpu_on_cpu"):
        config.option.gpu = True
        gpu_selection.stand_in()


def pytest_generate_tests(metafunc):
    if metafunc.config.getoption("gpu_on_cpu") and gpu_selection.is_for_gpus(metafunc.fixturenames):
        orders = gpu_selection.orders(metafunc.definition.path)
        metafunc.parametrize("streams_order", orders, indirect=True)


@pytest.fixture(autouse=True)
def streams_order(request):
    """Let the streams of the CUDA on this CPU run in one of the orders, where a test is for it; fail for findings."""
    if not hasattr(request, "param"):
        yield
        return
    from tests import cudart

    cudart.set_order(request.param)
    yield
    if found := cudart.findings():
        pytest.fail("\n".join(found), pytrace=False)


@pytest.fixture
def stand_in(request):
    """Return CuPy, on the CUDA that runs on this CPU."""
    if not request.config.getoption("gpu_on_cpu"):
        pytest.skip("this is about the CUDA that runs on the CPU: pytest --gpu=cpu")
    return pytest.importorskip("cupy")


@pytest.fixture(scope="session")
def cuda_child(request):
    """Return what runs Python code in a child on that CUDA: cuda_child(code, fail=1, ...) sets CUDART_FAIL=1."""
    if not request.config.getoption("gpu_on_cpu"):
        pytest.skip("this is about the CUDA that runs on the CPU: pytest --gpu=cpu")

    def run(code, **settings):
        variables = {f"CUDART_{name.upper()}": str(value) for name, value in settings.items()}
        words = [sys.executable, "-c", code]
        return subprocess.run(words, env={**os.environ, **variables}, capture_output=True, text=True)

    return run


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config, items):
    """With --gpu keep what is for GPUs; without, the engine in other precisions than fp32 is a slow test.

    In the emulator each of them builds kernels of its own. The longest begin first: --no-loadscope-reorder keeps it so.
    """
    longest = {ROOT / "tests" / name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: longest.get(item.path, len(LONGEST)))
    if config.getoption("--gpu"):
        items[:], others = gpu_selection.keep(items, config.getoption("gpu_on_cpu"))
        config.hook.pytest_deselected(items=others)
        return
    for item in items:
        values = item.callspec.params.values() if hasattr(item, "callspec") else ()
        other = any(isinstance(each, str) and ("bf16" in each or "tf32" in each) for each in values)
        if other and item.path.is_relative_to(ENGINE):
            item.add_marker(pytest.mark.slow)


@pytest.fixture
def rng():
    """Random numbers, the same in every run and for every test."""
    return np.random.default_rng(2012)


@pytest.fixture
def device():
    """Open the CPU, with work memory that is full of NaN at the start of every task.

    Fresh memory is mostly zeros, and an operation that forgets to write would pass.
    """
    return spoiled()


@pytest.fixture
def teams():
    """Open the CPU with one, two and three workers: the bits must not tell them apart."""
    return [spoiled(workers) for workers in (1, 2, 3)]


@pytest.fixture(scope="session")
def emulated(request):
    """Return EmulatedRuntime, which runs kernels on this CPU, where there is a g++, on Linux; with --gpu, CuPy's."""
    from tests.emulator import EmulatedRuntime, available

    if request.config.getoption("--gpu"):
        return gpu_selection.runtime
    if not available():
        pytest.skip("the emulator needs Linux and g++")
    return EmulatedRuntime


@pytest.fixture(scope="session")
def gxx():
    """Skip a test where kernels of users cannot be emulated."""
    from tests.emulator import available

    if not available():
        pytest.skip("the emulator needs Linux and g++")


@pytest.fixture(params=["host fp32", "host fp64", "cuda fp32", "cuda bf16"])
def bench(request):
    """Open each engine in each precision that its maps can have."""
    from tests.support.benches import Bench

    engine, precision = request.param.split()
    if engine == "cuda":
        return Bench(cuda_device(request, precision))
    return Bench(spoiled(precision=precision))


@pytest.fixture(params=["fp32", "bf16"])
def cuda_bench(request):
    """Open the CUDA engine in each precision that its maps can have."""
    from tests.support.benches import Bench

    return Bench(cuda_device(request, request.param))


def cuda_device(request, precision):
    """Open a GPU that is emulated."""
    from cualex.devices.cuda import CudaDevice

    return CudaDevice("cuda:0", request.getfixturevalue("emulated")(), 0, precision)


def spoiled(workers=None, precision="fp32"):
    """Open a CPU device with `workers` workers, whose work memory is never clean."""
    from cualex.devices.host import HostDevice
    from cualex.devices.workers import Scratch

    class Spoiled(Scratch):
        def __call__(self, name, shape, dtype):
            held = self.bytes
            array = super().__call__(name, shape, dtype)
            if self.bytes != held:
                self.spoil(array)
            return array

        def spoil(self, *arrays):
            for array in arrays or [memory for key, memory in self._memory.items() if len(key) == 2]:
                array.fill(np.nan if np.issubdtype(array.dtype, np.floating) else 1)

    device = HostDevice(workers=workers, precision=precision)
    device.scratch = Spoiled()
    device.workers.scratch = [Spoiled() for _ in range(device.workers.count)]
    run = device.workers.run

    def spoil_and_run(task, count):
        def spoil_first(i, scratch):
            scratch.spoil()
            task(i, scratch)

        run(spoil_first, count)

    device.workers.run = spoil_and_run
    return device


@pytest.fixture(scope="session", autouse=True)
def real_curves():
    """Let trainings leave an empty curves.png: a drawing takes longer than they do. Return what draws."""
    from cualex.plots import curves

    real = curves.draw
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(curves, "draw", lambda run: (run.path / "curves.png").touch())
        yield real


@pytest.fixture(scope="session", autouse=True)
def real_report():
    """Let trainings write no report: it takes longer than they do. Return what writes it."""
    from cualex.page import sections

    real = sections.at_end
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sections, "at_end", lambda *given: None)
        yield real


@pytest.fixture
def drawn_curves(real_curves, monkeypatch):
    """Let trainings draw their curves."""
    monkeypatch.setattr("cualex.plots.curves.draw", real_curves)
    return real_curves


@pytest.fixture(scope="module")
def speck():
    """Let the network of that name be known, which trains in no time."""
    from tests.support.tiny_runs import known

    with known():
        yield


@pytest.fixture(scope="session")
def whole(tmp_path_factory):
    """Return what a run has left that was never stopped."""
    from cualex.training.run import Run
    from tests.support.tiny_runs import known, left, training

    with known():
        run = Run.create(tmp_path_factory.mktemp("whole"))
        list(training(run))
        return left(run)


@pytest.fixture(scope="session")
def forks():
    """Start what trains in processes of their own."""
    from tests.support.fork_server import Forks

    with Forks() as server:
        yield server


@pytest.fixture
def cupy(request):
    """Import the real CuPy, on GPUs or on what stands in for them, with the first GPU current before and after."""
    if not request.config.getoption("--gpu"):
        pytest.skip("this drives the real CuPy: pytest --gpu, or --gpu=cpu where there is no GPU")
    real = pytest.importorskip("cupy")
    with real.cuda.Device(0):
        yield real
        real.cuda.Device().synchronize()


@pytest.fixture
def two_gpus(cupy):
    """Skip where CuPy sees one GPU only."""
    if cupy.cuda.runtime.getDeviceCount() < 2:
        pytest.skip("this needs two GPUs")
    return cupy


@pytest.fixture
def arrays(cupy):
    """Make x, which holds numbers, and y and z, which hold -1; all kernels are loaded."""
    from tests.support.real_cupy import empty, kernel, put, values

    kernel("add")
    kernel("slow_add")
    made = put(values()), empty(), empty()
    cupy.cuda.runtime.deviceSynchronize()
    return made


@pytest.fixture(params=[True, False], ids=["non-blocking", "blocking"])
def stream(request, cupy):
    """Make a stream of either kind."""
    from tests.support.real_cupy import new_stream

    return new_stream(non_blocking=request.param)
