"""Batches: what stands at each position, and the thread that fills them."""

import threading
import time
from dataclasses import dataclass

import numpy as np
import pytest

from cualex.data.batches import Sequence, Stream, check_batch
from cualex.data.prefetch import Prefetcher
from cualex.errors import DataError, PictureError
from cualex.random import philox


@dataclass(eq=False)
class Stub:
    """Stand in for a pack: each picture is its own index in every pixel."""

    count: int
    size: int = 9

    def __post_init__(self):
        self.labels = (np.arange(self.count) * 7 % 5).astype(np.int32)

    def __len__(self):
        return self.count

    def read(self, indices, out):
        out[:] = np.asarray(indices).reshape(-1, 1, 1, 1)


def filled(stream, position, batch, size=9):
    arrays = (
        np.full((batch, size, size, 3), 255, np.uint8),
        np.full((batch, 3), -9, np.int32),
        np.full((batch,), -9, np.int32),
        np.full((batch, 3), -9, np.float32),
    )
    stream.fill(position, *arrays)
    return arrays


def indices(batch):
    pictures, _, labels, _ = batch
    found = pictures[:, 4, 4, 1].astype(int)
    assert (pictures == found.reshape(-1, 1, 1, 1)).all()
    assert (labels == found * 7 % 5).all()
    return found.tolist()


def test_an_epoch_holds_every_picture_once():
    stream = Stream(Stub(23), seed=3, crop=6)
    orders = [indices(filled(stream, epoch * 23, 23)) for epoch in range(6)]
    assert all(sorted(order) == list(range(23)) for order in orders)
    assert len({tuple(order) for order in orders}) == 6
    # No order is another one turned, either.
    assert all((np.array(a) - b).tolist() != [0] * 23 for a in orders for b in orders if a is not b)


@pytest.mark.parametrize("batch", [1, 5, 23, 24, 60])
def test_what_stands_at_a_position_does_not_depend_on_the_batch(batch):
    whole = filled(Stream(Stub(23), seed=3, crop=6), 0, 120)
    for position in (0, 1, 20, 46, 120 - batch):
        part = filled(Stream(Stub(23), seed=3, crop=6), position, batch)
        for all_of, some_of in zip(whole, part, strict=True):
            assert (all_of[position : position + batch] == some_of).all()


def test_far_positions_need_no_past():
    stream = Stream(Stub(7), seed=0, crop=6)
    far = 7 * (1 << 33)
    assert sorted(indices(filled(stream, far, 7))) == list(range(7))
    assert (filled(stream, far + 2, 5)[1] == filled(stream, far, 7)[1][2:]).all()


def test_seeds_differ():
    first, second = (filled(Stream(Stub(200), seed=seed, crop=6), 0, 200) for seed in (0, 1))
    assert indices(first) != indices(second)
    assert (first[1] != second[1]).any()


@pytest.mark.slow
def test_every_place_for_a_picture_in_an_order_is_as_likely():
    stream = Stream(Stub(4), seed=9, crop=9)
    counts = np.zeros((4, 4), int)
    for epoch in range(3000):
        for place, index in enumerate(indices(filled(stream, 4 * epoch, 4))):
            counts[place, index] += 1
    # 16 counts of 750, deviation sqrt(3000 * 1/4 * 3/4) = 23.7: five deviations.
    assert np.abs(counts - 750).max() < 119


