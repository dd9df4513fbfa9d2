"""Rows of a file: the right ones, or an error that says which is missing; and nothing is left open."""

import errno
import mmap
import os
import shutil
import threading

import numpy as np
import pytest

from cualex.data.mapped_rows import Rows
from cualex.errors import DataError

SHAPE = (3, 5)
COUNT = 9


@pytest.fixture
def held(tmp_path):
    """Return nine rows, the file that they are in, and what they should be."""
    whole = np.random.default_rng(8).integers(0, 256, (COUNT, *SHAPE), dtype=np.uint8)
    (tmp_path / "pack").mkdir()
    file = tmp_path / "pack" / "rows.uint8"
    whole.tofile(file)
    return Rows(file, COUNT, SHAPE), file, whole


def test_rows_come_in_the_order_asked_for(held):
    rows, _, whole = held
    wanted = np.array([8, 0, 3, 3, 7])
    out = np.full((5, *SHAPE), 99, np.uint8)
    rows.read(wanted, out)
    assert (out == whole[wanted]).all()
    rows.read(np.zeros(0, int), out[:0])


@pytest.mark.parametrize("wrong", [COUNT, -1])
def test_a_row_that_is_not_there_is_refused(held, wrong):
    """And no other is handed out in its place."""
    rows, _, _ = held
    with pytest.raises(IndexError, match=f"of {COUNT}"):
        rows.read(np.array([0, wrong]), np.zeros((2, *SHAPE), np.uint8))


@pytest.mark.parametrize("indices", [[1], [1, 2, 3]])
def test_as_many_places_as_rows(held, indices):
    with pytest.raises(ValueError, match="output array does not match"):
        held[0].read(np.array(indices), np.zeros((2, *SHAPE), np.uint8))


@pytest.mark.parametrize("change", [-1, 1])
def test_a_file_of_another_size_is_not_opened(held, change):
    rows, file, _ = held
    os.truncate(file, rows.nbytes + change)
    with pytest.raises(ValueError, match=f"expected {rows.nbytes} bytes, got {rows.nbytes + change}"):
        Rows(file, COUNT, SHAPE)


@pytest.mark.parametrize("left", [0, 4 * 15 + 7, COUNT * 15 - 1])
def test_a_file_that_is_cut_short_while_it_is_open(held, left):
    """It is an error that says so, and not the end of the process."""
    rows, file, _ = held
    os.truncate(file, left)
    said = rf"truncated while it was being read, from 135 bytes to {left}\. Remove .*pack, and it is made again"
    with pytest.raises(DataError, match=said):
        rows.read(np.array([0, 8]), np.zeros((2, *SHAPE), np.uint8))


def test_a_file_that_is_removed_or_replaced_is_read_to_its_end(held):
    rows, file, whole = held
    file.with_name("new").write_bytes(bytes(rows.nbytes))
    file.with_name("new").replace(file)
    shutil.rmtree(file.parent)
    out = np.empty_like(whole)
    rows.read(np.arange(COUNT), out)
    assert (out == whole).all()


def test_a_file_that_cannot_be_mapped_is_said_and_left_alone(held, monkeypatch):
    def refuse(*_, **__):
        raise OSError(errno.ENODEV, "No such device")

    _, file, _ = held
    monkeypatch.setattr(mmap, "mmap", refuse)
    with pytest.raises(DataError, match=r"rows\.uint8: cannot be mapped \(No such device\)\. Allow the process"):
        Rows(file, COUNT, SHAPE)


def test_what_nobody_holds_is_closed(held):
    _, file, _ = held
    before = os.listdir("/proc/self/fd")
    for _ in range(3):
        Rows(file, COUNT, SHAPE).read(np.arange(2), np.empty((2, *SHAPE), np.uint8))
        with pytest.raises(ValueError, match="expected"):
            Rows(file, COUNT + 1, SHAPE)
    assert os.listdir("/proc/self/fd") == before


def test_threads_read_at_once(held):
    rows, _, whole = held
    wrong = []

    def read(seed):
        rng, out = np.random.default_rng(seed), np.empty((4, *SHAPE), np.uint8)
        for _ in range(200):
            wanted = rng.integers(0, COUNT, 4)
            rows.read(wanted, out)
            if (out != whole[wanted]).any():
                wrong.append(wanted)

    threads = [threading.Thread(target=read, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
