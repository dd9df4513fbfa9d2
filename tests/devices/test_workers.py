"""Workers: their work arrays, and what NumPy is told while they work."""

import numpy as np

from cualex.devices.workers import GATHERED, Scratch, Workers


def test_a_work_array_is_the_same_until_a_larger_one_is_asked_for():
    scratch = Scratch()
    few = scratch("sums", (2, 3), np.float32)
    assert scratch("sums", (2, 3), np.dtype("float32")).base is few.base
    many = scratch("sums", (5, 7), np.float32)
    assert scratch.bytes == many.nbytes
    again = scratch("sums", (2, 3), np.float32)
    assert again.shape == (2, 3)
    assert np.shares_memory(again, many)
    assert not np.shares_memory(few, many)


def test_names_and_types_have_memory_of_their_own():
    scratch = Scratch()
    arrays = [scratch(name, (4,), dtype) for name in ("a", "b") for dtype in (np.float32, bool)]
    for value, array in enumerate(arrays):
        array[...] = value % 2
    assert [float(array.sum()) for array in arrays] == [0, 4, 0, 4]
    assert scratch.bytes == 2 * (16 + 4)


def test_numpy_gathers_less_while_workers_work_and_no_longer():
    before, seen = np.getbufsize(), []
    assert before != GATHERED
    Workers(2).run(lambda i, scratch: seen.append((np.getbufsize(), np.geterr()["over"])), 5)
    assert seen == [(GATHERED, "ignore")] * 5
    assert np.getbufsize() == before
    assert np.geterr()["over"] != "ignore"
