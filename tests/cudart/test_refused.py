"""CUDA's rules of captures: what they refuse, and with which code.

The codes are those of NVIDIA's pages on errors and streams and of the programming guide's part on stream capture;
where they name none, those that HIP's tests expect of NVIDIA's runtime.
"""

from threading import Thread

import numpy as np
import pytest

from tests.support.real_cupy import (
    MODES,
    UNSAFE,
    Code,
    add,
    address,
    capturing,
    copy,
    empty,
    is_usable,
    kernel,
    new_stream,
    only_stand_in,
    pending,
    put,
    record,
    refused,
    slow_add,
    values,
)

# --- what a capture refuses; whatever it is, the capture is lost, ends with 901, and the stream works again


def lose(cupy, stream, mode, code, call, *arguments):
    """Make a call that the capture does not allow, by the code it is to have; then end."""
    kernel("add")  # loading it would wait for the device
    x, y = put(values()), empty()
    cupy.cuda.runtime.deviceSynchronize()
    with capturing(stream, mode):
        add(x, y, 1, stream)
        with refused(*code if isinstance(code, tuple) else (code,)):
            call(*arguments)
        with refused(Code.CAPTURE_INVALIDATED):
            add(x, y, 1, stream)
        with refused(Code.CAPTURE_INVALIDATED):
            stream.end_capture()
    stream.synchronize()
    assert (y.get(stream=stream) == -1).all()
    is_usable(stream, cupy)


@pytest.mark.parametrize("mode", MODES.values(), ids=MODES)
def test_a_capturing_stream_is_not_waited_for(cupy, stream, mode):
    lose(cupy, stream, mode, Code.CAPTURE_UNSUPPORTED, stream.synchronize)


@pytest.mark.parametrize("mode", MODES.values(), ids=MODES)
def test_a_capturing_stream_is_not_asked(cupy, arrays, stream, mode):
    with capturing(stream, mode):
        assert cupy.cuda.runtime.streamQuery(stream.ptr) == Code.CAPTURE_UNSUPPORTED
        with refused(Code.CAPTURE_INVALIDATED):
            stream.end_capture()
    is_usable(stream, cupy)


@pytest.mark.parametrize("mode", MODES.values(), ids=MODES)
def test_a_device_that_captures_is_not_waited_for(cupy, stream, mode):
    lose(cupy, stream, mode, Code.CAPTURE_UNSUPPORTED, cupy.cuda.runtime.deviceSynchronize)


@pytest.mark.parametrize("mode", MODES.values(), ids=MODES)
def test_a_device_that_captures_is_not_waited_for_by_another_thread(cupy, stream, mode):
    def elsewhere():
        found = []

        def wait():
            try:
                cupy.cuda.runtime.deviceSynchronize()
            except cupy.cuda.runtime.CUDARuntimeError as error:
                found.append(error)

        thread = Thread(target=wait)
        thread.start()
        thread.join()
        for error in found:
            raise error

    lose(cupy, stream, mode, Code.CAPTURE_UNSUPPORTED, elsewhere)


def test_another_device_is_waited_for_during_a_capture(two_gpus, arrays):
    """The rule is of handles that encompass the capturing stream."""
    x, y, _ = arrays
    stream = new_stream()
    with capturing(stream):
        add(x, y, 1, stream)
        with two_gpus.cuda.Device(1):
            two_gpus.cuda.runtime.deviceSynchronize()
        graph = stream.end_capture()
    graph.launch(stream)
    stream.synchronize()
    assert (y.get() == values(1)).all()


@pytest.mark.parametrize("mode", MODES.values(), ids=MODES)
def test_a_captured_event_is_not_waited_for(cupy, stream, mode):
    def wait():
        record(stream).synchronize()

    lose(cupy, stream, mode, Code.CAPTURED_EVENT, wait)


@pytest.mark.parametrize("mode", MODES.values(), ids=MODES)
def test_a_captured_event_is_not_asked(cupy, arrays, stream, mode):
    with capturing(stream, mode):
        event = record(stream)
        assert cupy.cuda.runtime.eventQuery(event.ptr) == Code.CAPTURED_EVENT
        with refused(Code.CAPTURE_INVALIDATED):
            stream.end_capture()
    is_usable(stream, cupy)


def test_a_captured_event_can_be_recorded_again_outside(cupy, arrays, stream):
    x, y, _ = arrays
    with capturing(stream):
        event = record(stream)
        stream.end_capture()
    slow_add(x, y, 1, stream)
    event.record(stream)
    event.synchronize()
    assert event.done
    assert (y.get(stream=stream) == values(1)).all()


@pytest.mark.parametrize("mode", UNSAFE.values(), ids=UNSAFE)
def test_nothing_is_allocated_during_a_capture(cupy, stream, mode):
    lose(cupy, stream, mode, Code.CAPTURE_UNSUPPORTED, cupy.cuda.runtime.malloc, 1 << 20)


def test_memory_is_allocated_during_a_relaxed_capture(cupy, arrays):
    x, y, _ = arrays
    stream = new_stream()
    with capturing(stream):
        pointer = cupy.cuda.runtime.malloc(1 << 20)
        add(x, y, 1, stream)
        graph = stream.end_capture()
    cupy.cuda.runtime.free(pointer)
    graph.launch(stream)
    stream.synchronize()
    assert (y.get() == values(1)).all()


def test_other_events_are_asked_during_a_relaxed_capture(cupy, arrays):
    x, y, z = arrays
    stream, other = new_stream(), new_stream()
    slow_add(x, z, 1, other)
    event = record(other)
    with capturing(stream):
        add(x, y, 1, stream)
        pending(event)
        event.synchronize()
        assert event.done
        other.synchronize()
        graph = stream.end_capture()
    graph.launch(stream)
    stream.synchronize()
    assert (y.get() == values(1)).all()


