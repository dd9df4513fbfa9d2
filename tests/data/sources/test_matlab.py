"""MATLAB 5 files: numbers, text, cells and structures, and damage, which is a ValueError and nothing else."""

import io

import numpy as np
import pytest

from cualex.data.sources import matlab
from tests.support import matlab_files, mutations

ARRAYS = {
    "labels": np.arange(300, dtype=np.uint8)[None],
    "matrix": np.arange(6, dtype=np.float64).reshape(2, 3),
    "small": np.array([[7]], np.int16),
    "deep": np.arange(24, dtype=np.int32).reshape(2, 3, 4),
}
VALUES = {**ARRAYS, "text": "tench, é", "cells": ["a", "bcd"], "many": [{"n": np.uint16(n), "w": "ab"} for n in (1, 2)]}


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("order", ["<", ">"])
def test_what_was_written_is_read(compressed, order):
    found = matlab.read(matlab_files.written(VALUES, compressed, order))
    assert list(found) == list(VALUES)
    for name, array in ARRAYS.items():
        assert found[name].shape == array.shape
        assert (found[name] == array).all(), name
    assert found["text"] == "tench, é"
    assert found["cells"] == ["a", "bcd"]
    assert [(int(each["n"][0, 0]), each["w"]) for each in found["many"]] == [(1, "ab"), (2, "ab")]


def test_scipys_files_are_read():
    scipy = pytest.importorskip("scipy.io")
    for compressed in (False, True):
        file = io.BytesIO()
        scipy.savemat(file, {**ARRAYS, "text": "tench"}, do_compression=compressed)
        found = matlab.read(file.getvalue())
        assert all((found[name] == array).all() for name, array in ARRAYS.items())
        assert found["text"] == "tench"


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"MATLAB 7.3 MAT-file".ljust(200), "not a MATLAB 5 file"),
        (b"MATLAB 5.0 MAT-file" + b" " * 100, "not a MATLAB 5 file"),
        (b"MATLAB 5.0 MAT-file".ljust(200), "no mark of the byte order"),
        (matlab_files.written(VALUES)[:-9], "the file ends inside an array"),
        (matlab_files.written({"a": np.zeros((3, 3))}).replace(b"\6\0\0\0\x08\0\0\0\6", b"\6\0\0\0\x08\0\0\0\5"),
         "an array of class 5, expected numbers, text, a cell or a structure"),
        (matlab_files.written({"a": np.zeros((4, 1))}).replace(b"\4\0\0\0\1\0\0\0", b"\5\0\0\0\1\0\0\0"),
         "4 numbers in an array of shape (5, 1)"),
    ],
)  # fmt: skip
def test_what_is_not_known_is_refused(data, reason):
    with pytest.raises(ValueError, match=r".") as caught:
        matlab.read(data)
    assert str(caught.value) == reason


def test_an_element_that_expands_without_end_is_refused(monkeypatch):
    monkeypatch.setattr(matlab, "_MOST", 10_000)
    with pytest.raises(ValueError, match=r"^an element expands beyond 10,000 bytes$"):
        matlab.read(matlab_files.written({"a": np.zeros((1, 100_000), np.uint8)}, compressed=True))


def test_damage_is_an_error_of_the_file():
    """Tries 400 damaged files."""
    whole = [matlab_files.written(VALUES, compressed) for compressed in (False, True)]
    failed = 0
    for number in range(400):
        rng = np.random.default_rng([5, number])
        try:
            matlab.read(mutations.mutate(rng, whole[number % 2], whole))
        except ValueError:
            failed += 1
    assert 100 < failed < 400
