"""CUDA's rules of streams: what comes after what, what waits for what, and what is only another's business.

A slow kernel comes first where the order matters: a wait that is forgotten shows on a GPU, and in every order of the
stand-in that runs the other stream earlier.
"""

from threading import Thread

import numpy as np
import pytest

from tests.support.real_cupy import (
    Code,
    add,
    copy,
    empty,
    lazy,
    new_stream,
    pending,
    put,
    record,
    refused,
    slow_add,
    values,
    waits_until_then,
)

# --- streams


def test_a_streams_work_comes_in_order(cupy, arrays):
    x, y, z = arrays
    stream = new_stream()
    slow_add(x, y, 1, stream)
    add(y, z, 10, stream)
    add(z, y, 100, stream)
    stream.synchronize()
    assert (z.get() == values(11)).all()
    assert (y.get() == values(111)).all()


def test_flags_and_priorities_are_kept(cupy):
    assert not cupy.cuda.Stream().is_non_blocking
    assert cupy.cuda.Stream(non_blocking=True).is_non_blocking
    assert not cupy.cuda.Stream.null.is_non_blocking
    assert cupy.cuda.Stream().priority == 0
    assert cupy.cuda.Stream(priority=-1).priority == -1
    assert cupy.cuda.Stream(priority=5).priority == 0  # brought into the range that there is


def test_a_flag_that_is_none_is_refused(cupy):
    with refused(Code.INVALID_VALUE):
        cupy.cuda.runtime.streamCreateWithFlags(0x80)


def test_an_empty_stream_is_done(cupy):
    stream = new_stream()
    assert stream.done
    stream.synchronize()
    assert not stream.is_capturing()


def test_a_stream_is_waited_for_alone(cupy, arrays):
    x, y, z = arrays
    busy, other = new_stream(), new_stream()
    slow_add(x, y, 1, busy)
    add(x, z, 1, other)
    other.synchronize()
    late = pending(busy)
    busy.synchronize()
    assert (y.get() == values(1)).all()
    assert (z.get() == values(1)).all()
    assert not pending(busy)
    assert late or not lazy()


def test_the_device_is_waited_for_with_all_its_streams(cupy, arrays):
    x, y, z = arrays
    streams = new_stream(), new_stream(non_blocking=False)
    slow_add(x, y, 1, streams[0])
    slow_add(x, z, 2, streams[1])
    cupy.cuda.runtime.deviceSynchronize()
    assert not any(pending(stream) for stream in (*streams, cupy.cuda.Stream.null))
    assert (y.get() == values(1)).all()
    assert (z.get() == values(2)).all()


def test_a_stream_that_is_destroyed_finishes_its_work(cupy, arrays):
    x, y, _ = arrays
    stream = new_stream()
    slow_add(x, y, 1, stream)
    del stream
    cupy.cuda.runtime.deviceSynchronize()
    assert (y.get() == values(1)).all()


def test_other_devices_are_not_waited_for(two_gpus, arrays):
    waits_until_then()
    cupy = two_gpus
    x, y, _ = arrays
    stream = new_stream()
    slow_add(x, y, 1, stream)
    with cupy.cuda.Device(1):
        cupy.cuda.runtime.deviceSynchronize()
    assert pending(stream)
    stream.synchronize()
    assert (y.get() == values(1)).all()


# --- the default stream


def test_the_default_stream_and_blocking_ones_wait_for_each_other(cupy, arrays):
    """The example of CUDA's page on stream synchronization: k_2 waits for k_1, k_3 for k_2."""
    x, y, z = arrays
    stream, other = new_stream(non_blocking=False), new_stream(non_blocking=False)
    slow_add(x, y, 1, stream)
    slow_add(y, z, 1)
    add(z, x, 1, other)
    other.synchronize()
    assert (x.get() == values(3)).all()


def test_a_copy_on_the_default_stream_waits_for_blocking_streams(cupy, arrays):
    x, y, _ = arrays
    stream = new_stream(non_blocking=False)
    slow_add(x, y, 1, stream)
    host = np.zeros_like(values())
    copy(host, y)
    assert (host == values(1)).all()
    assert not pending(stream)


def test_a_non_blocking_stream_is_not_waited_for(cupy, arrays):
    waits_until_then()
    x, y, z = arrays
    stream = new_stream()
    slow_add(x, y, 1, stream)
    add(x, z, 1)
    cupy.cuda.Stream.null.synchronize()
    host = np.zeros_like(values())
    copy(host, z)
    assert pending(stream)
    assert (host == values(1)).all()
    stream.synchronize()
    assert (y.get() == values(1)).all()


def test_a_non_blocking_stream_does_not_wait(cupy, arrays):
    waits_until_then()
    x, y, z = arrays
    stream = new_stream()
    slow_add(x, y, 1)
    add(x, z, 1, stream)
    stream.synchronize()
    assert pending(cupy.cuda.Stream.null)
    assert (z.get(stream=stream) == values(1)).all()
    cupy.cuda.Stream.null.synchronize()
    assert (y.get() == values(1)).all()


