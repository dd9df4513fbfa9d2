"""CUDA's rules of graphs: what a capture takes and what it refuses with which code, and what a launch does.

The codes are those of NVIDIA's pages on errors and streams and of the programming guide's part on stream capture;
where they name none, those that HIP's tests expect of NVIDIA's runtime.
"""

import gc
from contextlib import suppress
from threading import Thread

import numpy as np
import pytest
from real_cupy import (
    Code,
    add,
    address,
    capturing,
    copy,
    empty,
    kernel,
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

MODES = {"global": 0, "thread": 1, "relaxed": 2}
UNSAFE = {"global": 0, "thread": 1}  # modes in which calls that are not captured are refused


@pytest.fixture
def arrays(cupy):
    """Make x, which holds numbers, and y and z, which hold -1; all kernels are loaded."""
    kernel("add")
    kernel("slow_add")
    made = put(values()), empty(), empty()
    cupy.cuda.runtime.deviceSynchronize()
    return made


@pytest.fixture(params=[True, False], ids=["non-blocking", "blocking"])
def stream(request, cupy):
    """Make a stream of either kind."""
    return new_stream(non_blocking=request.param)


def captured(stream, *work, mode=None):
    """Capture calls, and return the graph."""
    stream.begin_capture(mode)
    for call, *arguments in work:
        call(*arguments)
    return stream.end_capture()


def is_usable(stream, cupy):
    """Check that a stream works as ever: it computes, and it can be captured."""
    x, y = put(values()), empty()
    cupy.cuda.runtime.deviceSynchronize()
    assert not stream.is_capturing()
    add(x, y, 1, stream)
    captured(stream, (add, y, x, 1, stream)).launch(stream)
    stream.synchronize()
    assert (x.get(stream=stream) == values(2)).all()


# --- capture and launch


@pytest.mark.parametrize("mode", MODES.values(), ids=MODES)
def test_captured_work_runs_when_the_graph_is_launched(cupy, arrays, stream, mode):
    _, y, _ = arrays
    graph = captured(stream, (add, y, y, 3, stream), mode=mode)
    stream.synchronize()
    assert (y.get(stream=stream) == -1).all()
    for runs in (1, 2, 3):
        graph.launch(stream)
        assert (y.get(stream=stream) == 3 * runs - 1).all()


def test_a_graph_keeps_the_order_of_its_stream(cupy, arrays, stream):
    x, y, z = arrays
    graph = captured(stream, (slow_add, x, y, 1, stream), (add, y, z, 1, stream), (add, z, y, 1, stream))
    graph.launch(stream)
    stream.synchronize()
    assert (z.get() == values(2)).all()
    assert (y.get() == values(3)).all()


def test_a_graph_is_launched_on_any_stream(cupy, arrays, stream):
    _, y, _ = arrays
    graph = captured(stream, (add, y, y, 1, stream))
    for where in (new_stream(), new_stream(non_blocking=False), cupy.cuda.Stream.null):
        graph.launch(where)
        where.synchronize()
    assert (y.get() == 2).all()


def test_launches_of_a_graph_come_one_after_the_other(cupy, arrays, stream):
    _, y, _ = arrays
    graph = captured(stream, (slow_add, y, y, 1, stream), (add, y, y, 1, stream))
    for _ in range(3):
        graph.launch(stream)
    late = pending(stream)
    stream.synchronize()
    assert (y.get() == 5).all()
    assert late or not lazy()


def test_a_graph_is_part_of_its_stream(cupy, arrays, stream):
    """It comes after what was queued before, and before what is queued later."""
    x, y, z = arrays
    graph = captured(stream, (add, y, z, 10, stream))
    slow_add(x, y, 1, stream)
    graph.launch(stream)
    add(z, x, 100, stream)
    stream.synchronize()
    assert (x.get() == values(111)).all()


def test_an_event_behind_a_graph_is_done_when_the_graph_is(cupy, arrays, stream):
    x, y, z = arrays
    graph = captured(stream, (slow_add, x, y, 1, stream))
    graph.launch(stream)
    other = new_stream()
    other.wait_event(record(stream))
    add(y, z, 1, other)
    other.synchronize()
    assert (z.get() == values(2)).all()


def test_work_that_was_queued_before_is_not_captured(cupy, arrays, stream):
    x, y, _ = arrays
    slow_add(x, y, 1, stream)
    graph = captured(stream, (add, y, y, 100, stream))
    stream.synchronize()
    assert (y.get() == values(1)).all()
    graph.launch(stream)
    stream.synchronize()
    assert (y.get() == values(101)).all()


def test_a_stream_that_waits_for_nothing_of_it_is_not_captured(cupy, arrays):
    x, y, _ = arrays
    stream, other = new_stream(), new_stream()
    with capturing(stream):
        add(x, y, 1, other)
        other.synchronize()
        assert not other.is_capturing()
        stream.end_capture()
    assert (y.get() == values(1)).all()


def test_numbers_are_those_of_the_capture_and_memory_that_of_the_launch(cupy, arrays, stream):
    x, y, _ = arrays
    number = np.array(5, np.float32)
    stream.begin_capture()
    kernel("add")((1,), (x.size,), (x, y, number), stream=stream)
    graph = stream.end_capture()
    number[...] = 9
    for start in (0, 50, 7):
        copy(x, pinned(values(start)), stream)
        graph.launch(stream)
        assert (y.get(stream=stream) == values(start + 5)).all()


@pytest.mark.parametrize("make", [pinned, np.array], ids=["pinned", "pageable"])
def test_a_captured_copy_reads_the_host_at_every_launch(cupy, arrays, stream, make):
    _, y, _ = arrays
    host = make(values())
    graph = captured(stream, (copy, y, host, stream))
    for start in (30, 60):
        host[:] = values(start)
        graph.launch(stream)
        assert (y.get(stream=stream) == values(start)).all()


@pytest.mark.parametrize("make", [pinned, np.array], ids=["pinned", "pageable"])
def test_a_captured_copy_writes_to_the_host_at_every_launch(cupy, arrays, stream, make):
    x, _, _ = arrays
    host = make(np.full(x.size, -1, np.float32))
    graph = captured(stream, (copy, host, x, stream))
    assert (host == -1).all()
    for start in (30, 60):
        copy(x, pinned(values(start)), stream)
        graph.launch(stream)
        stream.synchronize()
        assert (host == values(start)).all()


def test_memset_and_copies_inside_the_gpu_are_captured(cupy, arrays, stream):
    x, y, z = arrays
    runtime = cupy.cuda.runtime
    graph = captured(stream, (copy, y, x, stream), (runtime.memsetAsync, address(z), 0, z.nbytes, stream.ptr))
    stream.synchronize()
    assert (y.get() == -1).all()
    assert (z.get() == -1).all()
    graph.launch(stream)
    stream.synchronize()
    assert (y.get() == values()).all()
    assert (z.get() == 0).all()


def test_an_empty_graph_does_nothing(cupy, stream):
    graph = captured(stream)
    graph.launch(stream)
    stream.synchronize()
    is_usable(stream, cupy)


def test_a_graph_can_be_uploaded_first(cupy, arrays, stream):
    _, y, _ = arrays
    graph = captured(stream, (add, y, y, 1, stream))
    graph.upload(stream)
    stream.synchronize()
    assert (y.get() == -1).all()
    graph.launch(stream)
    assert (y.get(stream=stream) == 0).all()


def test_an_instance_outlives_its_graph_its_stream_and_events(cupy, arrays):
    """cudaGraphInstantiate makes a copy, so that the graph may be destroyed."""
    runtime = cupy.cuda.runtime
    x, y, z = arrays
    stream, side = new_stream(), new_stream()
    runtime.streamBeginCapture(stream.ptr, MODES["relaxed"])
    side.wait_event(record(stream))
    slow_add(x, y, 1, side)
    stream.wait_event(record(side))
    add(y, z, 1, stream)
    graph = runtime.streamEndCapture(stream.ptr)
    instance = runtime.graphInstantiate(graph)
    runtime.graphDestroy(graph)
    del stream, side
    gc.collect()
    other = new_stream()
    runtime.graphLaunch(instance, other.ptr)
    other.synchronize()
    assert (z.get() == values(2)).all()
    runtime.graphExecDestroy(instance)


def test_an_instance_that_is_destroyed_finishes(cupy, arrays, stream):
    x, y, z = arrays
    graph = captured(stream, (slow_add, x, y, 1, stream), (add, y, z, 1, stream))
    graph.launch(stream)
    del graph
    gc.collect()
    stream.synchronize()
    assert (z.get() == values(2)).all()


def test_many_instances_of_one_graph(cupy, arrays):
    runtime = cupy.cuda.runtime
    _, y, _ = arrays
    stream = new_stream()
    runtime.streamBeginCapture(stream.ptr, MODES["relaxed"])
    add(y, y, 1, stream)
    graph = runtime.streamEndCapture(stream.ptr)
    instances = [runtime.graphInstantiate(graph) for _ in range(3)]
    runtime.graphDestroy(graph)
    for instance in instances:
        runtime.graphLaunch(instance, stream.ptr)
        runtime.graphExecDestroy(instance)
    stream.synchronize()
    assert (y.get() == 2).all()


def test_a_graph_captured_once_is_not_captured_again_by_a_second(cupy, arrays, stream):
    _, y, _ = arrays
    graphs = [captured(stream, *[(add, y, y, 1, stream)] * count) for count in (1, 2, 3)]
    for graph in graphs:
        graph.launch(stream)
    assert (y.get(stream=stream) == 5).all()


def test_two_captures_at_once_are_two_graphs(cupy, arrays):
    x, y, z = arrays
    first, second = new_stream(), new_stream()
    with capturing(first), capturing(second):
        add(x, y, 1, first)
        add(x, z, 2, second)
        graphs = first.end_capture(), second.end_capture()
    graphs[1].launch(second)
    second.synchronize()
    assert (y.get() == -1).all()
    assert (z.get() == values(2)).all()
    graphs[0].launch(first)
    first.synchronize()
    assert (y.get() == values(1)).all()


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


# --- what a capture refuses; whatever it is, the capture is lost, ends with 901, and the stream works again


def lose(cupy, stream, mode, code, call, *arguments):
    """Make a call that the capture does not allow, by the code it is to have; then end."""
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
    # Copies and memsets that wait are refused for that too, and which of the two is said is not documented.
    codes = Code.CAPTURE_IMPLICIT, Code.CAPTURE_UNSUPPORTED
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
