"""The runtime on CuPy, without a GPU: every name that it uses exists, and what CuPy leaves to us."""

import ast
import inspect
import sys
import types
import weakref

import numpy as np
import pytest

from cualex.devices import cuda_errors, cupy_runtime, host_copies
from cualex.devices.cupy_runtime import CupyRuntime
from cualex.devices.runtime import Runtime
from cualex.kernels import Launch, binaries, functions


def dotted(node):
    """Return `a.b.c` for a chain of attributes, else None."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute) and (before := dotted(node.value)):
        return f"{before}.{node.attr}"
    return None


def names_of_cupy(source):
    """List the names below `cupy` that a source uses, by the names that it goes by."""
    own = dict.fromkeys(("self.cupy.", "self._cupy.", "cupy."), "")
    prefixes = {**own, "runtime.": "cuda.runtime.", "nvrtc.": "cuda.nvrtc."}
    for node in ast.walk(ast.parse(source)):
        name = dotted(node) if isinstance(node, ast.Attribute) else None
        for prefix, home in prefixes.items():
            if name and name.startswith(prefix):
                yield home + name.removeprefix(prefix)


@pytest.mark.parametrize(
    "module", [cupy_runtime, host_copies, cuda_errors, functions, binaries], ids=lambda module: module.__name__
)
def test_every_name_of_cupy_exists(module):
    cupy = pytest.importorskip("cupy", reason="CuPy is not installed")
    used = sorted(set(names_of_cupy(inspect.getsource(module))))
    assert len(used) > 1
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


class FakeError(RuntimeError):
    pass


# --- what CuPy leaves to us, on a CuPy of a few lines


class FakeGpus:
    """Note what is asked of two GPUs: which is current, what is waited for, what memory is handed out again."""

    def __init__(self, monkeypatch):
        self.current, self.noted, self.copied, self.arrived = 0, [], [], False
        self.memory = weakref.WeakSet()
        gpus = self

        class Device:
            def __init__(self, number):
                self.id = number

        class Event:
            done = property(lambda _: gpus.arrived)

            def __init__(self, **_):
                pass

            def record(self, stream):
                pass

            def synchronize(self):
                gpus.arrived = True

        class Pinned(bytearray):
            ptr = 0

            def __init__(self, size):
                super().__init__(size)
                gpus.memory.add(self)

            __hash__ = object.__hash__

        class Function:
            def __init__(self):
                self.gpu = gpus.current

            def __call__(self, *_):
                gpus.noted.append((self.gpu, gpus.current))

        class Raw:
            kernel = property(lambda _: Function())

        module = types.SimpleNamespace(get_function=lambda name: Raw())
        copies = {"memcpyHostToDevice": 1, "memcpyDeviceToHost": 2, "memcpyDefault": 4}
        runtime = types.SimpleNamespace(
            memcpyAsync=lambda *given: gpus.copied.append(given),
            memsetAsync=lambda *given: gpus.copied.append(given),
            deviceCanAccessPeer=lambda one, other: True,
            deviceEnablePeerAccess=lambda other: gpus.noted.append((gpus.current, other)),
            deviceGetAttribute=lambda number, device: {75: 9, 76: 0}[number],
            deviceSynchronize=lambda: gpus.noted.append(("synchronize", gpus.current)),
            free=lambda address: None,
            getDevice=lambda: gpus.current,
            setDevice=lambda device: setattr(gpus, "current", device),
            CUDARuntimeError=FakeError,
            **copies,
        )
        cupy = types.ModuleType("cupy")
        cupy.cuda = types.SimpleNamespace(
            Device=Device,
            Event=Event,
            Stream=lambda non_blocking: ("stream", gpus.current),
            alloc_pinned_memory=Pinned,
            memory=types.SimpleNamespace(OutOfMemoryError=MemoryError),
            driver=types.SimpleNamespace(CUDADriverError=FakeError),
            runtime=runtime,
        )
        cupy.empty = lambda shape, dtype: gpus.noted.append(("empty", gpus.current))
        cupy.RawModule = lambda path: module
        monkeypatch.setitem(sys.modules, "cupy", cupy)
        self.cupy = cupy


STREAM = types.SimpleNamespace(device_id=1, ptr=0)
WORDS = types.SimpleNamespace(nbytes=8, shape=(2,), dtype=np.dtype(np.float32), data=types.SimpleNamespace(ptr=0))


def test_pinned_memory_is_kept_until_its_copy_has_arrived(monkeypatch):
    """Also where nobody asks for what was fetched: CuPy's pool would give it to the next copy."""
    gpus = FakeGpus(monkeypatch)
    runtime = CupyRuntime()
    runtime.fetch(STREAM, WORDS)
    runtime.upload(STREAM, WORDS, np.zeros(2, np.float32))
    assert len(gpus.memory) == 2
    values = runtime.fetch(STREAM, WORDS)
    assert values().shape == (2,)
    runtime.upload(STREAM, WORDS, np.zeros(2, np.float32))
    del values
    runtime.record(STREAM)
    assert not gpus.memory


def array_on(gpu, address):
    """Stand in for an array of eight bytes on a GPU."""
    return types.SimpleNamespace(
        device=types.SimpleNamespace(id=gpu), data=types.SimpleNamespace(ptr=address), nbytes=8
    )


