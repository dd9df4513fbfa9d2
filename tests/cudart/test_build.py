"""Building the CUDA that runs on this CPU: what is missing is said, and processes that build at once do not collide."""

import importlib.metadata
import shutil
import subprocess
import sys
import tarfile
import textwrap
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests import ROOT, cudart
from tests.cudart import build
from tests.emulator import available

CUPY = build.Cupy("cupy-cuda13x", "14.2.0", 13)
TYPEDEF = """
    IF 0 < CUPY_CUDA_VERSION:
        ctypedef struct _PointerAttributes 'cudaPointerAttributes':
            int type
    IF CUPY_CUDA_VERSION >= 13000:
        # why there are two
        ctypedef struct DeviceProp 'cudaDeviceProp':
            char         name[256]
            cudaUUID     uuid
            int          hostRegisterSupported   # CUDA 12.0 field
    ELIF CUPY_CUDA_VERSION >= 12000:
        ctypedef struct DeviceProp 'cudaDeviceProp':
            char         name[256]
            int          clockRate
    ELSE:
        pass
"""


@pytest.mark.parametrize(
    ("major", "fields"),
    [
        (13, "char         name[256];\ncudaUUID_t     uuid;\nint          hostRegisterSupported;\n"),
        (12, "char         name[256];\nint          clockRate;\n"),
    ],
)
def test_device_properties_are_those_of_the_cupy_that_is_there(major, fields):
    assert build.device_prop(TYPEDEF, build.Cupy(f"cupy-cuda{major}x", "14.2.0", major)) == fields


def test_functions_that_are_not_declared_are_refused():
    text = "    int cudaMalloc(void** p)\n    int cudaMallocAsync(void**, size_t)\n    Pos make_cudaPos(size_t x)\n"
    refused = build.refused(text, "cudaError_t cudaMalloc(void** start);")
    assert refused == "inline cudaError_t cudaMallocAsync(...) { return cudaErrorNotSupported; }\n"


def absent(name):
    raise importlib.metadata.PackageNotFoundError(name)


def test_without_cupy_that_is_said(monkeypatch):
    monkeypatch.setattr(build.metadata, "version", absent)
    with pytest.raises(cudart.Missing, match=r"^CuPy is not installed: pip install 'cualex\[gpu-test\]'"):
        build.installed()


def test_without_gcc_that_is_said(monkeypatch):
    monkeypatch.setattr(build, "installed", lambda: CUPY)
    monkeypatch.setattr(build.emulator, "compiler", lambda: "")
    with pytest.raises(cudart.Missing, match=r"needs Linux on x86-64 and g\+\+ \(apt-get install g\+\+\)"):
        build.libraries()


def test_without_cython_that_is_said(monkeypatch, tmp_path):
    monkeypatch.setattr(build.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(cudart.Missing, match=r"built with Cython: pip install 'cualex\[gpu-test\]'"):
        build._module(tmp_path, CUPY)


@pytest.mark.slow
def test_pytest_says_what_is_missing(tmp_path):
    (tmp_path / "cupy.py").write_text("")
    hide = "import importlib.metadata as m, sys, pytest\n"
    hide += "def absent(name, find=m.version):\n    if 'cupy' in name:\n        raise m.PackageNotFoundError(name)\n"
    hide += "    return find(name)\nm.version = absent\nsys.exit(pytest.main(sys.argv[1:]))"
    words = ["-n", "0", "--gpu=cpu", "tests/engine/test_relu.py"]
    done = subprocess.run([sys.executable, "-c", hide, *words], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    assert "--gpu=cpu: CuPy is not installed" in done.stderr


SEVERAL = """
import sys
from pathlib import Path
sys.path.insert(0, {root!r})
from cualex.emulator import build
made = Path({made!r})
build.run(["-shared", "-fPIC", "-x", "c++", "-"], made, "int answer() {{ return 42; }}")
print(made.stat().st_ino, made.stat().st_size)
"""


@pytest.mark.slow
@pytest.mark.skipif(not available(), reason="this needs Linux and g++")
def test_of_processes_that_build_at_once_one_builds_and_all_get_it_whole(tmp_path):
    code = textwrap.dedent(SEVERAL.format(root=str(ROOT), made=str(tmp_path / "answer.so")))
    children = [subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) for _ in range(4)]
    found = {child.communicate()[0] for child in children}
    assert len(found) == 1
    assert int(found.pop().split()[1]) > 0
    assert not list(tmp_path.glob(".*.part"))


@pytest.mark.slow
def test_threads_that_want_the_sources_at_once_all_get_them(monkeypatch, tmp_path):
    """Libraries and module are built side by side, and from an empty cache both download."""
    barrier = threading.Barrier(2, timeout=20)

    def download(cupy, place):
        with tarfile.open(place / f"cupy-{cupy.version}.tar.gz", "w") as packed:
            packed.add(__file__, f"cupy-{cupy.version}/cupy_backends/here.py")
        barrier.wait()

    def own(folder):
        with build._sources(folder, CUPY) as sources:
            return (sources / "cupy_backends" / "here.py").read_text()

    monkeypatch.setattr(build, "_download", download)
    for number in range(100):
        folder = tmp_path / str(number)
        folder.mkdir()
        with ThreadPoolExecutor(2) as threads:
            found = [threads.submit(own, folder) for _ in range(2)]
        assert {each.result() for each in found} == {Path(__file__).read_text()}
        assert [path.name for path in folder.iterdir()] == ["cupy-14.2.0.tar.gz"]


@pytest.mark.skipif(not available(), reason="this needs Linux and g++")
def test_the_compiler_of_another_checkout_is_another(monkeypatch, tmp_path):
    """It includes headers by the name of their folder, which may be gone while the cache is not."""
    made, other = [], shutil.copytree(build.HERE, tmp_path / "cudart")
    monkeypatch.setattr(build.emulator, "run", lambda words, file, *_, **__: made.append(file.name))
    build._libnvrtc(tmp_path, CUPY)
    monkeypatch.setattr(build, "HERE", other)
    build._libnvrtc(tmp_path, CUPY)
    assert len({name for name in made if name.startswith("libnvrtc")}) == 2
