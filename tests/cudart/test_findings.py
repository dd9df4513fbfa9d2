"""What the CUDA on this CPU finds where a GPU would go on: accesses in no order, pinned memory changed too early."""

import numpy as np
import pytest

from tests import cudart

SOURCE = r"""
extern "C" __global__ void put(float* x, int first, float value) { x[first + threadIdx.x] = value; }
extern "C" __global__ void put_short(short* x, int first) { x[first + threadIdx.x] = 1; }
extern "C" __global__ void take(const float* x, int first, float* y) { y[threadIdx.x] = x[first + threadIdx.x]; }
"""
HALF = 32  # values of a launch; arrays have two halves


class Two:
    """Two streams of GPU 0 that wait for nothing, and an array that both use."""

    def __init__(self, cupy, device=0):
        self.cupy, self.runtime = cupy, cupy.cuda.runtime
        module = cupy.RawModule(code=SOURCE)
        self.kernels = {name: module.get_function(name) for name in ("put", "put_short", "take")}
        self.streams = [cupy.cuda.Stream(non_blocking=True) for _ in range(2)]
        # Fresh memory: a pool's block may be larger, and have a history.
        with cupy.cuda.using_allocator(cupy.cuda.MemoryPool().malloc):
            self.x, self.y = (cupy.empty(2 * HALF, np.float32) for _ in range(2))
        self.pinned = cupy.cuda.PinnedMemoryPool().malloc(self.x.nbytes)
        self.host = np.frombuffer(self.pinned, np.float32, 2 * HALF)
        cupy.cuda.Device(0).synchronize()

    def put(self, stream, first=0, into=None):
        into = self.x if into is None else np.intp(into) if isinstance(into, int) else into
        self.kernels["put"]((1,), (HALF,), (into, np.int32(first), np.float32(1)), stream=self.streams[stream])

    def take(self, stream, first=0, into=None):
        into = self.y if into is None else into
        self.kernels["take"]((1,), (HALF,), (self.x, np.int32(first), into), stream=self.streams[stream])

    def put_short(self, stream, first, threads):
        self.kernels["put_short"]((1,), (threads,), (self.x, np.int32(first)), stream=self.streams[stream])

    def copy(self, stream, target, source, values=HALF):
        kind, handle = self.runtime.memcpyDefault, self.streams[stream].ptr
        self.runtime.memcpyAsync(target, source, 4 * values, kind, handle)

    def fill(self, stream):
        self.runtime.memsetAsync(self.x.data.ptr, 0, 4 * HALF, self.streams[stream].ptr)

    def order(self):
        """Let the second stream wait for what is queued on the first."""
        self.streams[1].wait_event(self.streams[0].record())


@pytest.fixture
def two(stand_in):
    """Open two streams, and finish what they do."""
    made = Two(stand_in)
    yield made
    stand_in.cuda.Device(0).synchronize()


FIRST = {
    "writes": lambda two: two.put(0),
    "is copied to": lambda two: two.copy(0, two.x.data.ptr, two.y.data.ptr),
    "is filled": lambda two: two.fill(0),
    "arrives": lambda two: two.copy(0, two.x.data.ptr, two.pinned.ptr),
}
SECOND = {
    "writes": lambda two: two.put(1),
    "reads": lambda two: two.take(1, into=two.y[HALF:]),
    "is copied from": lambda two: two.copy(1, two.y[HALF:].data.ptr, two.x.data.ptr),
    "is fetched": lambda two: two.copy(1, two.pinned.ptr + 4 * HALF, two.x.data.ptr),
}


@pytest.mark.parametrize("second", SECOND)
@pytest.mark.parametrize("first", FIRST)
def test_two_accesses_that_nothing_orders_are_found(two, first, second):
    FIRST[first](two)
    SECOND[second](two)
    two.cupy.cuda.Device(0).synchronize()
    (found,) = cudart.findings()
    assert "no event and no wait says which comes first" in found
    assert "on stream" in found
    assert "256 bytes of device 0" in found or "512 bytes of device 0" in found


@pytest.mark.parametrize("second", SECOND)
@pytest.mark.parametrize("first", FIRST)
def test_an_event_brings_them_into_order(two, first, second):
    FIRST[first](two)
    two.order()
    SECOND[second](two)
    two.cupy.cuda.Device(0).synchronize()
    assert cudart.findings() == []


