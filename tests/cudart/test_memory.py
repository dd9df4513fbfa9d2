"""CUDA's rules of memory: allocations, what a pointer is, copies in every direction, pinned memory."""

from itertools import pairwise

import numpy as np
import pytest

from tests.support.real_cupy import (
    SIZE,
    Code,
    add,
    address,
    copy,
    empty,
    forget_findings,
    in_child,
    lazy,
    new_stream,
    only_stand_in,
    pending,
    pinned,
    put,
    record,
    refused,
    slow_add,
    status,
    values,
)

MIB = 1 << 20
HUGE = 1 << 45  # bytes, more than any GPU has


# --- allocations


def test_allocations_are_aligned_and_apart(cupy):
    """The programming guide promises 256 bytes."""
    runtime = cupy.cuda.runtime
    sizes = [1, 255, 256, 257, 4097, MIB]
    pointers = [runtime.malloc(size) for size in sizes]
    try:
        assert all(pointer and pointer % 256 == 0 for pointer in pointers)
        spans = sorted(zip(pointers, sizes, strict=True))
        assert all(start + size <= after for (start, size), (after, _) in pairwise(spans))
    finally:
        for pointer in pointers:
            runtime.free(pointer)


def test_nothing_is_freed_for_null(cupy):
    cupy.cuda.runtime.free(0)
    cupy.cuda.runtime.freeHost(0)


def test_memory_is_freed_once(cupy):
    runtime = cupy.cuda.runtime
    pointer = runtime.malloc(1024)
    runtime.free(pointer)
    with refused(Code.INVALID_VALUE):
        runtime.free(pointer)


def test_only_the_start_of_an_allocation_frees_it(cupy):
    runtime = cupy.cuda.runtime
    pointer = runtime.malloc(1024)
    with refused(Code.INVALID_VALUE):
        runtime.free(pointer + 256)
    runtime.free(pointer)


def test_host_memory_is_not_freed_as_device_memory_nor_the_other_way(cupy):
    runtime = cupy.cuda.runtime
    array = np.zeros(SIZE)
    with refused(Code.INVALID_VALUE):
        runtime.free(array.ctypes.data)
    pointer = runtime.malloc(1024)
    with refused(Code.INVALID_VALUE):
        runtime.freeHost(pointer)
    runtime.free(pointer)


def test_pinned_memory_is_freed_once(cupy):
    runtime = cupy.cuda.runtime
    pointer = runtime.hostAlloc(1024, 0)
    runtime.freeHost(pointer)
    with refused(Code.INVALID_VALUE):
        runtime.freeHost(pointer)


def test_what_is_allocated_is_not_free(cupy):
    """On a GPU that nobody else uses."""
    runtime = cupy.cuda.runtime
    before, _ = runtime.memGetInfo()
    pointer = runtime.malloc(32 * MIB)
    between, _ = runtime.memGetInfo()
    runtime.free(pointer)
    after, _ = runtime.memGetInfo()
    assert before - between >= 32 * MIB
    assert after == before


def test_too_much_is_refused_and_leaves_all_as_it_was(cupy):
    runtime = cupy.cuda.runtime
    before = runtime.memGetInfo()
    with refused(Code.MEMORY_ALLOCATION):
        runtime.malloc(HUGE)
    assert runtime.memGetInfo() == before
    x, y = put(values()), empty()
    add(x, y)
    assert (y.get() == values(1)).all()


def test_cupy_says_how_much_there_was(cupy):
    with pytest.raises(cupy.cuda.memory.OutOfMemoryError, match=f"allocating {HUGE:,} bytes"):
        cupy.empty(HUGE, np.uint8)


