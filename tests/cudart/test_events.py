"""CUDA's rules of events: what comes after what, what waits for what, and what is only another's business.

A slow kernel comes first where the order matters: a wait that is forgotten shows on a GPU, and in every order of the
stand-in that runs the other stream earlier.
"""

import numpy as np
import pytest

from tests.support.real_cupy import (
    Code,
    add,
    copy,
    new_stream,
    pending,
    pinned,
    record,
    refused,
    slow_add,
    values,
    waits_until_then,
)

TICK = 0.001  # ms: two events are told apart by about half a microsecond


# --- events


def test_an_event_that_was_never_recorded_is_done(cupy):
    event = cupy.cuda.Event()
    assert event.done
    event.synchronize()
    stream = new_stream()
    stream.wait_event(event)
    stream.synchronize()


def test_an_event_is_done_when_the_work_before_it_is(cupy, arrays):
    x, y, z = arrays
    stream = new_stream()
    slow_add(x, y, 1, stream)
    event = record(stream)
    slow_add(x, z, 1, stream)
    event.synchronize()
    host = pinned(np.zeros_like(values()))
    other = new_stream()
    copy(host, y, other)  # which waits for nothing
    other.synchronize()
    assert (host == values(1)).all()
    assert event.done
    stream.synchronize()


def test_an_event_is_not_done_before_the_work_is(cupy, arrays):
    waits_until_then()
    x, y, _ = arrays
    stream = new_stream()
    slow_add(x, y, 1, stream)
    event = record(stream)
    assert not event.done
    while not event.done:  # asking again and again comes to an end, without any wait
        pass
    assert (y.get() == values(1)).all()


def test_an_event_ends_the_wait_for_what_is_before_it_only(cupy, arrays):
    waits_until_then()
    x, y, z = arrays
    stream = new_stream()
    slow_add(x, y, 1, stream)
    event = record(stream)
    slow_add(x, z, 1, stream)
    event.synchronize()
    assert pending(stream)
    stream.synchronize()


def test_a_stream_waits_for_anothers_event(cupy, arrays):
    x, y, z = arrays
    first, second = new_stream(), new_stream()
    slow_add(x, y, 1, first)
    second.wait_event(record(first))
    add(y, z, 1, second)
    second.synchronize()
    assert (z.get() == values(2)).all()


def test_a_wait_passes_on_what_its_stream_has_waited_for(cupy, arrays):
    x, y, z = arrays
    first, second, third = new_stream(), new_stream(), new_stream()
    slow_add(x, y, 1, first)
    second.wait_event(record(first))
    third.wait_event(record(second))
    add(y, z, 1, third)
    third.synchronize()
    assert (z.get() == values(2)).all()


def test_a_stream_that_gave_an_event_does_not_wait(cupy, arrays):
    waits_until_then()
    x, y, z = arrays
    first, second = new_stream(), new_stream()
    event = record(first)
    second.wait_event(event)
    slow_add(x, y, 1, second)
    add(x, z, 1, first)
    first.synchronize()
    assert pending(second)
    second.synchronize()


def test_a_wait_is_for_the_record_before_it(cupy, arrays):
    """Recording again later changes neither the wait nor its end."""
    waits_until_then()
    x, y, z = arrays
    first, second = new_stream(), new_stream()
    event = record(first)
    second.wait_event(event)
    slow_add(x, y, 1, first)
    event.record(first)
    add(x, z, 1, second)
    second.synchronize()
    assert pending(event)
    event.synchronize()
    assert (y.get() == values(1)).all()


def test_a_wait_before_any_record_is_none(cupy, arrays):
    waits_until_then()
    x, y, z = arrays
    first, second = new_stream(), new_stream()
    event = cupy.cuda.Event(disable_timing=True)
    second.wait_event(event)
    slow_add(x, y, 1, first)
    event.record(first)
    add(x, z, 1, second)
    second.synchronize()
    assert pending(event)
    event.synchronize()