def test_so_does_the_host_that_waits(two):
    two.put(0)
    two.streams[0].synchronize()
    two.put(1)
    two.streams[1].synchronize()
    event = two.streams[0].record()
    two.put(0)  # behind the event: waiting for that says nothing of this
    event.synchronize()
    assert cudart.findings() == []
    two.put(1)
    two.cupy.cuda.Device(0).synchronize()
    assert len(cudart.findings()) == 1


def test_a_read_before_a_write_must_be_in_order_too(two):
    two.take(0)
    two.put(1)
    two.cupy.cuda.Device(0).synchronize()
    (found,) = cudart.findings()
    assert "which take on stream" in found or "which put on stream" in found


def test_two_that_read_need_no_order_and_neither_do_parts(two):
    two.take(0)
    two.take(1, into=two.y[HALF:])
    two.put(0, into=two.x[HALF:])
    two.cupy.cuda.Device(0).synchronize()
    assert cudart.findings() == []
    two.put(0, first=0)
    two.put(1, first=HALF)  # the same argument, the other half of what it points to
    two.cupy.cuda.Device(0).synchronize()
    assert cudart.findings() == []


def test_neighbours_of_two_bytes_need_no_order(two):
    """As two bf16 have in one word of four bytes, whatever was noted there before."""
    two.put(0)
    two.order()
    two.put_short(0, 0, 5)
    two.put_short(1, 5, 5)
    two.cupy.cuda.Device(0).synchronize()
    assert cudart.findings() == []
    two.put_short(0, 0, 5)
    two.put_short(1, 4, 5)
    two.cupy.cuda.Device(0).synchronize()
    (found,) = cudart.findings()
    assert "bytes 8 to 9 of memory" in found


def test_cudamemcpy_and_cudamemset_on_a_device_order_nothing_else(two):
    """Neither waits for the device, and a non-blocking stream does not wait for the default stream."""
    runtime, host = two.runtime, np.ones(HALF, np.float32)
    x, y, size = two.x.data.ptr, two.y.data.ptr, host.nbytes
    calls = {
        "inside": (runtime.memcpy, x, y, size, runtime.memcpyDeviceToDevice),
        "from pageable memory": (runtime.memcpy, x, host.ctypes.data, size, runtime.memcpyHostToDevice),
        "memset": (runtime.memset, x, 0, size),
    }
    for call, *arguments in calls.values():
        call(*arguments)
        two.put(0)
        two.cupy.cuda.Device(0).synchronize()
        assert len(cudart.findings()) == 1
    two.host[:] = 1
    runtime.memcpy(x, two.pinned.ptr, size, runtime.memcpyHostToDevice)  # which does wait
    two.put(0)
    two.cupy.cuda.Device(0).synchronize()
    assert cudart.findings() == []


def test_cudamemcpypeer_comes_after_and_before_all_of_both_devices(two):
    with two.cupy.cuda.Device(1):
        there, stream = two.cupy.empty(HALF, np.float32), two.cupy.cuda.Stream(non_blocking=True)
        two.cupy.cuda.Device(1).synchronize()
    two.runtime.memsetAsync(there.data.ptr, 0, there.nbytes, stream.ptr)
    two.put(0)
    two.runtime.memcpyPeer(two.x.data.ptr, 0, there.data.ptr, 1, there.nbytes)
    two.put(1)
    assert (two.x[:HALF].get(stream=two.streams[1]) == 1).all()
    two.cupy.cuda.Device(0).synchronize()
    assert cudart.findings() == []


def test_the_default_stream_waits_for_streams_that_were_destroyed(two):
    runtime, x = two.runtime, two.x.data.ptr
    handle = runtime.streamCreate()  # a blocking one
    runtime.memsetAsync(x, 0, 4 * HALF, handle)
    runtime.streamDestroy(handle)
    two.kernels["put"]((1,), (HALF,), (two.x, np.int32(0), np.float32(1)), stream=two.cupy.cuda.Stream.null)
    two.cupy.cuda.Device(0).synchronize()
    assert (two.x[:HALF].get() == 1).all()
    assert cudart.findings() == []


