"""CUDA's rules of devices: what there is, which is current in a thread, and which read each other's memory."""

import os
from contextlib import suppress
from threading import Thread

import numpy as np
import pytest

from tests.support.real_cupy import (
    SIZE,
    Code,
    add,
    empty,
    in_child,
    kernel,
    new_stream,
    only_stand_in,
    put,
    refused,
    status,
    values,
)

FAR = 99  # no machine has that many GPUs


def test_there_are_gpus_and_they_are_counted_alike(cupy):
    runtime = cupy.cuda.runtime
    assert runtime.getDeviceCount() >= 1
    assert cupy.cuda.is_available()
    assert [cupy.cuda.Device(i).id for i in range(runtime.getDeviceCount())] == list(range(runtime.getDeviceCount()))


def test_versions_fit_together(cupy):
    runtime = cupy.cuda.runtime
    assert runtime.runtimeGetVersion() // 1000 in (12, 13)
    assert runtime.driverGetVersion() // 1000 >= runtime.runtimeGetVersion() // 1000


def test_properties_are_those_of_a_gpu(cupy):
    """Limits are those that the CUDA C++ Programming Guide lists for compute capabilities 7.5 to 12."""
    for index in range(cupy.cuda.runtime.getDeviceCount()):
        found = cupy.cuda.runtime.getDeviceProperties(index)
        assert found["name"].decode().isprintable()
        assert found["name"]
        assert 7 <= found["major"] <= 12
        assert cupy.cuda.Device(index).compute_capability == f"{found['major']}{found['minor']}"
        assert found["warpSize"] == 32
        assert found["maxThreadsPerBlock"] == 1024
        assert found["maxThreadsDim"] == (1024, 1024, 64)
        assert found["maxGridSize"] == (2**31 - 1, 65535, 65535)
        assert found["sharedMemPerBlock"] == 48 << 10
        assert found["sharedMemPerBlockOptin"] >= 64 << 10
        assert found["sharedMemPerMultiprocessor"] >= found["sharedMemPerBlockOptin"]
        assert found["regsPerBlock"] == 1 << 16
        assert found["multiProcessorCount"] >= 1
        assert found["maxThreadsPerMultiProcessor"] in (1024, 1536, 2048)
        assert found["unifiedAddressing"] == 1
        assert found["totalGlobalMem"] >= 1 << 20


def test_attributes_say_what_the_properties_say(cupy):
    """The numbers are cudaDeviceAttr's."""
    runtime = cupy.cuda.runtime
    properties = runtime.getDeviceProperties(0)
    for number, name in {
        1: "maxThreadsPerBlock",
        8: "sharedMemPerBlock",
        10: "warpSize",
        12: "regsPerBlock",
        16: "multiProcessorCount",
        41: "unifiedAddressing",
        75: "major",
        76: "minor",
        97: "sharedMemPerBlockOptin",
    }.items():
        assert runtime.deviceGetAttribute(number, 0) == properties[name], name
    assert cupy.cuda.Device(0).attributes["MultiProcessorCount"] == properties["multiProcessorCount"]


def test_a_gpu_is_found_by_its_bus(cupy):
    runtime = cupy.cuda.runtime
    names = [runtime.deviceGetPCIBusId(i) for i in range(runtime.getDeviceCount())]
    assert len(set(names)) == len(names)
    for index, name in enumerate(names):
        domain, bus, rest = name.split(":")
        assert (int(domain, 16), int(bus, 16), rest[-2:]) >= (0, 0, ".0")
        assert runtime.deviceGetByPCIBusId(name) == index


def test_free_memory_is_part_of_all_memory(cupy):
    free, total = cupy.cuda.runtime.memGetInfo()
    assert 0 < free <= total
    assert total <= cupy.cuda.runtime.getDeviceProperties(0)["totalGlobalMem"]
    assert cupy.cuda.Device(0).mem_info[1] == total


@pytest.mark.parametrize("index", [FAR, -1])
def test_a_gpu_that_is_not_there_is_refused(cupy, index):
    runtime = cupy.cuda.runtime
    with refused(Code.INVALID_DEVICE):
        runtime.setDevice(index)
    with refused(Code.INVALID_DEVICE):
        runtime.getDeviceProperties(index)
    with refused(Code.INVALID_DEVICE):
        runtime.deviceGetAttribute(1, index)
    with refused(Code.INVALID_DEVICE):
        runtime.deviceCanAccessPeer(0, index)
    assert runtime.getDevice() == 0


def test_an_error_of_a_call_is_told_once(cupy):
    """An error that is not asynchronous belongs to its call: what comes after works."""
    with refused(Code.INVALID_DEVICE):
        cupy.cuda.runtime.setDevice(FAR)
    x, y = put(values()), empty()
    add(x, y)
    cupy.cuda.runtime.deviceSynchronize()
    assert (y.get() == values(1)).all()


