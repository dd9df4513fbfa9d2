"""CUDA's rules of what is lost: illegal addresses, memory that was freed, and processes that were forked.

All of it ends the CUDA of its process, so it happens in children.
"""

import os

import numpy as np
import pytest

from tests.support.real_cupy import (
    SIZE,
    Code,
    add,
    address,
    copy,
    empty,
    in_child,
    kernel,
    new_stream,
    only_stand_in,
    put,
    record,
    slow_add,
    status,
    values,
)

MIB = 1 << 20


def poke(where):
    """Write to an address; return what the call and the wait for it say."""
    import cupy

    called = status(kernel("poke"), (1,), (1,), (np.uint64(where),))
    return called, status(cupy.cuda.runtime.deviceSynchronize)


# --- an illegal address


def write_to_nowhere():
    import cupy

    runtime = cupy.cuda.runtime
    x, y, host, stream = put(values()), empty(), np.zeros(SIZE, np.float32), new_stream()
    pinned = cupy.cuda.alloc_pinned_memory(4 * SIZE)
    event = record(stream, timing=True)
    kernel("add")
    found = {"call": poke(16)}
    found["later"] = {
        "synchronize": status(runtime.deviceSynchronize),
        "stream": status(stream.synchronize),
        "event": status(event.synchronize),
        "query": runtime.streamQuery(stream.ptr),
        "record": status(event.record, stream),
        "launch": status(add, x, y),
        "copy": status(copy, host, x),
        "queued copy": status(runtime.memcpyAsync, pinned.ptr, address(x), 4 * SIZE, runtime.memcpyDefault, stream.ptr),
        "memset": status(runtime.memset, address(y), 0, y.nbytes),
        "malloc": status(runtime.malloc, 1024),
        "pinned": status(runtime.hostAlloc, 1024, 0),
        "new stream": status(runtime.streamCreate),
        "free memory": status(runtime.memGetInfo),
        "free": status(runtime.free, address(x)),
    }
    return found


def test_an_illegal_address_makes_every_later_call_fail(cupy):
    """CUDA's page on errors: "any further CUDA work will return the same error"."""
    found = in_child(write_to_nowhere)
    assert found["call"][1] == Code.ILLEGAL_ADDRESS
    assert found["call"][0] in (Code.SUCCESS, Code.ILLEGAL_ADDRESS)  # the launch, or only the wait
    assert {name for name, code in found["later"].items() if code != Code.ILLEGAL_ADDRESS} == set()


def write_behind_an_event():
    import cupy

    stream, other, event = new_stream(), new_stream(), cupy.cuda.Event(disable_timing=True)
    function = kernel("poke")
    called = status(function, (1,), (1,), (np.uint64(16),))
    queued = status(event.record), status(other.wait_event, event)  # what comes at once is told here already
    waits = status(event.synchronize), status(other.synchronize), status(stream.synchronize)
    return [called, *queued], [*waits, status(cupy.cuda.runtime.deviceSynchronize)]


def test_an_error_of_a_kernel_is_told_by_whoever_waits(cupy):
    queued, waits = in_child(write_behind_an_event)
    assert set(queued) <= {Code.SUCCESS, Code.ILLEGAL_ADDRESS}
    assert waits == [Code.ILLEGAL_ADDRESS] * 4  # in the end of a stream, too, that has nothing to do with it


def write_in_a_graph():
    import cupy

    kernel("poke")
    stream = new_stream()
    stream.begin_capture()
    kernel("poke")((1,), (1,), (np.uint64(16),), stream=stream)
    graph = stream.end_capture()
    before = status(cupy.cuda.runtime.deviceSynchronize)
    graph.launch(stream)
    return before, status(stream.synchronize)


def test_a_graph_meets_an_illegal_address_when_it_runs(cupy):
    assert in_child(write_in_a_graph) == [Code.SUCCESS, Code.ILLEGAL_ADDRESS]


# --- memory that is not the kernel's


def write_to_freed_memory():
    import cupy

    pointer = cupy.cuda.runtime.malloc(64 * MIB)
    kernel("poke")
    before = poke(pointer + 32 * MIB)
    cupy.cuda.runtime.free(pointer)
    return before, poke(pointer + 32 * MIB)


def test_memory_that_was_freed_is_not_written(cupy):
    """CUDA leaves it undefined; a GPU takes large allocations out of its map at once."""
    before, after = in_child(write_to_freed_memory)
    assert before == [Code.SUCCESS, Code.SUCCESS]
    assert after[1] == Code.ILLEGAL_ADDRESS


