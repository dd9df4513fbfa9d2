"""Devices, streams, events and graphs of the emulator: any order that CUDA allows, and what it refuses."""

from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest

from tests.emulator import EmulationError, HazardError, launch_text
from tests.emulator.graphs import CaptureError

pytestmark = pytest.mark.emulator

ADD = """extern "C" __global__ void add(const float* x, float* y, float number, const float* rate) {
    y[threadIdx.x] += x[threadIdx.x] * (rate ? rate[0] : 1) + number;
}"""
ORDERS = [
    {"streams": "eager"},
    {"streams": "late"},
    *({"streams": "random", "seed": seed} for seed in range(6)),
]
SIZE = 8


def add(x, y, number=0.0, rate=None):
    return launch_text(ADD, (x, y, np.float32(number), rate), block=SIZE)


def two_devices(runtime):
    """Make a stream and some arrays on either device."""
    places = []
    for device in (0, 1):
        stream = runtime.stream(device)
        x, y, z = (runtime.allocate(device, (SIZE,), np.float32) for _ in range(3))
        for array in (x, y, z):
            runtime.upload(stream, array, np.zeros(SIZE, np.float32))
        places.append(SimpleNamespace(stream=stream, x=x, y=y, z=z))
    runtime.synchronize()
    return places


def test_memory_is_poison_at_first_and_lasts(emulated):
    runtime = emulated()
    x = runtime.allocate(1, (3, 5), np.uint16)
    assert (x == 0xFFFF).all()
    x[1] = 7
    other = runtime.allocate(1, (4,), np.float32)
    assert np.isnan(other).all()
    assert x.sum() == 10 * 0xFFFF + 5 * 7
    with pytest.raises(ValueError, match="there is no device 2"):
        runtime.allocate(2, (1,), np.float32)


def test_a_kernel_cannot_touch_the_memory_of_another_device(emulated):
    runtime = emulated()
    first, second = two_devices(runtime)
    with pytest.raises(EmulationError) as error:
        runtime.launch(first.stream, add(second.x, first.y))
    assert "touches byte 0 of x (float32 (8,) of device 1), memory of device 1 while device 0 runs" in str(error.value)
    assert "at add.cu:2" in str(error.value)
    second.x[:] = 3  # and it is there again when the kernel has ended
    runtime.launch(second.stream, add(second.x, second.y))
    assert (runtime.download(second.stream, second.y) == 3).all()


def test_an_array_of_the_host_is_no_argument(emulated):
    runtime = emulated()
    first, _ = two_devices(runtime)
    with pytest.raises(EmulationError, match=r"^add: x is not in a device's memory$"):
        runtime.launch(first.stream, add(np.zeros(SIZE, np.float32), first.y))


def pass_on(runtime, forgotten=()):
    """Compute on one device, copy to the other, compute there, twice through the same buffers; return the sum.

    `forgotten` names what is left out of 1: the wait of the copy for the values, 2: of the first device before it
    overwrites them, 3: of the second device for the copy, 4: of the copy before it overwrites what is still read.
    """
    first, second = two_devices(runtime)
    copies = runtime.stream(1)
    wait = {number: () if number in forgotten else runtime.wait for number in range(1, 5)}

    def order(number, later, earlier):
        if wait[number]:
            runtime.wait(later, runtime.record(earlier))

    for number in (1.0, 10.0):
        runtime.launch(first.stream, add(first.x, first.y, number))  # y: 1, then 11
        order(1, copies, first.stream)
        runtime.copy(copies, first.y, second.x)
        order(2, first.stream, copies)
        order(3, second.stream, copies)
        runtime.launch(second.stream, add(second.x, second.y))
        order(4, copies, second.stream)
    return runtime.download(second.stream, second.y)


@pytest.mark.parametrize("order", ORDERS)
def test_events_make_every_order_right(emulated, order):
    assert (pass_on(emulated(**order)) == 1 + 11).all()


