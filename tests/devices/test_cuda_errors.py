"""What is said where CuPy or a GPU cannot be used, on a CuPy of a few lines; real ones: test_sick_gpus.py."""

import sys
import types

import pytest

from cualex.devices import cuda_errors, placement
from cualex.devices.cupy_runtime import CupyRuntime
from cualex.errors import DeviceError, DeviceLost, GpuNotUsed, NoGpu, OutOfMemory


class FakeError(RuntimeError):
    def __init__(self, text, status=1):
        super().__init__(text)
        self.status = status


def fake(monkeypatch, count, driver=13000):
    """Put a CuPy in place of the real one whose runtime counts devices as told."""
    runtime = types.SimpleNamespace(
        getDeviceCount=count, driverGetVersion=lambda: driver, CUDARuntimeError=FakeError, getDevice=lambda: 0
    )
    cupy = types.ModuleType("cupy")
    cupy.cuda = types.SimpleNamespace(runtime=runtime, driver=types.SimpleNamespace(CUDADriverError=FakeError))
    monkeypatch.setitem(sys.modules, "cupy", cupy)


def raising(text, status):
    def count():
        raise FakeError(text, status)

    return count


WAY = "`cualex doctor` says more; --device cpu needs none."
OLD = "the NVIDIA driver, for CUDA 12.8, is older than CuPy's CUDA: install a newer driver, or take the extra cualex"


@pytest.mark.parametrize(
    ("status", "driver", "words", "warned"),
    [
        (35, 0, "there is no NVIDIA driver.", False),
        (35, 12080, f"{OLD}[cuda12] in place of cualex[cuda13].", True),
        (35, 11040, "the NVIDIA driver, for CUDA 11.4, is older than CuPy's CUDA: install a newer driver.", True),
        (100, 13000, "the driver sees no GPU.", False),
        (803, 13000, "the NVIDIA driver was updated, and the old one is still loaded: restart the machine.", True),
        (999, 13000, "cudaErrorX: a text.", True),
    ],
)
def test_what_keeps_cuda_from_starting_is_one_line(monkeypatch, status, driver, words, warned, recwarn):
    """With --device auto it is a warning where there is a driver and a GPU, which somebody may expect to be used."""
    fake(monkeypatch, raising("cudaErrorX: a text", status), driver)
    with pytest.raises(DeviceError) as caught:
        CupyRuntime().count()
    assert str(caught.value) == f"no GPU can be used: {words} {WAY}"
    assert placement.automatic() == "cpu"
    expected = [f"computing on the CPU: no GPU can be used: {words}"]
    assert [str(each.message) for each in recwarn.list] == expected[: int(warned)]


def test_without_cupy_the_way_to_it_is_said(monkeypatch, recwarn):
    monkeypatch.setitem(sys.modules, "cupy", None)
    with pytest.raises(DeviceError, match=r"GPUs need CuPy \(.*\)\. Install it: pip install 'cualex\[cuda13\]' \(or"):
        CupyRuntime()
    assert placement.automatic() == "cpu"


# As CuPy raises it where a library is missing (cupy/__init__.py).
BROKEN_CUPY = """
================================================================
Failed to import CuPy.

If you installed CuPy via wheels, make sure that the package matches with the version of CUDA installed.

Original error:
  ImportError: libnvrtc.so.13: cannot open shared object file: No such file or directory
================================================================
"""


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (BROKEN_CUPY, "ImportError: libnvrtc.so.13: cannot open shared object file: No such file or directory"),
        ("=====\n\nsomething else\n=====", "something else"),
        ("No module named 'numpy'", "No module named 'numpy'"),
        ("", "ImportError"),
    ],
)
def test_a_cupy_that_does_not_load_says_why(monkeypatch, text, said):
    class Finder:
        def find_spec(self, name, path=None, target=None):
            if name == "cupy":
                raise ImportError(text, name="libnvrtc")

    monkeypatch.delitem(sys.modules, "cupy", raising=False)
    monkeypatch.setattr(sys, "meta_path", [Finder(), *sys.meta_path])
    with pytest.raises(DeviceError) as caught:
        CupyRuntime()
    assert caught.value.what == f"GPUs need CuPy ({said})."
    with pytest.warns(GpuNotUsed, match=r"^computing on the CPU: GPUs need CuPy \("):
        assert placement.automatic() == "cpu"


@pytest.mark.parametrize(
    ("status", "kind", "said"),
    [
        (46, DeviceError, "cuda:3 is busy: another process has it for itself"),
        (2, OutOfMemory, "cuda:3 has no memory free: other processes hold it"),
        (700, DeviceLost, "cuda:3 failed: cudaErrorX: a text."),
        (719, DeviceLost, "cuda:3 failed: cudaErrorX: a text."),
        (100, NoGpu, "no GPU can be used: the driver sees no GPU."),
        (802, DeviceError, "no GPU can be used: NVIDIA's Fabric Manager"),
    ],
)
def test_errors_of_calls_are_one_line(monkeypatch, status, kind, said):
    monkeypatch.setattr(sys, "unraisablehook", sys.unraisablehook)  # which the error of a kernel changes
    told = cuda_errors.translate(FakeError("cudaErrorX: a text", status), 3)
    assert type(told) is kind
    assert told.what.startswith(said)
    assert len(str(told)) > len(told.what) + 20  # the way out


@pytest.mark.parametrize("status", [1, 400, 900])
def test_an_error_that_is_ours_keeps_its_traceback(status):
    assert cuda_errors.translate(FakeError("cudaErrorInvalidValue: a text", status), 3) is None