def test_who_writes_must_come_after_all_that_read(two):
    two.take(0)
    two.take(1, into=two.y[HALF:])
    two.order()
    two.put(1)
    two.cupy.cuda.Device(0).synchronize()
    assert cudart.findings() == []
    two.take(1, into=two.y[HALF:])
    two.take(0)
    two.put(0)
    two.cupy.cuda.Device(0).synchronize()
    assert len(cudart.findings()) == 1


def test_a_graph_comes_before_and_after_its_stream_only(two):
    two.put(0)  # all is loaded
    two.streams[0].synchronize()
    with two.streams[0]:
        two.streams[0].begin_capture()
        two.put(0)
        graph = two.streams[0].end_capture()
    for _ in range(3):
        graph.launch(two.streams[0])
    two.put(0)
    two.order()
    two.put(1)
    two.cupy.cuda.Device(0).synchronize()
    assert cudart.findings() == []
    graph.launch(two.streams[0])
    two.put(1)
    two.cupy.cuda.Device(0).synchronize()
    assert len(cudart.findings()) == 1


def test_branches_of_a_graph_must_be_in_order(two):
    two.put(0)
    two.take(1)
    two.cupy.cuda.Device(0).synchronize()
    cudart.findings()
    first, second = two.streams
    for ordered in (True, False):
        with first:
            first.begin_capture()
            second.wait_event(first.record())
            two.put(0)
            if ordered:
                two.order()
            two.take(1)
            first.wait_event(second.record())
            graph = first.end_capture()
        graph.launch(first)
        first.synchronize()
        assert len(cudart.findings()) == (0 if ordered else 1)


def test_pinned_memory_may_not_change_while_it_is_copied(two):
    two.host[:] = 1
    two.copy(0, two.x.data.ptr, two.pinned.ptr)
    two.host[HALF:] = 2  # not what is copied
    two.streams[0].synchronize()
    assert cudart.findings() == []
    two.host[:] = 2  # nobody reads it any more
    two.copy(0, two.x.data.ptr, two.pinned.ptr)
    two.host[0] = 3
    two.streams[0].synchronize()
    (found,) = cudart.findings()
    assert found.startswith("the host has changed bytes 0 to 127 of memory")


def test_the_device_may_change_pinned_memory_that_it_has_read(two):
    two.host[:] = 1
    two.fill(0)
    two.copy(0, two.y.data.ptr, two.pinned.ptr)
    two.copy(0, two.pinned.ptr, two.x.data.ptr)
    two.copy(0, two.y.data.ptr, two.pinned.ptr)
    two.streams[0].synchronize()
    assert cudart.findings() == []
    assert (two.y[:HALF].get() == 0).all()


def test_rubbish_before_a_result_is_not_the_hosts(two):
    """Where the copy before has run, but nobody has waited for it."""
    two.host[:] = 1
    two.fill(0)
    for _ in range(50):
        two.copy(0, two.y.data.ptr, two.pinned.ptr)
        two.copy(0, two.pinned.ptr, two.x.data.ptr)
        two.streams[0].synchronize()
    assert cudart.findings() == []


def test_so_may_a_kernel(two):
    two.host[:] = 0
    two.copy(0, two.y.data.ptr, two.pinned.ptr)
    two.put(0, into=two.pinned.ptr)
    two.streams[0].synchronize()
    assert cudart.findings() == []
    assert (two.host[:HALF] == 1).all()
    two.copy(0, two.y.data.ptr, two.pinned.ptr)
    two.host[0] = 3  # unlike the host
    two.put(0, into=two.pinned.ptr)
    two.streams[0].synchronize()
    (found,) = cudart.findings()
    assert found.startswith("the host has changed bytes 0 to 127 of memory")


def test_a_result_in_pinned_memory_is_there_only_when_it_is_waited_for(two, request):
    two.host[:] = 1
    two.fill(0)
    two.copy(0, two.pinned.ptr, two.x.data.ptr)
    early = two.host[:HALF].copy()
    two.streams[0].synchronize()
    assert (two.host[:HALF] == 0).all()
    if request.node.callspec.params["streams_order"] == "late":
        assert np.isnan(early).all()