@pytest.mark.parametrize("forgotten", [1, 2, 3, 4])
def test_a_forgotten_wait(emulated, forgotten):
    right = [np.array_equal(pass_on(emulated(**order), [forgotten]), np.full(SIZE, 12)) for order in ORDERS]
    assert right[0], "eager streams are right by luck"
    assert not all(right[1:]), "no order shows it"


@pytest.mark.parametrize(
    ("forgotten", "said"),
    [
        (1, "a copy reads its source on a stream of device 1, add writes y on a stream of device 0"),
        (2, "add writes y on a stream of device 0, a copy reads its source on a stream of device 1"),
        (3, "add reads x on a stream of device 1, a copy writes its target on a stream of device 1"),
        (4, "a copy writes its target on a stream of device 1, add reads x on a stream of device 1"),
    ],
)
def test_a_forgotten_wait_is_an_error_where_events_are_watched(emulated, forgotten, said):
    assert (pass_on(emulated(events=True)) == 12).all()
    with pytest.raises(HazardError, match=rf"^{said}: no event says which comes first$"):
        pass_on(emulated(events=True), [forgotten])
    if forgotten in (3, 4):
        assert (pass_on(emulated(events=True, partly=["add.x"]), [forgotten]) == 12).all()


def test_what_the_host_has_waited_for_is_in_order(emulated):
    runtime = emulated(events=True)
    first, second = two_devices(runtime)
    x, y = first.x[:4], first.x[4:]
    runtime.upload(first.stream, x, np.zeros(4, np.float32))
    runtime.upload(second.stream, y, np.zeros(4, np.float32))  # the other half
    runtime.copy(first.stream, x, second.x[:4])
    runtime.copy(second.stream, first.z, second.y)
    runtime.copy(first.stream, first.z, second.z)  # both read
    with pytest.raises(HazardError, match=r"^add writes y on a stream of device 1, a copy reads its source"):
        runtime.launch(second.stream, add(second.y, first.z))
    runtime.download(first.stream, x)
    runtime.upload(second.stream, x, np.ones(4, np.float32))
    assert (runtime.download(second.stream, first.x) == [1, 1, 1, 1, 0, 0, 0, 0]).all()


def test_a_copy_has_arrived_only_when_an_event_says_so(emulated):
    for order in ORDERS[1:]:
        runtime = emulated(**order)
        first, second = two_devices(runtime)
        copies = runtime.stream(1)
        early = runtime.record(copies)
        runtime.copy(copies, first.x, second.x)
        on_time = runtime.record(copies)
        runtime.copy(copies, first.x, second.z)
        runtime.wait(second.stream, on_time)
        runtime.launch(second.stream, add(second.x, second.y))
        assert (runtime.download(second.stream, second.y) == 0).all()
        assert early is not on_time
    seen = set()
    for seed in range(20):
        runtime = emulated(streams="random", seed=seed)
        first, second = two_devices(runtime)
        copies = runtime.stream(1)
        runtime.copy(copies, first.x, second.x)
        runtime.launch(second.stream, add(second.x, second.y))  # nothing says that it may
        seen.add("poison" if np.isnan(runtime.download(second.stream, second.y)).all() else "values")
    assert seen == {"poison", "values"}


@pytest.mark.parametrize("order", ORDERS)
def test_an_upload_takes_the_values_of_its_call(emulated, order):
    runtime = emulated(**order)
    first, _ = two_devices(runtime)
    values = np.arange(SIZE, dtype=np.float32)
    runtime.upload(first.stream, first.x, values)
    values[:] = -1
    assert list(runtime.download(first.stream, first.x)) == list(range(SIZE))
    with pytest.raises(ValueError, match=r"float32 \(3,\) cannot be copied to float32 \(8,\)"):
        runtime.upload(first.stream, first.x, np.zeros(3))


