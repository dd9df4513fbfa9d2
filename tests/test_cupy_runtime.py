"""The runtime on CuPy, without a GPU: every name that it uses exists, and what is said where CuPy cannot be used."""

import ast
import inspect
import sys
import types

import pytest

from cualex import cupy_runtime
from cualex.cupy_runtime import CupyRuntime
from cualex.errors import DeviceError
from cualex.kernels import binaries, functions
from cualex.runtime import Runtime


def dotted(node):
    """Return `a.b.c` for a chain of attributes, else None."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute) and (before := dotted(node.value)):
        return f"{before}.{node.attr}"
    return None


def names_of_cupy(source):
    """List the names below `cupy` that a source uses, by the names that it goes by."""
    own = dict.fromkeys(("self.cupy.", "self._cupy."), "")
    prefixes = {**own, "runtime.": "cuda.runtime.", "nvrtc.": "cuda.nvrtc."}
    for node in ast.walk(ast.parse(source)):
        name = dotted(node) if isinstance(node, ast.Attribute) else None
        for prefix, home in prefixes.items():
            if name and name.startswith(prefix):
                yield home + name.removeprefix(prefix)


@pytest.mark.parametrize("module", [cupy_runtime, functions, binaries], ids=lambda module: module.__name__)
def test_every_name_of_cupy_exists(module):
    cupy = pytest.importorskip("cupy", reason="CuPy is not installed")
    used = sorted(set(names_of_cupy(inspect.getsource(module))))
    assert len(used) > 2
    missing = []
    for name in used:
        found = cupy
        for part in name.split("."):
            found = getattr(found, part, None)
        if found is None:
            missing.append(name)
    assert not missing


def test_streams_events_and_graphs_have_the_methods_that_are_called():
    cupy = pytest.importorskip("cupy", reason="CuPy is not installed")
    for kind, names in {  # a stream has ptr and device_id once it is made, which needs a GPU
        cupy.cuda.Stream: ["wait_event", "begin_capture", "end_capture", "__enter__"],
        cupy.cuda.Event: ["record", "synchronize", "done"],
        cupy.cuda.Graph: ["launch"],
        cupy.RawKernel: ["kernel", "max_dynamic_shared_size_bytes"],
        cupy.ndarray: ["get", "data", "device", "nbytes", "flags", "dtype", "shape", "view", "reshape"],
    }.items():
        assert [name for name in names if not hasattr(kind, name)] == [], kind


def test_it_has_all_that_a_runtime_has():
    wanted = [name for name in vars(Runtime) if not name.startswith("_")]
    for name in wanted:
        ours, interface = getattr(CupyRuntime, name), getattr(Runtime, name)
        assert list(inspect.signature(ours).parameters) == list(inspect.signature(interface).parameters), name


# --- what is said


class FakeError(RuntimeError):
    pass


def fake(monkeypatch, count):
    """Put a CuPy in place of the real one whose runtime counts devices as told."""
    runtime = types.SimpleNamespace(getDeviceCount=count, CUDARuntimeError=FakeError)
    cupy = types.ModuleType("cupy")
    cupy.cuda = types.SimpleNamespace(runtime=runtime)
    monkeypatch.setitem(sys.modules, "cupy", cupy)


def raising(text):
    def count():
        raise FakeError(text)

    return count


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            "cudaErrorInsufficientDriver: CUDA driver version is insufficient for CUDA runtime version",
            "no GPU can be used: there is no NVIDIA driver, or it is older than CuPy's CUDA: install a newer driver, "
            "or the wheel for its CUDA (pip install 'cualex[cuda12]'). `cualex doctor` says more; --device cpu needs "
            "none.",
        ),
        (
            "cudaErrorNoDevice: no CUDA-capable device is detected",
            "no GPU can be used: the driver sees no GPU. `cualex doctor` says more; --device cpu needs none.",
        ),
        (
            "cudaErrorUnknown: something else",
            "no GPU can be used: cudaErrorUnknown: something else. `cualex doctor` says more; --device cpu needs none.",
        ),
    ],
)
def test_what_keeps_cuda_from_starting_is_one_line(monkeypatch, text, words):
    fake(monkeypatch, raising(text))
    with pytest.raises(DeviceError) as caught:
        CupyRuntime().count()
    assert str(caught.value) == words
    assert not CupyRuntime.usable()


def test_without_cupy_the_way_to_it_is_said(monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", None)
    with pytest.raises(DeviceError, match=r"GPUs need CuPy \(.*\): pip install 'cualex\[cuda13\]' \(or cuda12"):
        CupyRuntime()
    assert not CupyRuntime.usable()


def test_usable_where_there_is_a_gpu(monkeypatch):
    fake(monkeypatch, lambda: 2)
    assert CupyRuntime.usable()