def test_copies_between_gpus_are_what_a_graph_can_hold(monkeypatch):
    """`cudaMemcpyPeerAsync` cannot be captured; peers are made once, before that."""
    gpus = FakeGpus(monkeypatch)
    runtime = CupyRuntime()
    for _ in range(2):
        runtime.copy(STREAM, array_on(0, 16), array_on(1, 32))
    runtime.copy(STREAM, array_on(1, 48), array_on(1, 32))
    assert gpus.copied == [(32, 16, 8, 4, 0)] * 2 + [(32, 48, 8, 4, 0)]
    assert gpus.noted == [(0, 1), (1, 0)]


class CapturingStream:
    """A stream whose capture cannot be ended after what went wrong in it."""

    device_id = 0

    def __enter__(self):
        pass

    def __exit__(self, *_):
        pass

    def begin_capture(self):
        pass

    def end_capture(self):
        raise FakeError("cudaErrorStreamCaptureInvalidated")


def test_what_kept_a_graph_from_being_captured_is_said_first(monkeypatch):
    FakeGpus(monkeypatch)
    runtime = CupyRuntime()

    def work(error):
        raise error

    unsupported = FakeError("cudaErrorStreamCaptureUnsupported: a copy")
    assert runtime.capture([CapturingStream()], lambda: work(unsupported)) is None
    assert runtime.uncaptured == "cudaErrorStreamCaptureUnsupported: a copy"
    with pytest.raises(KeyboardInterrupt):
        runtime.capture([CapturingStream()], lambda: work(KeyboardInterrupt()))
    assert runtime.capture([CapturingStream()], lambda: None) is None
    assert runtime.uncaptured == "cudaErrorStreamCaptureInvalidated"


def test_memory_that_was_freed_is_taken_again_only_after_the_work_that_used_it(monkeypatch):
    gpus = FakeGpus(monkeypatch)
    CupyRuntime().allocate(1, (3,), np.float32)
    assert gpus.noted == [("synchronize", 1), ("empty", 1)]


def test_only_gpus_that_are_used_are_waited_for(monkeypatch):
    gpus = FakeGpus(monkeypatch)
    runtime = CupyRuntime()
    runtime.synchronize()
    assert [runtime.stream(1), runtime.stream(1)] == [("stream", 1)] * 2
    runtime.synchronize()
    assert gpus.noted == [("synchronize", 1)]


def test_a_kernel_is_loaded_on_the_gpu_that_runs_it(monkeypatch, tmp_path):
    """Also one that no plan has compiled before."""
    gpus = FakeGpus(monkeypatch)
    runtime = CupyRuntime()
    runtime.binaries.make = lambda *_: tmp_path / "add.cubin"
    kernel = types.SimpleNamespace(name="add", gemm=False)
    launch = types.SimpleNamespace(kernel=kernel, defines=(), arguments=(), grid=(1, 1, 1), block=32, shared=0)
    for gpu in (1, 0, 1):
        runtime.launch(types.SimpleNamespace(device_id=gpu), launch)
    assert gpus.noted == [(1, 1), (0, 0), (1, 1)]


def test_a_launch_belongs_to_the_gpu_of_its_arrays():
    """NumPy's numbers have a device too, called "cpu"."""
    array = types.SimpleNamespace(device=types.SimpleNamespace(id=3))
    assert Launch(None, (None, np.uint32(1), array), (1, 1, 1), 32, 0).device == 3


def test_gpus_of_one_kind_share_a_binary(monkeypatch):
    """Two GPUs of one architecture and one of another: a kernel is compiled twice, and loaded three times."""
    compiled, loaded, heard = [], [], []

    class Kept:
        def path(self, kernel, defines, architecture):
            return None if kernel.name == "new" else "there"

        def make(self, kernel, defines, architecture):
            compiled.append((kernel.name, architecture))

    found = functions.Functions(None, Kept(), None)
    monkeypatch.setattr(functions, "architecture", lambda cupy, device: [90, 90, 80][device])
    monkeypatch.setattr(found, "_load", lambda key, launch: loaded.append(key[:2]))
    launches = [
        types.SimpleNamespace(
            kernel=types.SimpleNamespace(name=name),
            defines=(),
            device=device,
        )
        for name in ("new", "kept")
        for device in range(3)
    ]
    found.compile(launches, lambda *done: heard.append(done))
    assert sorted(compiled) == [("new", 80), ("new", 90)]
    assert sorted(loaded) == [(device, name) for device in range(3) for name in ("kept", "new")]
    assert heard == [(1, 2), (2, 2)]


def test_a_batch_can_be_gathered_in_pinned_memory(monkeypatch):
    """And the memory stays as long as the array does, which is all that holds it."""
    gpus = FakeGpus(monkeypatch)
    rows = CupyRuntime().staging(1, (2, 4), np.uint8)
    rows[:] = np.arange(8).reshape(2, 4)
    assert (rows.shape, rows.dtype, rows.flags.c_contiguous) == ((2, 4), np.uint8, True)
    assert len(gpus.memory) == 1
    del rows
    assert not gpus.memory
