"""CUDA's rules of captures: how they fork and join, begin and end.

The codes are those of NVIDIA's pages on errors and streams and of the programming guide's part on stream capture;
where they name none, those that HIP's tests expect of NVIDIA's runtime.
"""

from contextlib import suppress
from threading import Thread

import pytest

from tests.support.real_cupy import (
    MODES,
    UNSAFE,
    Code,
    add,
    address,
    captured,
    capturing,
    copy,
    empty,
    is_usable,
    new_stream,
    only_stand_in,
    record,
    refused,
    slow_add,
    status,
    values,
)

# --- fork and join


def test_a_capture_spreads_to_streams_that_wait_for_it(cupy, arrays):
    x, y, z = arrays
    main, side = new_stream(), new_stream()
    with capturing(main):
        slow_add(x, y, 1, main)
        side.wait_event(record(main))
        assert side.is_capturing()
        add(y, z, 1, side)
        main.wait_event(record(side))
        add(z, y, 1, main)
        graph = main.end_capture()
    assert not main.is_capturing()
    assert not side.is_capturing()
    side.synchronize()
    assert (z.get() == -1).all()
    for _ in range(2):
        graph.launch(main)
    main.synchronize()
    assert (y.get() == values(3)).all()
    assert (z.get() == values(2)).all()


def test_branches_are_joined_through_each_other(cupy, arrays):
    x, y, z = arrays
    main, left, right = new_stream(), new_stream(), new_stream()
    with capturing(main):
        start = record(main)
        left.wait_event(start)
        right.wait_event(start)
        slow_add(x, y, 1, left)
        right.wait_event(record(left))
        add(y, z, 1, right)
        main.wait_event(record(right))
        graph = main.end_capture()
    graph.launch(main)
    main.synchronize()
    assert (z.get() == values(2)).all()


def test_a_branch_waits_for_its_fork_and_is_waited_for(cupy, arrays):
    """Either branch is slow: neither edge of the fork nor of the join can be missing."""
    x, y, z = arrays
    main, side = new_stream(), new_stream()
    total = empty()
    cupy.cuda.runtime.deviceSynchronize()
    with capturing(main):
        slow_add(x, y, 1, main)
        side.wait_event(record(main))
        slow_add(y, z, 1, side)
        add(x, x, 0, main)
        main.wait_event(record(side))
        add(z, total, 1, main)
        graph = main.end_capture()
    graph.launch(main)
    add(total, y, 1, main)
    main.synchronize()
    assert (total.get() == values(3)).all()
    assert (y.get() == values(4)).all()


def test_a_branch_that_was_joined_may_fork_again(cupy, arrays):
    x, y, _ = arrays
    main, side = new_stream(), new_stream()
    with capturing(main):
        for _ in range(2):
            side.wait_event(record(main))
            add(x, x, 1, side)
            main.wait_event(record(side))
            add(x, x, 10, main)
        add(x, y, 0, main)
        graph = main.end_capture()
    graph.launch(main)
    main.synchronize()
    assert (y.get() == values(22)).all()


def test_a_wait_inside_one_branch_changes_nothing(cupy, arrays):
    x, y, _ = arrays
    main = new_stream()
    with capturing(main):
        add(x, y, 1, main)
        main.wait_event(record(main))
        add(y, y, 1, main)
        graph = main.end_capture()
    graph.launch(main)
    main.synchronize()
    assert (y.get() == values(2)).all()


def test_a_capture_over_two_devices(two_gpus, arrays):
    cupy = two_gpus
    x, y, z = arrays
    with cupy.cuda.Device(1):
        there, after = empty(), empty()
        cupy.cuda.runtime.deviceSynchronize()
        side = new_stream()
    main = new_stream()
    with capturing(main):
        slow_add(x, y, 1, main)
        event = record(main)
        with cupy.cuda.Device(1):
            side.wait_event(event)
            cupy.cuda.runtime.memsetAsync(address(there), 0, there.nbytes, side.ptr)
            slow_add(there, after, 5, side)
            event = record(side)
        main.wait_event(event)
        add(y, z, 1, main)
        graph = main.end_capture()
    for _ in range(2):
        graph.launch(main)
    main.synchronize()
    assert (z.get() == values(2)).all()
    with cupy.cuda.Device(1):
        assert (after.get() == 5).all()


def test_copies_between_peers_are_captured(two_gpus, arrays):
    """By their addresses (cudaMemcpyDefault)."""
    cupy, runtime = two_gpus, two_gpus.cuda.runtime
    if not (runtime.deviceCanAccessPeer(0, 1) and runtime.deviceCanAccessPeer(1, 0)):
        pytest.skip("the first two GPUs are no peers")
    x, y, _ = arrays
    for one, other in ((0, 1), (1, 0)):
        with cupy.cuda.Device(one), suppress(runtime.CUDARuntimeError):
            runtime.deviceEnablePeerAccess(other)
    with cupy.cuda.Device(1):
        there = empty()
        runtime.deviceSynchronize()
    main = new_stream()
    graph = captured(main, (slow_add, x, y, 1, main), (copy, there, y, main), (copy, x, there, main))
    main.synchronize()
    assert (there.get() == -1).all()
    for runs in (1, 2):
        graph.launch(main)
        main.synchronize()
        assert (there.get() == values(runs)).all()
        assert (x.get() == values(runs)).all()


# --- how a capture begins and ends


def test_the_default_stream_is_not_captured(cupy):
    with pytest.raises(RuntimeError, match="default"):  # CuPy's own
        cupy.cuda.Stream.null.begin_capture()
    for handle in (0, cupy.cuda.runtime.streamLegacy):
        with refused(Code.CAPTURE_UNSUPPORTED):
            cupy.cuda.runtime.streamBeginCapture(handle, MODES["relaxed"])