def test_errors_have_cudas_names_and_texts(cupy):
    with pytest.raises(cupy.cuda.runtime.CUDARuntimeError) as caught:
        cupy.cuda.runtime.setDevice(FAR)
    assert str(caught.value) == "cudaErrorInvalidDevice: invalid device ordinal"


def test_every_thread_starts_at_the_first_gpu(two_gpus):
    runtime, found = two_gpus.cuda.runtime, []

    def look():
        found.append(runtime.getDevice())
        runtime.setDevice(1)
        found.append(runtime.getDevice())

    runtime.setDevice(1)
    try:
        thread = Thread(target=look)
        thread.start()
        thread.join()
        assert found == [0, 1]
        runtime.setDevice(0)
        thread = Thread(target=look)
        thread.start()
        thread.join()
        assert runtime.getDevice() == 0
    finally:
        runtime.setDevice(0)


def test_memory_lies_on_the_gpu_that_was_current(two_gpus):
    cupy = two_gpus
    for index in (0, 1):
        with cupy.cuda.Device(index):
            pointer = cupy.cuda.runtime.malloc(1024)
        found = cupy.cuda.runtime.pointerGetAttributes(pointer)
        cupy.cuda.runtime.free(pointer)  # from any GPU
        assert (found.device, found.type) == (index, cupy.cuda.runtime.memoryTypeDevice)


def test_both_gpus_compute(two_gpus):
    for index in (1, 0):
        with two_gpus.cuda.Device(index):
            x, y = put(values(index)), empty()
            add(x, y, 3)
            assert (y.get() == values(3 + index)).all()


# --- which GPUs there are, as the environment says


def count_devices():
    import cupy

    runtime = cupy.cuda.runtime
    if code := status(runtime.getDeviceCount):
        return code, []
    return 0, [runtime.deviceGetPCIBusId(i) for i in range(runtime.getDeviceCount())]


def all_devices(cupy):
    return [cupy.cuda.runtime.deviceGetPCIBusId(i) for i in range(cupy.cuda.runtime.getDeviceCount())]


def test_without_gpus_that_may_be_seen_there_is_none(cupy):
    assert in_child(count_devices, CUDA_VISIBLE_DEVICES="") == [Code.NO_DEVICE, []]
    assert in_child(count_devices, CUDA_VISIBLE_DEVICES="-1") == [Code.NO_DEVICE, []]


def test_gpus_are_seen_in_the_order_that_is_asked_for(two_gpus):
    """CUDA_VISIBLE_DEVICES names GPUs of the machine: ours may be some of them already."""
    if "CUDA_VISIBLE_DEVICES" in os.environ:
        pytest.skip("CUDA_VISIBLE_DEVICES is set")
    first, second, *_ = all_devices(two_gpus)
    assert in_child(count_devices, CUDA_VISIBLE_DEVICES="1") == [0, [second]]
    assert in_child(count_devices, CUDA_VISIBLE_DEVICES="1,0") == [0, [second, first]]
    assert in_child(count_devices, CUDA_VISIBLE_DEVICES=f"0,{FAR},1") == [0, [first]]  # only up to what is not there


def allocate_on_a_busy_gpu():
    import cupy

    runtime = cupy.cuda.runtime
    return runtime.getDeviceCount(), status(runtime.malloc, 1024), status(runtime.streamCreate)


def test_a_gpu_that_another_process_holds_is_counted_but_unavailable(cupy):
    only_stand_in("it needs a GPU in exclusive mode that is in use")
    assert in_child(allocate_on_a_busy_gpu, broken=46, devices=1) == [1, Code.UNAVAILABLE, Code.UNAVAILABLE]


# --- peers


@pytest.fixture
def strangers(two_gpus):
    """Leave two GPUs that cannot read each other's memory, and could."""
    runtime = two_gpus.cuda.runtime
    if not (runtime.deviceCanAccessPeer(0, 1) and runtime.deviceCanAccessPeer(1, 0)):
        pytest.skip("the first two GPUs are no peers")

    def part():
        for one, other in ((0, 1), (1, 0)):
            with two_gpus.cuda.Device(one), suppress(runtime.CUDARuntimeError):
                runtime.deviceDisablePeerAccess(other)

    part()
    yield two_gpus
    two_gpus.cuda.Device(0).synchronize()
    two_gpus.cuda.Device(1).synchronize()
    part()


def test_no_gpu_is_its_own_peer(cupy):
    runtime = cupy.cuda.runtime
    assert runtime.deviceCanAccessPeer(0, 0) == 0
    with refused(Code.INVALID_DEVICE):
        runtime.deviceEnablePeerAccess(0)


