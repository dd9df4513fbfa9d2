"""CUDA's rules of graphs: what a capture takes, and what a launch does."""

import gc

import numpy as np
import pytest

from tests.support.real_cupy import (
    MODES,
    add,
    address,
    captured,
    capturing,
    copy,
    is_usable,
    kernel,
    lazy,
    new_stream,
    pending,
    pinned,
    record,
    slow_add,
    values,
)

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
