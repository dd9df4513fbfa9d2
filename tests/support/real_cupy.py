"""What the tests of CUDA's rules share: error codes, kernels, and child processes for what ends a process's CUDA.

The tests drive the real CuPy, on GPUs (`pytest --gpu`) or on the CUDA runtime that stands in for them on this CPU
(`pytest --gpu=cpu`), and assert what NVIDIA's documentation says of the calls below CuPy.
"""

import importlib
import json
import os
import subprocess
import sys
from contextlib import contextmanager, suppress
from enum import IntEnum
from functools import cache
from itertools import count
from pathlib import Path

import numpy as np
import pytest

from tests import ROOT

SIZE = 64  # values of most arrays
LOOPS = 10_000_000  # of a slow kernel: about 25 ms on a GPU and on a CPU, four clocks each
SOURCE = r"""
extern "C" __global__ void add(const float* x, float* y, float number) {
    const unsigned i = blockIdx.x * blockDim.x + threadIdx.x;
    y[i] = x[i] + number;
}

// The same, late: one thread counts first, what it has counted goes to `sink`, so that no compiler leaves it out.
extern "C" __global__ void slow_add(const float* x, float* y, float number, unsigned loops, unsigned* sink) {
    if (threadIdx.x == 0) {
        unsigned word = loops;
        for (unsigned i = 0; i < loops; ++i) word = word * 1664525u + 1013904223u;
        sink[0] = word;
    }
    __syncthreads();
    y[threadIdx.x] = x[threadIdx.x] + number;
}

extern "C" __global__ void poke(float* address) { *address = 1; }
"""

SHARED_SOURCE = r"""
// Doubles through shared memory whose size the launch says.
extern "C" __global__ void through_shared(const float* x, float* y, unsigned last) {
    extern __shared__ float words[];
    words[last - threadIdx.x] = x[threadIdx.x];
    __syncthreads();
    y[threadIdx.x] = 2 * words[last - threadIdx.x];
}
"""


class Code(IntEnum):
    """CUDA's numbers of errors; the driver's are the same where both have one."""

    SUCCESS = 0
    INVALID_VALUE = 1
    MEMORY_ALLOCATION = 2
    INITIALIZATION = 3
    INVALID_PITCH = 12
    INVALID_DIRECTION = 21
    UNAVAILABLE = 46
    NO_DEVICE = 100
    INVALID_DEVICE = 101
    INVALID_CONTEXT = 201
    PEERS_UNSUPPORTED = 217
    FILE_NOT_FOUND = 301
    INVALID_HANDLE = 400
    ILLEGAL_STATE = 401
    NOT_FOUND = 500
    NOT_READY = 600
    ILLEGAL_ADDRESS = 700
    OUT_OF_RESOURCES = 701
    PEERS_ALREADY_ENABLED = 704
    PEERS_NOT_ENABLED = 705
    CAPTURE_UNSUPPORTED = 900
    CAPTURE_INVALIDATED = 901
    CAPTURE_MERGE = 902
    CAPTURE_UNMATCHED = 903
    CAPTURE_UNJOINED = 904
    CAPTURE_ISOLATION = 905
    CAPTURE_IMPLICIT = 906
    CAPTURED_EVENT = 907
    CAPTURE_WRONG_THREAD = 908


@cache
def stand_in():
    """Say whether CuPy's runtime module is one that was built for tests, and not the wheel's."""
    import cupy

    return not Path(cupy.cuda.runtime.__file__).is_relative_to(Path(cupy.__file__).parents[1])


def only_stand_in(why):
    """Skip on GPUs what CUDA leaves undefined, or what would need other GPUs."""
    if not stand_in():
        pytest.skip(f"for the stand-in only: {why}")


def lazy():
    """Say whether queued work surely waits a while: on a GPU behind a slow kernel, and in late order."""
    return not stand_in() or os.environ.get("CUDART_ORDER", "late") == "late"


def forget_findings():
    """Let the stand-in not mind what it has found until now: a test has done that on purpose."""
    if stand_in():
        from tests import cudart

        cudart.findings()


def status(call, *arguments):
    """Call, and return CUDA's code: of an error that CuPy raised, or 0."""
    import cupy

    try:
        call(*arguments)
    except (cupy.cuda.runtime.CUDARuntimeError, cupy.cuda.driver.CUDADriverError) as error:
        return error.status
    except cupy.cuda.memory.OutOfMemoryError:
        return Code.MEMORY_ALLOCATION
    return Code.SUCCESS


@contextmanager
def refused(*codes):
    """Expect an error of CUDA, of one of these codes."""
    import cupy

    with pytest.raises((cupy.cuda.runtime.CUDARuntimeError, cupy.cuda.driver.CUDADriverError)) as caught:
        yield
    assert caught.value.status in codes, f"{caught.value}, expected {[code.name for code in codes]}"


@cache
def kernel(name):
    """Return a kernel that has run once on every GPU, so that nothing is loaded later, in a capture."""
    import cupy

    made = cupy.RawKernel(SHARED_SOURCE if name == "through_shared" else SOURCE, name)
    for device in range(cupy.cuda.runtime.getDeviceCount()):
        with cupy.cuda.Device(device):
            x = cupy.zeros(SIZE, np.float32)
            arguments = {
                "add": (x, x, np.float32(0)),
                "slow_add": (x, x, np.float32(0), np.uint32(1), cupy.zeros(1, np.uint32)),
                "through_shared": (x, x, np.uint32(0)),
                "poke": (x,),
            }[name]
            made((1,), (1,), arguments, shared_mem=256)
            _sinks(device)
            cupy.cuda.Device().synchronize()
    return made