def test_access_is_enabled_once_in_each_direction(strangers):
    runtime = strangers.cuda.runtime
    with refused(Code.PEERS_NOT_ENABLED):
        runtime.deviceDisablePeerAccess(1)
    runtime.deviceEnablePeerAccess(1)
    with refused(Code.PEERS_ALREADY_ENABLED):
        runtime.deviceEnablePeerAccess(1)
    with strangers.cuda.Device(1):
        with refused(Code.PEERS_NOT_ENABLED):
            runtime.deviceDisablePeerAccess(0)
        runtime.deviceEnablePeerAccess(0)
        runtime.deviceDisablePeerAccess(0)
    runtime.deviceDisablePeerAccess(1)
    runtime.deviceEnablePeerAccess(1)


def test_access_to_a_gpu_that_is_not_there_is_refused(cupy):
    with refused(Code.INVALID_DEVICE):
        cupy.cuda.runtime.deviceEnablePeerAccess(FAR)


def use_a_peers_memory():
    import cupy

    kernel("add")
    with cupy.cuda.Device(1):
        x, y = put(values(5)), empty()
        cupy.cuda.Device(1).synchronize()
    cupy.cuda.runtime.deviceEnablePeerAccess(1)
    add(x, y, 2)
    return status(cupy.cuda.runtime.deviceSynchronize), y.get().tolist()


def test_a_kernel_reads_and_writes_a_peers_memory(strangers):
    """In a child: without the access the GPU would be lost."""
    assert in_child(use_a_peers_memory) == [Code.SUCCESS, values(7).tolist()]


@pytest.mark.parametrize("how", ["memcpyPeerAsync", "memcpyPeer", "memcpyAsync", "memcpy"])
@pytest.mark.parametrize("peers", [False, True])
def test_copies_between_gpus_need_no_access(strangers, how, peers):
    cupy, runtime = strangers, strangers.cuda.runtime
    if peers:
        runtime.deviceEnablePeerAccess(1)
    x = put(values(11))
    with cupy.cuda.Device(1):
        y = empty()
        runtime.deviceSynchronize()
    runtime.deviceSynchronize()
    stream = new_stream()
    if how == "memcpyPeerAsync":
        runtime.memcpyPeerAsync(y.data.ptr, 1, x.data.ptr, 0, x.nbytes, stream.ptr)
    elif how == "memcpyPeer":
        runtime.memcpyPeer(y.data.ptr, 1, x.data.ptr, 0, x.nbytes)
        runtime.deviceSynchronize()  # memcpyPeer need not wait for the copy
    elif how == "memcpyAsync":
        runtime.memcpyAsync(y.data.ptr, x.data.ptr, x.nbytes, runtime.memcpyDefault, stream.ptr)
    else:
        runtime.memcpy(y.data.ptr, x.data.ptr, x.nbytes, runtime.memcpyDefault)
        runtime.deviceSynchronize()
    stream.synchronize()
    assert (y.get() == values(11)).all()


def use_gpus_that_are_no_peers():
    import cupy

    runtime, found = cupy.cuda.runtime, {}
    found["can"] = [runtime.deviceCanAccessPeer(0, 1), runtime.deviceCanAccessPeer(1, 0)]
    found["enable"] = status(runtime.deviceEnablePeerAccess, 1)
    x = put(values(3))
    with cupy.cuda.Device(1):
        y, z = empty(), empty()
        runtime.deviceSynchronize()
    runtime.deviceSynchronize()
    stream = new_stream()
    runtime.memcpyPeerAsync(y.data.ptr, 1, x.data.ptr, 0, x.nbytes, stream.ptr)
    runtime.memcpyAsync(z.data.ptr, x.data.ptr, x.nbytes, runtime.memcpyDefault, stream.ptr)
    stream.synchronize()
    found["peer copy"], found["copy"] = (bool((each.get() == values(3)).all()) for each in (y, z))
    return found


def test_gpus_that_are_no_peers_copy_all_the_same(cupy):
    only_stand_in("it needs two GPUs that are no peers")
    assert in_child(use_gpus_that_are_no_peers, peers=0, devices=2) == {
        "can": [0, 0],
        "enable": Code.PEERS_UNSUPPORTED,
        "peer copy": True,
        "copy": True,
    }


def read_a_strangers_memory():
    import cupy

    with cupy.cuda.Device(1):
        x = put(np.zeros(SIZE))
        cupy.cuda.Device(1).synchronize()
    kernel("add")
    y = empty()
    add(x, y)
    lost = status(cupy.cuda.runtime.deviceSynchronize)
    with cupy.cuda.Device(1):  # whose context is another
        x = put(values())
        add(x, x)
        right = bool((x.get() == values(1)).all())
    return lost, right


@pytest.mark.lacking("a device that can be left after a fault")
def test_a_kernel_that_reads_a_strangers_memory_loses_its_own_gpu_only(two_gpus):
    assert in_child(read_a_strangers_memory) == [Code.ILLEGAL_ADDRESS, True]