def test_an_event_that_is_destroyed_is_still_waited_for(cupy, arrays):
    x, y, z = arrays
    first, second = new_stream(), new_stream()
    slow_add(x, y, 1, first)
    event = record(first)
    second.wait_event(event)
    del event
    add(y, z, 1, second)
    second.synchronize()
    assert (z.get() == values(2)).all()


def test_an_event_on_the_default_stream_comes_after_blocking_streams(cupy, arrays):
    x, y, z = arrays
    blocking, free = new_stream(non_blocking=False), new_stream()
    slow_add(x, y, 1, blocking)
    event = cupy.cuda.Event(disable_timing=True)
    event.record(cupy.cuda.Stream.null)
    free.wait_event(event)
    add(y, z, 1, free)
    free.synchronize()
    assert (z.get() == values(2)).all()


def test_waiting_on_the_default_stream_holds_blocking_streams(cupy, arrays):
    x, y, z = arrays
    blocking, free = new_stream(non_blocking=False), new_stream()
    slow_add(x, y, 1, free)
    cupy.cuda.Stream.null.wait_event(record(free))
    add(y, z, 1, blocking)
    blocking.synchronize()
    assert (z.get() == values(2)).all()


def test_a_null_event_is_refused(cupy):
    runtime, stream = cupy.cuda.runtime, new_stream()
    assert runtime.eventQuery(0) == Code.INVALID_HANDLE
    with refused(Code.INVALID_HANDLE):
        runtime.eventRecord(0, stream.ptr)
    with refused(Code.INVALID_HANDLE):
        runtime.eventSynchronize(0)
    with refused(Code.INVALID_HANDLE):
        runtime.streamWaitEvent(stream.ptr, 0)


def test_an_events_flag_that_is_none_is_refused(cupy):
    with refused(Code.INVALID_VALUE):
        cupy.cuda.runtime.eventCreateWithFlags(0x08000000)


# --- times


def test_times_add_up(cupy, arrays):
    x, y, z = arrays
    stream = new_stream()
    marks = [record(stream, timing=True)]
    for target in (y, z):
        slow_add(x, target, 1, stream)
        marks.append(record(stream, timing=True))
    marks[-1].synchronize()
    first, second, both = (cupy.cuda.get_elapsed_time(marks[a], marks[b]) for a, b in ((0, 1), (1, 2), (0, 2)))
    assert first > 1  # 10^7 steps, each after the other, in less than a millisecond: no machine does that
    assert second > 1
    assert both == pytest.approx(first + second, abs=3 * TICK, rel=1e-6)  # one tick each; float32
    assert cupy.cuda.get_elapsed_time(marks[0], marks[0]) == 0


def test_there_is_no_time_before_both_have_happened(cupy, arrays):
    waits_until_then()
    x, y, _ = arrays
    stream = new_stream()
    first = record(stream, timing=True)
    slow_add(x, y, 1, stream)
    second = record(stream, timing=True)
    with refused(Code.NOT_READY):
        cupy.cuda.get_elapsed_time(first, second)
    second.synchronize()
    assert cupy.cuda.get_elapsed_time(first, second) > 0


def test_there_is_no_time_of_what_was_never_recorded(cupy):
    event = record(new_stream(), timing=True)
    event.synchronize()
    with refused(Code.INVALID_HANDLE):
        cupy.cuda.get_elapsed_time(event, cupy.cuda.Event())
    with refused(Code.INVALID_HANDLE):
        cupy.cuda.get_elapsed_time(cupy.cuda.Event(), event)


def test_there_is_no_time_without_timing(cupy):
    stream = new_stream()
    timed, plain = record(stream, timing=True), record(stream)
    stream.synchronize()
    with refused(Code.INVALID_HANDLE):
        cupy.cuda.get_elapsed_time(timed, plain)


def test_there_is_no_time_between_two_devices(two_gpus):
    marks = []
    for index in (0, 1):
        with two_gpus.cuda.Device(index):
            marks.append(record(new_stream(), timing=True))
            marks[-1].synchronize()
    with refused(Code.INVALID_HANDLE):
        two_gpus.cuda.get_elapsed_time(*marks)
