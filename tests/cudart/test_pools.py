"""CuPy's pools of memory, on CUDA's rules."""

import numpy as np
import pytest

from tests.support.real_cupy import address, copy, empty, pinned, values

MIB = 1 << 20
HUGE = 1 << 45  # bytes, more than any GPU has


# --- CuPy's pools


def test_a_pool_gives_the_same_block_again(cupy):
    pool = cupy.cuda.MemoryPool()
    with cupy.cuda.using_allocator(pool.malloc):
        array = cupy.empty(1000, np.uint8)
        where = address(array)
        assert pool.used_bytes() == 1024
        del array
        assert (pool.used_bytes(), pool.total_bytes()) == (0, 1024)
        again = cupy.empty(900, np.uint8)
        assert address(again) == where
        del again
    pool.free_all_blocks()
    assert pool.total_bytes() == 0


def test_a_pool_gives_its_memory_back_to_cuda(cupy):
    """On a GPU that nobody else uses."""
    before, _ = cupy.cuda.runtime.memGetInfo()
    pool = cupy.cuda.MemoryPool()
    with cupy.cuda.using_allocator(pool.malloc):
        array = cupy.empty(16 * MIB, np.uint8)
        assert before - cupy.cuda.runtime.memGetInfo()[0] >= 16 * MIB
        del array
    pool.free_all_blocks()
    assert cupy.cuda.runtime.memGetInfo()[0] == before


def test_a_pool_has_a_limit(cupy):
    pool = cupy.cuda.MemoryPool()
    pool.set_limit(size=MIB)
    with cupy.cuda.using_allocator(pool.malloc):
        with pytest.raises(cupy.cuda.memory.OutOfMemoryError):
            cupy.empty(2 * MIB, np.uint8)
        assert cupy.empty(MIB, np.uint8).nbytes == MIB


def test_a_pinned_pool_gives_the_same_block_again(cupy):
    pool = cupy.cuda.PinnedMemoryPool()
    first = pool.malloc(1000)
    where = first.ptr
    assert first.size() == 1024
    del first
    assert pool.n_free_blocks() == 1
    assert pool.malloc(1024).ptr == where
    pool.free_all_blocks()
    assert pool.n_free_blocks() == 0


def test_pinned_memory_is_the_hosts_too(cupy):
    host = pinned(values(9))
    target = empty()
    copy(target, host)
    host += 1
    assert (target.get() == values(9)).all()
    assert (host == values(10)).all()