def values(start=0):
    """Return numbers that are all different, and exact in float32."""
    return np.arange(start, start + SIZE, dtype=np.float32)


def put(array):
    """Copy to the current GPU, at once."""
    import cupy

    return cupy.asarray(np.asarray(array, np.float32))


def empty(fill=-1):
    """Return an array on the current GPU that holds one number everywhere."""
    return put(np.full(SIZE, fill))


def add(x, y, number=1, stream=None):
    """Queue y = x + number."""
    kernel("add")((1,), (SIZE,), (x, y, np.float32(number)), stream=stream)


def slow_add(x, y, number=1, stream=None):
    """Queue y = x + number, which takes about 25 ms."""
    import cupy

    sinks, turn = _sinks(cupy.cuda.runtime.getDevice())
    place = next(turn) % sinks.size
    sink = sinks[place : place + 1]
    kernel("slow_add")((1,), (SIZE,), (x, y, np.float32(number), np.uint32(LOOPS), sink), stream=stream)


@cache
def _sinks(device):
    """Return places for the counts of many slow kernels, each its own; made once, and not in a capture."""
    import cupy

    with cupy.cuda.Device(device):
        return cupy.empty(4096, np.uint32), count()


def pinned(array):
    """Return an array in pinned memory with these values."""
    import cupy

    memory = cupy.cuda.alloc_pinned_memory(array.nbytes)
    view = np.frombuffer(memory, array.dtype, array.size)
    view[:] = array
    return view


def address(array):
    """Return where an array of NumPy or CuPy lies."""
    return array.ctypes.data if isinstance(array, np.ndarray) else array.data.ptr


def copy(target, source, stream=None, kind=None):
    """Queue a copy of all of an array on a stream; without one, copy by cudaMemcpy."""
    from cupy.cuda import runtime

    kind = runtime.memcpyDefault if kind is None else kind
    where = address(target), address(source), source.nbytes, kind
    if stream is None:
        runtime.memcpy(*where)
    else:
        runtime.memcpyAsync(*where, stream.ptr)


def pending(handle):
    """Say whether a stream or an event is not done; any other error is raised."""
    import cupy
    from cupy.cuda import runtime

    code = (runtime.eventQuery if isinstance(handle, cupy.cuda.Event) else runtime.streamQuery)(handle.ptr)
    assert code in (Code.SUCCESS, Code.NOT_READY), code
    return code == Code.NOT_READY


def new_stream(device=None, non_blocking=True):
    """Make a stream on a GPU, the current one if none is said."""
    import cupy

    device = cupy.cuda.runtime.getDevice() if device is None else device
    with cupy.cuda.Device(device):
        return cupy.cuda.Stream(non_blocking=non_blocking)


def record(stream, timing=False):
    """Record a new event on a stream of the current GPU."""
    import cupy

    event = cupy.cuda.Event(disable_timing=not timing)
    event.record(stream)
    return event


@contextmanager
def capturing(stream, mode=None):
    """Capture on a stream, and leave no capture behind, whatever happens."""
    stream.begin_capture(mode)
    try:
        yield
    finally:
        with suppress(RuntimeError):
            if stream.is_capturing():
                stream.end_capture()
        with suppress(RuntimeError):  # an invalid capture says so when it is asked, and must be ended too
            stream.end_capture()


def in_child(work, **settings):
    """Run a test module's function in a process of its own, and return what it returns, as JSON.

    `settings` are those of the stand-in (peers=0 is CUDART_PEERS=0), or, in capital letters, of the environment.
    """
    environment = dict(os.environ)
    for name, value in settings.items():
        environment[name if name.isupper() else f"CUDART_{name.upper()}"] = str(value)
    call = f"from {__name__} import _answer; _answer({work.__module__!r}, {work.__name__!r})"
    done = subprocess.run(
        [sys.executable, "-c", call], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, f"{work.__name__} ended with {done.returncode}\n{done.stdout}{done.stderr[-4000:]}"
    return json.loads(done.stdout.splitlines()[-1])


def _answer(module, name):
    """Print what a function returns, and leave without tidying: CuPy cannot free anything on a GPU that is lost."""
    found = getattr(importlib.import_module(module), name)()
    print(json.dumps(found), flush=True)
    os._exit(0)


MODES = {"global": 0, "thread": 1, "relaxed": 2}
UNSAFE = {"global": 0, "thread": 1}  # modes in which calls that are not captured are refused


def captured(stream, *work, mode=None):
    """Capture calls, and return the graph."""
    stream.begin_capture(mode)
    for call, *arguments in work:
        call(*arguments)
    return stream.end_capture()


def is_usable(stream, cupy):
    """Check that a stream works as ever: it computes, and it can be captured."""
    x, y = put(values()), empty()
    cupy.cuda.runtime.deviceSynchronize()
    assert not stream.is_capturing()
    add(x, y, 1, stream)
    captured(stream, (add, y, x, 1, stream)).launch(stream)
    stream.synchronize()
    assert (x.get(stream=stream) == values(2)).all()


def waits_until_then():
    """Skip where queued work may run at once: that something is not waited for cannot be seen there."""
    if not lazy():
        pytest.skip("work may be done at once in this order of streams")
