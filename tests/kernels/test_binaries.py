"""Compiling without a GPU: the cache of binaries, and what is said when a kernel does not compile."""

import atexit
import importlib.util
import os
import sys
import tempfile
from pathlib import Path

import pytest

from cualex import kernels
from cualex.errors import DeviceError
from cualex.kernels import binaries, source
from cualex.kernels.binaries import Binaries

TOY = """// toy
// choices: FACTOR
#include "toy.cuh"
extern "C" __global__ void toy(float* y) {
    y[threadIdx.x] = FACTOR * twice(y[threadIdx.x]);
}
"""
HEADER = "__device__ float twice(float x) { return 2 * x; }\n"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Make a folder with one kernel, and find NVRTC or skip."""
    pytest.importorskip("cupy", reason="CuPy is not installed")
    try:
        binaries.compiler_version()
    except DeviceError as error:
        pytest.skip(str(error))
    sources = tmp_path / "kernels"
    sources.mkdir()
    (sources / "toy.cu").write_text(TOY)
    (sources / "toy.cuh").write_text(HEADER)
    monkeypatch.setattr(source, "FOLDER", sources)
    kernels.find.cache_clear()
    yield tmp_path
    kernels.find.cache_clear()


def make(place, factor=3, architecture=90):
    return place.make(kernels.find("toy"), [f"-DFACTOR={factor}"], architecture)


def test_a_binary_is_made_once(folder, monkeypatch):
    place = Binaries(folder / "cache")
    path = make(place)
    assert path.parent == folder / "cache"
    assert path.read_bytes().startswith(b"\x7fELF")
    monkeypatch.setattr(binaries, "compile_kernel", None)  # would fail
    assert make(Binaries(folder / "cache")) == path


def test_other_constants_headers_and_architectures_are_other_binaries(folder):
    place = Binaries(folder / "cache")
    paths = [make(place), make(place, factor=4), make(place, architecture=80)]
    (folder / "kernels" / "toy.cuh").write_text(HEADER.replace("2 *", "4 *"))
    paths.append(make(place))
    assert len(set(paths)) == 4
    assert len({path.read_bytes() for path in paths}) == 4


def test_a_binary_is_whole(folder):
    """CuPy cuts off the last byte of what NVRTC gives; an ELF file's sections must lie inside it."""
    data = make(Binaries(folder / "cache")).read_bytes()
    table, size, count = (int.from_bytes(data[at : at + n], "little") for at, n in ((0x28, 8), (0x3A, 2), (0x3C, 2)))
    assert 0 < table + size * count <= len(data)


def test_where_the_cache_cannot_be_written_the_process_keeps_its_own(folder):
    (folder / "cache").write_text("a file is in the way")
    place = Binaries(folder / "cache")
    path = make(place)
    assert path.is_file()
    assert make(place) == path
    assert path.parent != folder / "cache"
    assert not place.writable


@pytest.mark.parametrize("home", ["writable", "a file", None])
def test_cupy_is_given_a_cache_that_it_can_write(monkeypatch, tmp_path, home):
    """Its import makes ~/.cupy, and without write permission `cualex predict` ended there, on a machine without GPU."""
    monkeypatch.delitem(sys.modules, "cupy", raising=False)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if home is None else name)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("CUPY_CACHE_DIR", raising=False)
    monkeypatch.setattr(atexit, "register", lambda *_, **__: None)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    if home == "a file":
        (tmp_path / "home").write_text("in the way")
    binaries._let_cupy_cache()
    given = os.environ.get("CUPY_CACHE_DIR")
    monkeypatch.delenv("CUPY_CACHE_DIR", raising=False)
    assert (tmp_path / "home/.cupy/kernel_cache").is_dir() == (home == "writable")  # nothing is made without CuPy
    assert (given is not None) == (home == "a file")
    assert given is None or Path(given).is_dir()


def test_a_compile_error_names_file_and_line(folder):
    (folder / "kernels" / "toy.cuh").write_text("\n\n__device__ float twice(float x) { return 2 * y; }\n")
    with pytest.raises(DeviceError) as caught:
        make(Binaries(folder / "cache"))
    line = str(caught.value)
    assert line.startswith("toy.cuh, line 3 does not compile for sm_90 with NVRTC ")
    assert 'identifier "y" is undefined. Whole log: ' in line
    assert "\n" not in line
    log = Path(line.partition("Whole log: ")[2])
    assert 'identifier "y" is undefined' in log.read_text()
    log.unlink()
    assert not (folder / "cache").exists()