def test_times_are_asked_during_a_capture(cupy, arrays, stream):
    marks = record(new_stream(), timing=True), record(new_stream(), timing=True)
    cupy.cuda.runtime.deviceSynchronize()
    with capturing(stream):
        cupy.cuda.get_elapsed_time(*marks)
        stream.end_capture()


def test_a_capture_waits_for_nothing_outside(cupy, arrays, stream):
    x, y, _ = arrays
    other = new_stream()
    slow_add(x, y, 1, other)
    event = record(other)
    lose(cupy, stream, None, Code.CAPTURE_ISOLATION, stream.wait_event, event)


def test_captures_do_not_merge(cupy, arrays):
    x, y, _ = arrays
    first, second = new_stream(), new_stream()
    with capturing(first), capturing(second):
        add(x, y, 1, first)
        with refused(Code.CAPTURE_MERGE):
            second.wait_event(record(first))
    is_usable(first, cupy)
    is_usable(second, cupy)


def test_a_capture_is_lost_with_all_its_streams(cupy, arrays):
    x, y, _ = arrays
    main, side = new_stream(), new_stream()
    with capturing(main):
        side.wait_event(record(main))
        add(x, y, 1, side)
        with refused(Code.CAPTURE_UNSUPPORTED):
            side.synchronize()
        for each in (main, side):
            with refused(Code.CAPTURE_INVALIDATED):
                add(x, y, 1, each)
        with refused(Code.CAPTURE_INVALIDATED):
            main.end_capture()
    is_usable(main, cupy)
    is_usable(side, cupy)


def test_other_captures_are_not_lost_with_it(cupy, arrays):
    x, y, _ = arrays
    lost, kept = new_stream(), new_stream()
    with capturing(lost), capturing(kept):
        add(x, y, 1, kept)
        with refused(Code.CAPTURE_UNSUPPORTED):
            lost.synchronize()
        graph = kept.end_capture()
        with refused(Code.CAPTURE_INVALIDATED):
            lost.end_capture()
    graph.launch(kept)
    kept.synchronize()
    assert (y.get() == values(1)).all()


def test_a_peers_copy_is_not_captured(two_gpus, arrays):
    only_stand_in("no page says that cudaMemcpyPeerAsync cannot be captured, or with which code it is refused")
    x, _, _ = arrays
    with two_gpus.cuda.Device(1):
        there = empty()
        two_gpus.cuda.runtime.deviceSynchronize()
    stream = new_stream()
    lose(
        two_gpus,
        stream,
        None,
        Code.CAPTURE_UNSUPPORTED,
        two_gpus.cuda.runtime.memcpyPeerAsync,
        *(address(there), 1, address(x), 0, x.nbytes, stream.ptr),
    )


# --- the default stream during a capture: it encompasses blocking streams, and only those


def test_the_default_stream_is_free_while_a_non_blocking_stream_captures(cupy, arrays):
    x, y, z = arrays
    stream = new_stream()
    with capturing(stream):
        add(x, y, 1, stream)
        add(x, z, 2)
        cupy.cuda.Stream.null.synchronize()
        host = np.zeros_like(values())
        copy(host, z)
        assert not cupy.cuda.runtime.streamIsCapturing(0)
        graph = stream.end_capture()
    assert (host == values(2)).all()
    assert (y.get() == -1).all()
    graph.launch(stream)
    stream.synchronize()
    assert (y.get() == values(1)).all()


@pytest.mark.parametrize("mode", MODES.values(), ids=MODES)
@pytest.mark.parametrize("what", ["kernel", "copy", "memset", "record", "wait"])
def test_the_default_stream_is_not_used_while_a_blocking_stream_captures(cupy, arrays, what, mode):
    x, y, _ = arrays
    null, runtime, host = cupy.cuda.Stream.null, cupy.cuda.runtime, np.zeros_like(values())
    event = record(new_stream())
    event.synchronize()
    calls = {
        "kernel": (add, x, y),
        "copy": (copy, host, x),
        "memset": (runtime.memset, address(y), 0, y.nbytes),
        "record": (cupy.cuda.Event().record, null),
        "wait": (null.wait_event, event),
    }
    codes = (Code.CAPTURE_IMPLICIT,)
    if what in ("copy", "memset") and mode in UNSAFE.values():
        codes += (Code.CAPTURE_UNSUPPORTED,)  # they wait, too; HIP's tests expect 906 of NVIDIA, no page says which
    lose(cupy, new_stream(non_blocking=False), mode, codes, *calls[what])


def test_the_default_stream_does_not_know_whether_it_captures(cupy):
    """While a blocking stream does; asking does no harm."""
    stream = new_stream(non_blocking=False)
    with capturing(stream):
        with refused(Code.CAPTURE_IMPLICIT):
            cupy.cuda.runtime.streamIsCapturing(0)
        stream.end_capture()
    assert not cupy.cuda.runtime.streamIsCapturing(0)


def test_other_devices_have_their_own_default_stream(two_gpus, arrays):
    stream = new_stream(non_blocking=False)
    x, y, _ = arrays
    with capturing(stream):
        add(x, y, 1, stream)
        with two_gpus.cuda.Device(1):
            there, result = put(values()), empty()
            add(there, result, 1)
            assert (result.get() == values(1)).all()
        graph = stream.end_capture()
    graph.launch(stream)
    stream.synchronize()
    assert (y.get() == values(1)).all()