def fill_a_small_gpu():
    import cupy

    runtime = cupy.cuda.runtime
    _, total = runtime.memGetInfo()
    pool = cupy.get_default_memory_pool()
    first = cupy.empty(total * 5 // 8, np.uint8)
    second = status(cupy.empty, total * 5 // 8, np.uint8)
    del first  # CuPy keeps it, and gives it back to CUDA when there is no other way
    kept = pool.total_bytes() > 0
    third = cupy.empty(total * 3 // 4, np.uint8)
    return second, kept, third.nbytes == total * 3 // 4


def test_a_full_gpu_has_room_again_once_the_pool_lets_go(cupy):
    only_stand_in("it fills the GPU")
    assert in_child(fill_a_small_gpu, memory=64 * MIB) == [Code.MEMORY_ALLOCATION, True, True]


# --- what a pointer is


def test_a_pointer_knows_what_it_points_to(cupy):
    runtime = cupy.cuda.runtime
    on_gpu, on_host, plain = put(values()), pinned(values()), values()
    for offset in (0, 8):
        found = runtime.pointerGetAttributes(address(on_gpu) + offset)
        assert (found.type, found.device) == (runtime.memoryTypeDevice, 0)
        assert found.devicePointer == address(on_gpu) + offset
        found = runtime.pointerGetAttributes(address(on_host) + offset)
        assert found.type == runtime.memoryTypeHost
        assert found.hostPointer == address(on_host) + offset
    assert runtime.pointerGetAttributes(address(plain)).type == 0  # cudaMemoryTypeUnregistered


# --- copies


@pytest.mark.parametrize("source", ["gpu", "pinned", "pageable"])
@pytest.mark.parametrize("target", ["gpu", "pinned", "pageable"])
@pytest.mark.parametrize("told", [True, False])
@pytest.mark.parametrize("waits", [True, False])
def test_copies_in_every_direction(cupy, source, target, told, waits):
    runtime = cupy.cuda.runtime
    make = {"gpu": put, "pinned": pinned, "pageable": np.array}
    x, y = make[source](values(7)), make[target](np.full(SIZE, -1, np.float32))
    kinds = {
        ("gpu", "gpu"): runtime.memcpyDeviceToDevice,
        ("gpu", "host"): runtime.memcpyDeviceToHost,
        ("host", "gpu"): runtime.memcpyHostToDevice,
        ("host", "host"): runtime.memcpyHostToHost,
    }
    where = tuple("gpu" if each == "gpu" else "host" for each in (source, target))
    kind = kinds[where] if told else runtime.memcpyDefault
    runtime.deviceSynchronize()
    stream = None if waits else new_stream()
    copy(y, x, stream, kind)
    if stream is not None:
        stream.synchronize()
    if target == "gpu":
        y = y.get()
    assert (y == values(7)).all()


def test_parts_are_copied_and_their_neighbours_left(cupy):
    runtime = cupy.cuda.runtime
    x, y = put(values(1)), empty()
    runtime.memcpy(address(y) + 12, address(x) + 4, 20, runtime.memcpyDeviceToDevice)
    wanted = np.full(SIZE, -1, np.float32)
    wanted[3:8] = values(1)[1:6]
    assert (y.get() == wanted).all()


def test_nothing_is_copied_for_size_zero(cupy):
    runtime = cupy.cuda.runtime
    x, y = put(values()), empty()
    runtime.memcpy(address(y), address(x), 0, runtime.memcpyDeviceToDevice)
    assert (y.get() == -1).all()


@pytest.mark.parametrize("kind", [5, 99, -1])
def test_a_direction_that_is_none_is_refused(cupy, kind):
    x, y = put(values()), empty()
    with refused(Code.INVALID_DIRECTION):
        copy(y, x, None, kind)
    with refused(Code.INVALID_DIRECTION):
        copy(y, x, new_stream(), kind)
    assert (y.get() == -1).all()


def test_a_direction_that_the_pointers_do_not_have_is_refused(cupy):
    only_stand_in("CUDA leaves it undefined")
    runtime = cupy.cuda.runtime
    x, y, host = put(values()), empty(), np.zeros(SIZE, np.float32)
    for target, source, kind in (
        (y, x, runtime.memcpyHostToDevice),
        (host, x, runtime.memcpyHostToDevice),
        (y, host, runtime.memcpyDeviceToHost),
        (y, host, runtime.memcpyDeviceToDevice),
    ):
        with refused(Code.INVALID_VALUE, Code.INVALID_DIRECTION):
            copy(target, source, None, kind)
    assert (y.get() == -1).all()


def test_a_copy_beyond_the_end_is_refused(cupy):
    only_stand_in("a GPU's allocations may be larger than what was asked for")
    runtime = cupy.cuda.runtime
    pointer, host = runtime.malloc(1024), np.zeros(2048, np.uint8)
    for target, source in ((pointer, address(host)), (address(host), pointer)):
        with refused(Code.INVALID_VALUE):
            runtime.memcpy(target, source, 1025, runtime.memcpyDefault)
    with refused(Code.INVALID_VALUE):
        runtime.memset(pointer, 0, 1025)
    with refused(Code.INVALID_VALUE):
        runtime.memset(pointer + 1, 0, 1024)
    runtime.memset(pointer, 0, 1024)
    runtime.free(pointer)


@pytest.mark.parametrize("waits", [True, False])
def test_memset_takes_the_low_byte(cupy, waits):
    runtime = cupy.cuda.runtime
    array = cupy.empty(16, np.uint8)
    runtime.memset(address(array), 0, 16)
    if waits:
        runtime.memset(address(array) + 3, 0x1A5, 5)
    else:
        stream = new_stream()
        runtime.deviceSynchronize()
        runtime.memsetAsync(address(array) + 3, 0x1A5, 5, stream.ptr)
        stream.synchronize()
    assert array.get().tolist() == [0] * 3 + [0xA5] * 5 + [0] * 8


@pytest.mark.parametrize("waits", [True, False])
def test_rows_are_copied_by_their_pitch(cupy, waits):
    runtime = cupy.cuda.runtime
    x, y = put(values()), empty()
    stream = new_stream()
    runtime.deviceSynchronize()
    where = address(y), 32, address(x), 16, 12, 4, runtime.memcpyDeviceToDevice
    if waits:
        runtime.memcpy2D(*where)
    else:
        runtime.memcpy2DAsync(*where, stream.ptr)
        stream.synchronize()
    wanted = np.full(SIZE, -1, np.float32)
    for row in range(4):
        wanted[8 * row : 8 * row + 3] = values()[4 * row : 4 * row + 3]
    assert (y.get() == wanted).all()


def test_rows_are_not_wider_than_their_pitch(cupy):
    x, y = put(values()), empty()
    for pitches in ((8, 16), (16, 8)):
        with refused(Code.INVALID_PITCH):
            cupy.cuda.runtime.memcpy2D(
                address(y), pitches[0], address(x), pitches[1], 12, 2, cupy.cuda.runtime.memcpyDeviceToDevice
            )


# --- when bytes are taken and given: on a GPU, and in late order, the copies wait behind a slow kernel; in other orders
# they may have been done at the call


def behind_a_slow_kernel(cupy):
    """Make a stream that is busy."""
    stream = new_stream()
    x, y = put(values()), empty()
    cupy.cuda.runtime.deviceSynchronize()
    slow_add(x, y, 1, stream)
    return stream, (x, y)


def test_pinned_bytes_are_taken_when_the_copy_runs(cupy):
    host, target = pinned(values()), empty()
    stream, _kept = behind_a_slow_kernel(cupy)
    copy(target, host, stream)
    host[:] = values(100)
    stream.synchronize()
    taken = target.get()
    forget_findings()  # one is that the host has changed what a copy reads
    assert (taken == values(100)).all() or (not lazy() and (taken == values()).all())


def test_pageable_bytes_are_taken_at_the_call(cupy):
    host, target = values(), empty()
    stream, _kept = behind_a_slow_kernel(cupy)
    copy(target, host, stream)
    host[:] = 100
    stream.synchronize()
    assert (target.get() == values()).all()


def test_bytes_come_to_pinned_memory_when_the_copy_runs(cupy):
    host, source = pinned(np.full(SIZE, -1, np.float32)), put(values(3))
    stream, _kept = behind_a_slow_kernel(cupy)
    copy(host, source, stream)
    early = (host == values(3)).any()
    assert not (early and lazy())
    record(stream).synchronize()
    assert (host == values(3)).all()


def test_bytes_come_to_pageable_memory_at_the_call(cupy):
    """The call returns once the copy is complete, and so does all that comes before on that stream."""
    host = np.full(SIZE, -1, np.float32)
    stream, (_, y) = behind_a_slow_kernel(cupy)
    copy(host, y, stream)
    assert (host == values(1)).all()


@pytest.mark.parametrize("make", [pinned, np.array], ids=["pinned", "pageable"])
def test_cudamemcpy_from_and_to_the_host_waits(cupy, make):
    x, y = put(values()), empty()
    slow_add(x, y)  # on the default stream
    host = make(np.full(SIZE, -1, np.float32))
    copy(host, y)
    assert (host == values(1)).all()
    host[:] = values(50)
    copy(y, host)
    host[:] = -1
    assert (y.get() == values(50)).all()


def test_get_waits_for_its_stream(cupy):
    stream, (_, y) = behind_a_slow_kernel(cupy)
    assert (y.get(stream=stream) == values(1)).all()


def test_a_copy_inside_the_gpu_does_not_keep_the_host(cupy):
    """Neither cudaMemcpy from device to device nor cudaMemset waits, and both come in order."""
    runtime = cupy.cuda.runtime
    x, y, z = put(values()), empty(), empty()
    runtime.deviceSynchronize()
    slow_add(x, y)
    copy(z, y, None, runtime.memcpyDeviceToDevice)
    runtime.memset(address(y), 0, y.nbytes)
    late = pending(cupy.cuda.Stream.null)
    assert (z.get() == values(1)).all()
    assert (y.get() == 0).all()
    assert late or not lazy()
