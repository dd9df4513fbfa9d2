"""Copies between host and GPU on the real CuPy: how much memory they pin, and what arrives."""

import numpy as np
import pytest

from cualex.devices import host_copies
from cualex.devices.cuda import CudaDevice
from cualex.devices.cupy_runtime import CupyRuntime
from tests import cudart
from tests.support.real_cupy import Code, lazy, status


@pytest.fixture
def pinned(cupy):
    """List how many bytes are pinned, of a pool that is empty at first."""
    pool, asked = cupy.cuda.PinnedMemoryPool(), []

    class Watched:
        @staticmethod
        def malloc(nbytes):
            asked.append(nbytes)
            return pool.malloc(nbytes)

    cupy.cuda.set_pinned_memory_allocator(Watched.malloc)
    yield asked, pool
    cupy.cuda.set_pinned_memory_allocator(cupy.get_default_pinned_memory_pool().malloc)


@pytest.fixture
def gpu(cupy):
    return CudaDevice("cuda:0", CupyRuntime(), 0, "fp32")


def test_memory_is_cleared_without_any_of_the_hosts(pinned, gpu):
    """The largest array of alexnet took 256 MB of pinned memory for zeros, which CuPy's pool never gives back."""
    asked, _ = pinned
    y = gpu.allocate((1000, 100))
    gpu.upload(y, np.ones((1000, 100)))
    asked.clear()
    z = gpu.allocate((1000, 100), zero=True)
    gpu.zero(y)
    assert asked == []
    assert (gpu.download(y) == 0).all()
    assert (gpu.download(z) == 0).all()


@pytest.mark.parametrize("count", [1, 1000, 12_345, 100_000])
def test_a_large_upload_goes_in_pieces(pinned, gpu, monkeypatch, count):
    monkeypatch.setattr(host_copies, "PIECE", 4096)
    asked, pool = pinned
    values = np.arange(count, dtype=np.float32)
    y = gpu.allocate((count,))
    gpu.upload(y, values)
    np.testing.assert_array_equal(gpu.download(y), values)
    assert max(asked) <= 4096
    assert sum(asked) == values.nbytes
    gpu.upload(y, values + 1)  # all that was pinned is used again
    np.testing.assert_array_equal(gpu.download(y), values + 1)
    del gpu
    assert pool.n_free_blocks() <= 2 * host_copies.PIECES + 2


def test_peers_that_another_library_has_made_are_peers(two_gpus):
    two_gpus.cuda.Device(0).use()
    assert status(two_gpus.cuda.runtime.deviceEnablePeerAccess, 1) in (Code.SUCCESS, Code.PEERS_ALREADY_ENABLED)
    runtime = CupyRuntime()
    one, other = (CudaDevice(f"cuda:{index}", runtime, index, "fp32") for index in range(2))
    x, y = one.allocate((8,)), other.allocate((8,))
    one.upload(x, np.arange(8))
    one.synchronize()
    other.link(one, x, y, "test", finite=False)
    assert (other.download(y) == np.arange(8)).all()
    assert status(two_gpus.cuda.runtime.deviceEnablePeerAccess, 1) == Code.PEERS_ALREADY_ENABLED


def test_a_batch_in_pinned_memory_is_not_copied_again(pinned, gpu):
    """It is read where it is, also a part of it, until `loaded` says that it has arrived; other memory is copied."""
    asked, _ = pinned
    rows, y = gpu.staging((6, 1000), np.int32), gpu.allocate((6, 1000), np.int32)
    rows[:] = np.arange(6000).reshape(6, 1000)
    asked.clear()
    gpu.load([(y[:3], rows[:3])], None)
    gpu.load([(y[3:], rows[3:])], None)
    assert asked == []
    gpu.loaded()()
    rows[:] = -1
    assert (gpu.runtime.download(gpu._inputs.stream, y) == np.arange(6000).reshape(6, 1000)).all()
    gpu.load([(y, rows * 2)], None)
    assert asked == [rows.nbytes]
    assert (gpu.runtime.download(gpu._inputs.stream, y) == -2).all()


GATHERED = {  # of a block of 112 bytes: offset, type, shape, values
    "images": (0, np.uint8, (2, 3), np.arange(6).reshape(2, 3)),
    "views": (8, np.int32, (2, 3), np.array([[5, -6, 1]])),
    "labels": (48, np.int32, (2,), np.array([-1, 7], np.int64)),
    "colours": (64, np.float32, (2, 3), np.array([[0.1, 2, 3], [4, 5, -6]])),
}


@pytest.mark.parametrize("case", ["one copy", "large", "staged"])
def test_the_inputs_of_a_block_are_gathered(pinned, gpu, monkeypatch, case):
    """One copy, whose values may change at once; each its own where they are large, or lie in pinned memory."""
    block, inputs = gpu.allocate((112,), np.uint8, zero=True), []
    for offset, dtype, shape, values in GATHERED.values():
        count = int(np.prod(shape))
        target = block[offset : offset + count * np.dtype(dtype).itemsize].view(dtype).reshape(shape)
        inputs.append((target, values.copy()))
    if case == "large":
        monkeypatch.setattr(host_copies, "PIECE", 111)
    if case == "staged":
        images = gpu.staging((2, 3), np.uint8)
        images[:] = inputs[0][1]
        inputs[0] = inputs[0][0], images
    asked, _ = pinned
    asked.clear()
    gpu.load(inputs, block)
    assert asked == {"one copy": [112], "large": [6, 24, 8, 24], "staged": [24, 8, 24]}[case]
    for _, values in inputs[case == "staged" :]:
        values[:] = 99
    for (target, _), (_, dtype, shape, values) in zip(inputs, GATHERED.values(), strict=True):
        found = gpu.download(target)
        assert found.dtype == dtype
        np.testing.assert_array_equal(found, np.broadcast_to(values, shape).astype(dtype))


def test_small_uploads_share_an_event(cupy, gpu, monkeypatch):
    """The host makes none for each of them, and keeps no more of them than it must."""
    made, record = [], gpu.runtime._copies._record
    monkeypatch.setattr(gpu.runtime._copies, "_record", lambda stream: made.append(stream) or record(stream))
    y = gpu.allocate((3,))
    for step in range(2 * host_copies.UNMARKED):
        gpu.upload(y, np.full(3, step))
    assert len(made) == 2
    assert gpu.download(y).tolist() == [2 * host_copies.UNMARKED - 1] * 3


def test_memory_of_staging_that_is_gone_is_not_taken_for_it(gpu):
    rows = gpu.staging((100,), np.int32)
    staged = gpu.runtime._copies._staged
    assert len(staged) == 1
    del rows
    assert staged == set()


@pytest.mark.parametrize("early", [False, True])
def test_what_is_changed_before_it_has_arrived_is_found(stand_in, gpu, early):
    """Planted: arrays are filled again without waiting."""
    rows, y = gpu.staging((1000,), np.int32), gpu.allocate((1000,), np.int32)
    rows[:] = 1
    gpu.load([(y, rows)], None)
    wait = gpu.loaded()
    if not early:
        wait()
    rows[:] = 2
    gpu.runtime.download(gpu._inputs.stream, y)
    found = cudart.findings()
    assert all("the host has changed bytes" in each for each in found)
    assert early or not found
    assert found or not (early and lazy())