def copy_from_freed_memory():
    import cupy

    runtime = cupy.cuda.runtime
    pointer, host = runtime.malloc(1024), np.zeros(256, np.float32)
    runtime.free(pointer)
    found = [status(runtime.memcpy, address(host), pointer, 1024, runtime.memcpyDeviceToHost)]
    found.append(status(runtime.memset, pointer, 0, 1024))
    x = put(values())
    add(x, x)
    return [*found, bool((x.get() == values(1)).all())]


def test_memory_that_was_freed_is_not_copied(cupy):
    """The call is refused, and nothing is lost."""
    only_stand_in("CUDA leaves it undefined")
    *codes, right = in_child(copy_from_freed_memory)
    assert set(codes) <= {Code.INVALID_VALUE, Code.INVALID_DIRECTION}
    assert right


def write_past_the_end():
    import cupy

    pointer = cupy.cuda.runtime.malloc(1024)
    kernel("poke")
    return poke(pointer + 1020), poke(pointer + 1024)


def test_memory_past_the_end_is_not_written(cupy):
    only_stand_in("a GPU maps whole pages")
    inside, outside = in_child(write_past_the_end)
    assert inside == [Code.SUCCESS, Code.SUCCESS]
    assert outside[1] == Code.ILLEGAL_ADDRESS


def write_to_the_hosts_memory():
    host = np.zeros(SIZE, np.float32)
    return poke(address(host))


def test_pageable_memory_is_not_the_gpus(cupy):
    if cupy.cuda.runtime.getDeviceProperties(0)["pageableMemoryAccess"]:
        pytest.skip("this GPU reads pageable memory")
    assert in_child(write_to_the_hosts_memory)[1] == Code.ILLEGAL_ADDRESS


def write_to_pinned_memory():
    import cupy

    memory = cupy.cuda.alloc_pinned_memory(256)
    view = np.frombuffer(memory, np.float32, 64)
    view[:] = 0
    return *poke(memory.ptr), view[:2].tolist()


def test_pinned_memory_is_the_gpus_too(cupy):
    """By unified addressing, as all memory of cudaHostAlloc is."""
    assert in_child(write_to_pinned_memory) == [Code.SUCCESS, Code.SUCCESS, [1, 0]]


def free_before_the_kernel_has_run():
    import cupy

    runtime = cupy.cuda.runtime
    x, stream = put(values()), new_stream()
    runtime.deviceSynchronize()
    pointer = runtime.malloc(x.nbytes)
    memory = cupy.cuda.UnownedMemory(pointer, x.nbytes, None)
    y = cupy.ndarray(SIZE, np.float32, cupy.cuda.MemoryPointer(memory, 0))
    slow_add(x, y, 1, stream)
    freed = status(runtime.free, pointer)
    return freed, status(stream.synchronize)


def test_free_waits_for_the_device(cupy):
    """The programming guide: freeing device memory synchronizes implicitly, so that no kernel loses what it uses."""
    assert in_child(free_before_the_kernel_has_run) == [Code.SUCCESS, Code.SUCCESS]


# --- processes


def use_cuda_after_a_fork():
    import cupy

    runtime = cupy.cuda.runtime
    x = put(values())
    read, write = os.pipe()
    child = os.fork()
    if not child:
        os.write(write, b"%d %d" % (status(runtime.malloc, 1024), status(runtime.deviceSynchronize)))
        os._exit(0)
    os.waitpid(child, 0)
    found = [int(word) for word in os.read(read, 100).split()]
    add(x, x)
    return found, bool((x.get() == values(1)).all())


def test_a_forked_process_has_no_cuda(cupy):
    assert in_child(use_cuda_after_a_fork) == [[Code.INITIALIZATION] * 2, True]


def fork_before_cuda():
    import cupy

    read, write = os.pipe()
    child = os.fork()
    if not child:
        x = put(values())
        add(x, x)
        os.write(write, b"%d" % int((x.get() == values(1)).all()))
        os._exit(0)
    os.waitpid(child, 0)
    x = put(values())
    add(x, x)
    return os.read(read, 10) == b"1", bool((x.get() == values(1)).all()), cupy.cuda.runtime.getDevice()


def test_a_process_that_was_forked_before_cuda_began_has_it(cupy):
    assert in_child(fork_before_cuda) == [True, True, 0]


def say_what_is_there():
    import cupy

    x = put(values())
    add(x, x)
    return cupy.cuda.runtime.getDeviceCount(), bool((x.get() == values(1)).all())


def test_a_process_of_its_own_has_a_gpu_of_its_own(cupy):
    """What a child loses is not lost here."""
    assert in_child(write_to_nowhere)["call"][1] == Code.ILLEGAL_ADDRESS
    assert in_child(say_what_is_there) == [cupy.cuda.runtime.getDeviceCount(), True]
    x = put(values())
    add(x, x)
    assert (x.get() == values(1)).all()