@pytest.mark.parametrize(("size", "crop"), [(9, 6), (256, 227), (32, 32)])
def test_every_crop_and_mirror_is_drawn_as_often(size, crop):
    stream = Stream(Stub(100, size), seed=5, crop=crop)
    places = size - crop + 1
    count = 200 * places if places > 1 else 2000
    views = np.concatenate([stream._views(epoch, np.arange(100)) for epoch in range(count // 100)]).astype(int)
    for axis, options in ((0, places), (1, places), (2, 2)):
        counts = np.bincount(views[:, axis], minlength=options)
        assert len(counts) == options
        # Each count is binomial: six deviations.
        deviation = np.sqrt(count / options * (1 - 1 / options))
        assert np.abs(counts - count / options).max() <= 6 * deviation
    if places > 1:
        # Row, column and mirror know nothing of each other.
        assert np.abs(np.corrcoef(views.T) - np.eye(3)).max() < 6 / np.sqrt(count)


def test_views_follow_a_plain_loop_over_the_random_words():
    stream = Stream(Stub(11), seed=(1 << 39) + 5, crop=6)
    views = filled(stream, 11 * 3, 11)[1]
    order = indices(filled(stream, 11 * 3, 11))
    for index, view in zip(order, views.tolist(), strict=True):
        a, b, c, _ = philox.words((1 << 39) + 5, philox.VIEWS, 0, 3, 4, first=4 * index).tolist()
        assert view == [a * 4 >> 32, b * 4 >> 32, c >> 31]


def test_a_picture_is_seen_another_way_in_each_epoch():
    stream = Stream(Stub(50, 256), seed=1, crop=227)
    seen = {tuple(stream._views(epoch, np.array([7]))[0]) for epoch in range(50)}
    assert len(seen) > 40


def test_without_augmentation_the_centre_is_seen_in_a_drawn_order():
    stream = Stream(Stub(23), seed=3, crop=6, augment=False)
    batch = filled(stream, 0, 23)
    assert (batch[1] == (1, 1, 0)).all()
    assert indices(batch) == indices(filled(Stream(Stub(23), seed=3, crop=6), 0, 23))
    assert (filled(Stream(Stub(3, 256), 0, 227, augment=False), 0, 3, 256)[1] == (14, 14, 0)).all()


def test_a_batch_larger_than_the_set_goes_on_to_the_next_epochs():
    stream = Stream(Stub(3), seed=3, crop=6)
    found = indices(filled(stream, 2, 10))
    assert sorted(found[1:4]) == sorted(found[4:7]) == sorted(found[7:10]) == [0, 1, 2]


def test_a_user_is_told_of_a_batch_larger_than_the_set():
    check_batch(Stub(60), 60)
    with pytest.raises(DataError) as caught:
        check_batch(Stub(60), 61)
    assert str(caught.value) == (
        "batch size 61 is larger than the training set of 60 images; use --batch-size 60 or less"
    )


@pytest.mark.parametrize(("count", "batch", "batches"), [(12, 5, 3), (10, 5, 2), (3, 5, 1), (1, 1, 1)])
def test_a_sequence_goes_through_once_and_marks_what_fills_up(count, batch, batches):
    sequence = Sequence(Stub(count), batch=batch)
    assert len(sequence) == batches
    for _ in range(2):
        seen = []
        for pictures, labels in sequence:
            assert pictures.shape == (batch, 9, 9, 3)
            assert labels.dtype == np.int32
            counted = labels >= 0
            assert (labels[~counted] == -1).all()
            assert (pictures[~counted] == 0).all()
            seen += indices((pictures[counted], None, labels[counted], None))
        assert seen == list(range(count))


def test_ahead_hands_out_what_the_stream_holds():
    for start in (0, 17):
        with Prefetcher(Stream(Stub(23), seed=3, crop=6), batch=5, start=start) as ahead:
            for turn in range(20):
                expected = filled(Stream(Stub(23), seed=3, crop=6), start + 5 * turn, 5)
                for given, wanted in zip(ahead.take(), expected, strict=True):
                    assert (given == wanted).all()


class Gate:
    """Let fills through one at a time, and write the number of each."""

    def __init__(self, count=9):
        self.pack = Stub(count)
        self.open = threading.Semaphore(0)
        self.filled = []

    def fill(self, position, pictures, *_):
        assert self.open.acquire(timeout=20)
        pictures[:] = position
        self.filled.append(position)


def wait_for(condition):
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.001)


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_ahead_fills_depth_batches_and_never_the_one_in_use(depth):
    gate = Gate()
    ahead = Prefetcher(gate, batch=1, depth=depth)
    for _ in range(50):
        gate.open.release()
    wait_for(lambda: len(gate.filled) == depth)
    time.sleep(0.02)
    assert len(gate.filled) == depth
    for turn in range(6):
        pictures = ahead.take()[0]
        wait_for(lambda turn=turn: len(gate.filled) == depth + turn + 1)
        time.sleep(0.005)
        assert (pictures == turn).all()
        assert len(gate.filled) == depth + turn + 1
    ahead.close()


@pytest.mark.parametrize("lag", [0, 1, 4])
def test_arrays_that_a_device_still_reads_are_not_filled_again(lag):
    """Each batch is held until what it was given with has been called, which is `lag` batches later."""
    gate, called, made = Gate(), [], []

    def staging(shape, dtype):
        made.append((shape, dtype))
        return np.empty(shape, dtype)

    with Prefetcher(gate, batch=1, depth=2, staging=staging, lag=lag) as ahead:
        gate.open.release(50)
        taken = []
        for turn in range(12):
            taken.append(ahead.take()[0])
            ahead.hold(lambda turn=turn: called.append(turn))
            wait_for(lambda turn=turn: len(gate.filled) >= 3 + turn)
            time.sleep(0.002)
            assert called == list(range(turn - lag))
            for number in range(max(0, turn - lag), turn + 1):
                assert (taken[number] == number).all()
            assert len(gate.filled) <= turn + 3 + lag
    assert len(made) == 4 * (3 + lag)


@pytest.mark.slow
def test_ahead_counts_the_seconds_that_it_waits():
    gate = Gate()
    with Prefetcher(gate, batch=1) as ahead:
        gate.open.release()
        wait_for(lambda: gate.filled)
        time.sleep(0.02)
        ahead.take()
        ready = ahead.waited
        assert ready < 0.05
        threading.Timer(0.2, gate.open.release).start()
        ahead.take()
        assert 0.15 < ahead.waited - ready < 10
        gate.open.release(9)


def test_what_the_thread_raises_arrives_with_take():
    class Broken(Gate):
        def fill(self, position, *arrays):
            if position == 4:
                raise PictureError("a/b.jpg", "gone")
            self.filled.append(position)

    with Prefetcher(Broken(), batch=2) as ahead:
        ahead.take()
        ahead.take()
        for _ in range(2):
            with pytest.raises(PictureError, match=r"^a/b\.jpg: gone$"):
                ahead.take()


def test_ahead_ends_at_its_stop():
    stream = Stream(Stub(23), seed=3, crop=6)
    with Prefetcher(stream, batch=5, start=5, stop=16) as ahead:
        assert len(list(ahead)) == 3
        with pytest.raises(StopIteration):
            ahead.take()


@pytest.mark.parametrize("taken", [0, 1, 4])
def test_close_ends_the_thread(taken):
    before = set(threading.enumerate())
    ahead = Prefetcher(Stream(Stub(23), seed=3, crop=6), batch=5)
    for _ in range(taken):
        ahead.take()
    ahead.close()
    ahead.close()
    assert set(threading.enumerate()) <= before


def test_leaving_an_evaluation_early_ends_the_thread():
    before = set(threading.enumerate())
    for _ in Sequence(Stub(50), batch=5):
        break
    wait_for(lambda: set(threading.enumerate()) <= before)