def test_every_device_has_a_default_stream_of_its_own(two_gpus, arrays):
    waits_until_then()
    cupy = two_gpus
    x, y, _ = arrays
    with cupy.cuda.Device(1):
        there, result = put(values()), empty()
        cupy.cuda.runtime.deviceSynchronize()
    slow_add(x, y)
    with cupy.cuda.Device(1):
        add(there, result)
        cupy.cuda.Stream.null.synchronize()
        assert (result.get() == values(1)).all()
    assert pending(cupy.cuda.Stream.null)
    cupy.cuda.Stream.null.synchronize()
    assert (y.get() == values(1)).all()


def test_the_default_stream_of_a_thread_is_non_blocking_towards_others_threads(cupy, arrays):
    """Cupy's Stream.ptds: blocking towards the legacy default stream, and a stream of its own."""
    x, y, z = arrays
    ptds = cupy.cuda.Stream.ptds
    slow_add(x, y, 1, ptds)
    add(y, z, 1)  # the legacy default stream waits for it
    cupy.cuda.Stream.null.synchronize()
    assert (z.get() == values(2)).all()
    assert ptds.done


# --- two devices: the list in the programming guide, "Stream and Event Behavior"


@pytest.fixture
def places(two_gpus):
    """Make a stream and two arrays on either device."""
    made = []
    for index in (0, 1):
        with two_gpus.cuda.Device(index):
            made.append((new_stream(), put(values(index)), empty()))
            two_gpus.cuda.runtime.deviceSynchronize()
    return made


def test_a_kernel_is_not_queued_on_another_devices_stream(two_gpus, places):
    (_, x, y), (there, _, _) = places
    with refused(Code.INVALID_HANDLE):
        add(x, y, 1, there)
    there.synchronize()
    assert (y.get() == -1).all()


def test_a_copy_may_be_queued_on_another_devices_stream(two_gpus, places):
    (_, x, y), (there, _, _) = places
    copy(y, x, there)
    two_gpus.cuda.runtime.memsetAsync(x.data.ptr, 0, x.nbytes, there.ptr)
    there.synchronize()
    assert (y.get() == values()).all()
    assert (x.get() == 0).all()


def test_an_event_is_recorded_on_its_own_devices_streams_only(two_gpus, places):
    event = two_gpus.cuda.Event()
    with refused(Code.INVALID_HANDLE):
        event.record(places[1][0])
    event.record(places[0][0])


def test_an_event_is_asked_from_any_device(two_gpus, places):
    stream, x, y = places[0]
    slow_add(x, y, 1, stream)
    event = record(stream)
    with two_gpus.cuda.Device(1):
        pending(event)
        event.synchronize()
        assert event.done
    assert (y.get() == values(1)).all()


def test_a_stream_waits_for_another_devices_event(two_gpus, places):
    (here, x, y), (there, _, target) = places
    slow_add(x, y, 1, here)
    event = record(here)
    with two_gpus.cuda.Device(1):
        there.wait_event(event)
        copy(target, y, there)
        there.synchronize()
        assert (target.get() == values(1)).all()


def test_a_kernel_waits_for_another_devices_copy(two_gpus, places):
    (here, x, y), (there, source, target) = places
    with two_gpus.cuda.Device(1):
        slow_add(source, target, 1, there)
        copy(x, target, there)
        event = record(there)
    here.wait_event(event)
    add(x, y, 1, here)
    here.synchronize()
    assert (y.get() == values(3)).all()


# --- threads


def test_a_current_stream_is_a_threads_own(cupy):
    stream, found = new_stream(), []
    with stream:
        thread = Thread(target=lambda: found.append(cupy.cuda.get_current_stream().ptr))
        thread.start()
        thread.join()
        assert cupy.cuda.get_current_stream() == stream
    assert found == [0]


def test_one_thread_waits_for_what_another_has_queued(cupy, arrays):
    x, y, z = arrays
    stream = new_stream()
    thread = Thread(target=lambda: (slow_add(x, y, 1, stream), add(y, z, 1, stream)))
    thread.start()
    thread.join()
    stream.synchronize()
    assert (z.get() == values(2)).all()


def test_threads_queue_and_wait_at_once(cupy):
    found = {}

    def work(number):
        stream = new_stream()
        with stream:
            x, y = put(values(number)), empty()
            for _ in range(50):
                add(x, y, 1, stream)
                add(y, x, 1, stream)
                record(stream).synchronize()
            found[number] = bool((x.get(stream=stream) == values(number + 100)).all())

    empty()  # the kernels are loaded before
    add(empty(), empty())
    threads = [Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == dict.fromkeys(range(4), True)
