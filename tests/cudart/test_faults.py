"""What ends the use of a CUDA on this CPU, in processes of their own, and how it is made to happen."""

import json

import pytest

BEGIN = r"""
import cupy, numpy as np
runtime = cupy.cuda.runtime
SOURCE = r'''
extern "C" __global__ void put(float* x, int first) { x[first + threadIdx.x] = 1; }
'''
put = cupy.RawKernel(SOURCE, "put")

def code(action, *arguments):
    try:
        action(*arguments)
    except (runtime.CUDARuntimeError, cupy.cuda.driver.CUDADriverError) as error:
        return error.status
    return 0

def launch(address, first=0):
    put((1,), (32,), (address, np.int32(first)))
    runtime.deviceSynchronize()
"""

ILLEGAL_ADDRESS = {
    "freed": "x = runtime.malloc(128); launch(np.intp(x)); runtime.free(x); print(code(launch, np.intp(x)))",
    "beyond the end": "x = runtime.malloc(128); print(code(launch, np.intp(x), 64))",
    "just beyond the end": "x = runtime.malloc(100); print(code(launch, np.intp(x)))",
    "before the start": "x = runtime.malloc(128); print(code(launch, np.intp(x), -1 << 14))",
    "of the host": "x = np.zeros(32, np.float32); print(code(launch, np.intp(x.ctypes.data)))",
    "of another GPU": "with cupy.cuda.Device(1): x = runtime.malloc(128)\nprint(code(launch, np.intp(x)))",
}


@pytest.mark.parametrize("which", ILLEGAL_ADDRESS)
def test_a_kernel_that_touches_other_memory_loses_the_gpu(cuda_child, which):
    tail = "print(code(runtime.malloc, 4), code(runtime.deviceSynchronize), code(runtime.setDevice, 0))"
    done = cuda_child(BEGIN + ILLEGAL_ADDRESS[which] + "\n" + tail)
    assert done.stdout.split() == ["700"] * 4, done.stderr
    assert "cudart: put: touches" in done.stderr


COPIES = """
x = runtime.malloc(128)
host = np.zeros(64, np.float32)
print(code(runtime.memcpy, x, host.ctypes.data, 256, runtime.memcpyHostToDevice))
print(code(runtime.memcpy, x, host.ctypes.data, 128, runtime.memcpyDeviceToHost))
runtime.free(x)
print(code(runtime.memcpy, x, host.ctypes.data, 128, runtime.memcpyDefault), code(runtime.memset, x, 0, 4))
print(code(runtime.free, x), code(runtime.free, x + 4), code(runtime.freeHost, host.ctypes.data))
print(code(runtime.deviceSynchronize))
"""


def test_copies_and_frees_that_cannot_be_are_refused(cuda_child):
    done = cuda_child(BEGIN + COPIES)
    assert done.stdout.split() == ["1", "21", "1", "1", "1", "1", "1", "0"], done.stderr
    for said in ("a copy goes on beyond the end", "memory that has been freed", "memory is freed a second time"):
        assert said in done.stderr


LEFT = """
from tests import cudart
cudart.activate()
x, pinned = runtime.malloc(4096), runtime.hostAlloc(512, 0)
stream, event = runtime.streamCreate(), runtime.eventCreate()
print(cudart.left())
runtime.free(x), runtime.freeHost(pinned), runtime.streamDestroy(stream), runtime.eventDestroy(event)
print(cudart.left())
"""


def test_it_is_known_what_has_not_been_freed(cuda_child):
    left = "1 memories of 4096 bytes on devices, 1 memories of 512 bytes pinned, 1 streams, 1 events"
    assert cuda_child(BEGIN + LEFT).stdout == f"{left}\n\n"


FORK = """
import os
print(code(runtime.malloc, 4), flush=True)
if os.fork() == 0:
    print(code(runtime.malloc, 4), code(runtime.getDeviceCount), flush=True)
    os._exit(0)
os.wait()
print(code(runtime.malloc, 4))
"""


def test_no_cuda_after_a_fork(cuda_child):
    assert cuda_child(BEGIN + FORK).stdout.split() == ["0", "3", "3", "0"]


def answers(done):
    """Return what a child has printed as JSON."""
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


MACHINE = """
import json
properties = [runtime.getDeviceProperties(i) for i in range(runtime.getDeviceCount())]
print(json.dumps({
    "architectures": [cupy.cuda.Device(i).compute_capability for i in range(len(properties))],
    "memory": [each["totalGlobalMem"] for each in properties],
    "shared": [each["sharedMemPerBlockOptin"] for each in properties],
    "peers": [runtime.deviceCanAccessPeer(0, 1), runtime.deviceCanAccessPeer(1, 2)],
}))
"""


def test_devices_may_differ(cuda_child):
    found = answers(cuda_child(BEGIN + MACHINE, devices=3, architecture="75,86,90", memory="1000,2000", peers="1,1,0"))
    assert found["architectures"] == ["75", "86", "90"]
    assert found["memory"] == [1000, 2000, 2000]
    assert found["shared"] == [65536, 99 * 1024, 227 * 1024]
    assert found["peers"] == [1, 0]


CALLS = """
print(code(runtime.getDeviceCount), code(runtime.setDevice, 0), code(runtime.malloc, 4), code(runtime.streamCreate))
"""


@pytest.mark.parametrize(
    ("broken", "devices", "codes"), [(46, 2, "0 46 46 46"), (2, 1, "0 2 2 2"), (0, 0, "100 101 100 100")]
)
def test_gpus_that_are_busy_full_or_not_there(cuda_child, broken, devices, codes):
    done = cuda_child(BEGIN + CALLS, broken=broken, devices=devices)
    assert done.stdout.strip() == codes, done.stderr


FAILS = """
x = cupy.empty(32, np.float32)
print([code(launch, x) for _ in range(4)], code(runtime.setDevice, 1), code(runtime.malloc, 4))
"""


def test_the_kernel_that_is_asked_to_fail_does(cuda_child):
    assert cuda_child(BEGIN + FAILS, fail=3).stdout.strip() == "[0, 0, 700, 700] 0 0"


CAPTURE = """
with cupy.cuda.Stream(non_blocking=True) as stream:
    print(code(stream.begin_capture))
"""


def test_a_machine_may_capture_nothing(cuda_child):
    assert cuda_child(BEGIN + CAPTURE, no_capture=1).stdout.strip() == "801"


LAZY = """
x = cupy.empty(32, np.float32)
with cupy.cuda.Stream(non_blocking=True) as stream:
    if {warm}:
        put((1,), (32,), (x, np.int32(0)))
        stream.synchronize()
    stream.begin_capture()
    put((1,), (32,), (x, np.int32(0)))
    graph = stream.end_capture()
"""


@pytest.mark.parametrize("warm", [True, False])
def test_a_kernel_that_is_captured_before_it_has_run_is_found(cuda_child, warm):
    done = cuda_child(BEGIN + LAZY.format(warm=warm))
    assert ("put is captured before it has run" in done.stderr) is not warm, done.stderr