def test_a_capture_begins_once(cupy, arrays, stream):
    x, y, _ = arrays
    with capturing(stream):
        with refused(Code.ILLEGAL_STATE):
            stream.begin_capture()
        add(x, y, 1, stream)
        graph = stream.end_capture()  # which has not harmed it
    graph.launch(stream)
    assert (y.get(stream=stream) == values(1)).all()


def test_a_branch_does_not_begin_a_capture(cupy, arrays):
    x, y, _ = arrays
    main, side = new_stream(), new_stream()
    with capturing(main):
        side.wait_event(record(main))
        with refused(Code.ILLEGAL_STATE):
            side.begin_capture()
        add(x, y, 1, side)
        main.wait_event(record(side))
        graph = main.end_capture()
    graph.launch(main)
    main.synchronize()
    assert (y.get() == values(1)).all()


@pytest.mark.parametrize("mode", [-1, 3])
def test_a_mode_that_is_none_is_refused(cupy, stream, mode):
    with refused(Code.INVALID_VALUE):
        cupy.cuda.runtime.streamBeginCapture(stream.ptr, mode)
    assert not stream.is_capturing()


def test_what_does_not_capture_does_not_end(cupy, stream):
    with refused(Code.ILLEGAL_STATE):
        cupy.cuda.runtime.streamEndCapture(stream.ptr)
    with refused(Code.ILLEGAL_STATE):
        cupy.cuda.runtime.streamEndCapture(0)
    is_usable(stream, cupy)


def test_a_capture_ends_where_it_began(cupy, arrays):
    x, y, _ = arrays
    main, side = new_stream(), new_stream()
    with capturing(main):
        side.wait_event(record(main))
        add(x, y, 1, side)
        main.wait_event(record(side))
        with refused(Code.CAPTURE_UNMATCHED):
            side.end_capture()
    is_usable(main, cupy)
    is_usable(side, cupy)


@pytest.mark.parametrize("mode", UNSAFE.values(), ids=UNSAFE)
def test_a_capture_ends_in_its_thread(cupy, arrays, mode):
    stream, found = new_stream(), []

    with capturing(stream, mode):
        thread = Thread(target=lambda: found.append(status(cupy.cuda.runtime.streamEndCapture, stream.ptr)))
        thread.start()
        thread.join()
    assert found == [Code.CAPTURE_WRONG_THREAD]
    is_usable(stream, cupy)


def test_a_relaxed_capture_ends_in_any_thread(cupy, arrays):
    x, y, _ = arrays
    stream, found = new_stream(), []
    with capturing(stream):
        add(x, y, 1, stream)
        thread = Thread(target=lambda: found.append(stream.end_capture()))
        thread.start()
        thread.join()
    found[0].launch(stream)
    stream.synchronize()
    assert (y.get() == values(1)).all()


def test_a_branch_must_be_joined(cupy, arrays):
    x, y, z = arrays
    main, side = new_stream(), new_stream()
    with capturing(main):
        add(x, y, 1, main)
        side.wait_event(record(main))
        add(y, z, 1, side)
        with refused(Code.CAPTURE_UNJOINED):
            main.end_capture()
        assert not main.is_capturing()
        assert not side.is_capturing()
    cupy.cuda.runtime.deviceSynchronize()
    assert (z.get() == -1).all()
    is_usable(main, cupy)
    is_usable(side, cupy)


def test_work_behind_the_join_is_not_joined(cupy, arrays):
    x, y, z = arrays
    main, side = new_stream(), new_stream()
    with capturing(main):
        side.wait_event(record(main))
        add(x, y, 1, side)
        main.wait_event(record(side))
        add(x, z, 1, side)
        with refused(Code.CAPTURE_UNJOINED):
            main.end_capture()
    is_usable(main, cupy)
    is_usable(side, cupy)


def test_a_capture_is_gone_with_the_stream_that_it_began_on(cupy, arrays):
    only_stand_in("no page says what becomes of it")
    runtime = cupy.cuda.runtime
    x, y, _ = arrays
    handle, side = runtime.streamCreateWithFlags(runtime.streamNonBlocking), new_stream()
    runtime.streamBeginCapture(handle, MODES["global"])
    event = cupy.cuda.Event()
    runtime.eventRecord(event.ptr, handle)
    side.wait_event(event)
    runtime.streamDestroy(handle)
    runtime.free(runtime.malloc(1024))  # nothing forbids it any more
    add(x, y, 1, side)
    side.synchronize()
    assert (y.get() == values(1)).all()


def test_a_stream_does_not_enter_a_capture_that_is_lost(cupy, arrays):
    main, side = new_stream(), new_stream()
    with capturing(main):
        event = record(main)
        with refused(Code.CAPTURE_UNSUPPORTED):
            main.synchronize()
        with refused(Code.INVALID_VALUE):
            side.wait_event(event)
        with refused(Code.CAPTURE_INVALIDATED):
            main.wait_event(event)
    is_usable(main, cupy)
    is_usable(side, cupy)


def test_a_stream_says_whether_it_captures(cupy, stream):
    runtime = cupy.cuda.runtime
    assert not stream.is_capturing()
    with capturing(stream):
        assert stream.is_capturing()
        stream.end_capture()
    assert not stream.is_capturing()
    with capturing(stream):
        assert runtime.streamQuery(stream.ptr) == Code.CAPTURE_UNSUPPORTED
        with pytest.raises(RuntimeError, match="invalidated"):
            stream.is_capturing()
    assert not stream.is_capturing()