@pytest.mark.parametrize("order", ORDERS)
def test_a_graph_repeats_what_was_queued(emulated, order):
    """Numbers and pointers are those of the capture; what lies in memory is read anew each time."""
    runtime = emulated(**order, events=True)
    first, second = two_devices(runtime)
    rate = runtime.allocate(0, (1,), np.float32)

    def work():
        runtime.launch(first.stream, add(first.x, first.y, number, rate))
        runtime.wait(second.stream, runtime.record(first.stream))
        runtime.copy(second.stream, first.y, second.x)
        runtime.launch(second.stream, add(second.x, second.y))
        runtime.wait(first.stream, runtime.record(second.stream))

    number = 100.0
    graph = runtime.capture([first.stream, second.stream], work)
    assert (runtime.download(first.stream, first.y) == 0).all()  # nothing has run
    number = 0.0  # too late
    y, total = 0.0, 0.0
    for step in (2.0, 3.0):
        runtime.upload(first.stream, rate, np.float32([step]))
        runtime.upload(first.stream, first.x, np.full(SIZE, 7, np.float32))
        graph.launch()
        y += 7 * step + 100
        total += y
    assert (runtime.download(first.stream, first.y) == y).all()
    assert (runtime.download(first.stream, second.y) == total).all()  # the first stream has waited for the second


def test_a_graph_is_not_in_the_order_of_its_other_streams(emulated):
    """A wait that only the queue of the second stream gave is not part of the graph."""

    def work(runtime, first, second):
        runtime.wait(second.stream, runtime.record(first.stream))
        runtime.launch(second.stream, add(second.x, second.y))
        runtime.wait(first.stream, runtime.record(second.stream))

    seen = []
    for order in ORDERS:
        runtime = emulated(**order)
        first, second = two_devices(runtime)
        graph = runtime.capture([first.stream, second.stream], partial(work, runtime, first, second))
        runtime.launch(second.stream, add(second.z, second.x, 5.0))
        graph.launch()
        runtime.synchronize()
        seen.append(second.y[0])
    assert seen[0] == 5
    assert 0 in seen
    runtime = emulated(events=True)
    first, second = two_devices(runtime)
    graph = runtime.capture([first.stream, second.stream], partial(work, runtime, first, second))
    runtime.launch(second.stream, add(second.z, second.x, 5.0))
    with pytest.raises(HazardError, match=r"^add reads x on a stream of device 1, add writes y"):
        graph.launch()


def test_what_cannot_be_captured(emulated):
    runtime = emulated(streams="late")
    first, second = two_devices(runtime)
    before = runtime.record(second.stream)
    kernel = add(first.x, first.y)
    events = []

    def fork():
        runtime.wait(second.stream, runtime.record(first.stream))
        runtime.launch(second.stream, add(second.x, second.y))

    def keep_event():
        events.append(runtime.record(first.stream))

    both = [first.stream, second.stream]
    for streams, work, said in [
        (
            both[:1],
            lambda: runtime.launch(second.stream, add(second.x, second.y)),
            "a stream that is not captured",
        ),
        (
            both,
            lambda: runtime.launch(second.stream, kernel),
            "without waiting for an event of the first one",
        ),
        (both, lambda: runtime.wait(first.stream, before), "waits for an event from outside"),
        (both, fork, "the first stream does not wait for all work of the others"),
        (both, lambda: runtime.download(first.stream, first.y), "nobody can wait for work that is captured"),
        (both, runtime.synchronize, "nobody can wait for work that is captured"),
    ]:
        with pytest.raises(CaptureError, match=said):
            runtime.capture(streams, work)
    runtime.capture(both, keep_event)
    with pytest.raises(CaptureError, match="never happens outside of its graph"):
        runtime.wait(first.stream, events[0])
    runtime.launch(first.stream, kernel)  # and all goes on as before
    runtime.synchronize()
    assert (first.y == 0).all()


def test_an_array_may_go_while_work_on_it_is_queued(emulated):
    runtime = emulated(streams="late")
    first, _ = two_devices(runtime)
    source = runtime.allocate(0, (SIZE,), np.float32)
    source[:] = 4
    runtime.launch(first.stream, add(source[:], first.y))
    del source
    assert (runtime.download(first.stream, first.y) == 4).all()
