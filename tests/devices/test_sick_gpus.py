"""Commands on sick machines: the real CuPy, on a CUDA that answers as busy, full, failing and outdated GPUs do."""

import json
import re

import numpy as np
import pytest
from PIL import Image

from tests.support.tiny_runs import OPTIONS

RUN = """
import sys
from cualex.cli import main
from tests.support.tiny_runs import known
with known():
    main(sys.argv[1:])
"""
BUSY = "cuda:0 is busy: another process has it for itself (`nvidia-smi` lists it)."
FULL = "cuda:0 has no memory free: other processes hold it (`nvidia-smi` lists them)."
OLD_CARD = "the GPU is sm_70, and the kernels need sm_75 or newer."
SICK = {  # settings of the stand-in, what is said, the exit code with --device cuda:0
    "busy": ({"broken": 46}, BUSY, 1),
    "full": ({"broken": 2}, FULL, 5),
    "driver too old": ({"broken": 35}, "no GPU can be used: the NVIDIA driver, for CUDA ", 1),
    "card too old": ({"architecture": 70}, OLD_CARD, 1),
}
# A launch, which the driver's interface makes, is told of a kernel before it where that has run at once.
FAILS = (
    r"cuda:0 failed: (cudaErrorIllegalAddress|CUDA_ERROR_ILLEGAL_ADDRESS): an illegal memory access was encountered\."
)


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """Make a few drawings of two classes."""
    folder, rng = tmp_path_factory.mktemp("images"), np.random.default_rng(0)
    for label in ("one", "two"):
        (folder / label).mkdir()
        for number in range(12):
            pixels = rng.integers(0, 256, (16, 16, 3), np.uint8)
            Image.fromarray(pixels).save(folder / label / f"{number}.png")
    return folder


@pytest.fixture
def cualex(cuda_child, monkeypatch, tmp_path):
    """Return what runs a command: cualex("predict", ..., broken=46)."""
    monkeypatch.setenv("CUALEX_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("CUALEX_DEVICE", raising=False)
    monkeypatch.delenv("CUALEX_DEBUG", raising=False)

    def run(*words, **settings):
        arguments = [*map(str, words)]
        settings = {"order": "late", **settings}
        done = cuda_child(f"import sys\nsys.argv = ['cualex', *{arguments!r}]\n{RUN}", **settings)
        # What the stand-in explains is not the program's.
        done.stderr = "".join(f"{line}\n" for line in done.stderr.splitlines() if not line.startswith("cudart: "))
        return done

    return run


def predict(images, *more):
    return ("predict", images / "one" / "0.png", "-w", "cifar10", "--json", *more)


@pytest.mark.parametrize("which", SICK)
def test_without_a_device_the_cpu_is_used_and_a_line_says_so(cualex, images, which):
    settings, said, _ = SICK[which]
    done = cualex(*predict(images), **settings)
    assert done.returncode == 0, done.stderr
    assert done.stderr.startswith(f"Note: computing on the CPU: {said}")
    assert len(done.stderr.splitlines()) == 1
    assert json.loads(done.stdout)


@pytest.mark.parametrize("which", SICK)
def test_a_device_that_is_asked_for_is_an_error_of_one_line(cualex, images, which):
    settings, said, code = SICK[which]
    done = cualex(*predict(images, "--device", "cuda:0"), **settings)
    assert done.returncode == code
    assert done.stderr.startswith(f"Error: {said}")
    assert "--device cpu" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert done.stdout == ""


def test_a_gpu_beside_a_busy_one_is_used(cualex, images):
    """Making the busy one current again, afterwards, is refused: nobody needs it."""
    done = cualex(*predict(images, "--device", "cuda:1"), broken="46,0")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("order", ["late", "eager"])
@pytest.mark.parametrize("kernel", [1, 10])
def test_a_kernel_that_fails_is_one_line_and_nothing_follows(cualex, images, kernel, order):
    """The stand-in answers every call after that with the error, as CUDA does, also those that free something."""
    done = cualex(*predict(images), fail=kernel, order=order)
    assert done.returncode == 7
    (line,) = [line for line in done.stderr.splitlines() if not line.startswith("Compiling")]
    assert re.match(f"Error: {FAILS} Run the command again", line)


PYTHON = """
import gc
import cualex
model = cualex.load("cifar10", device="cuda:0")
try:
    model.predict({image!r})
except cualex.errors.DeviceLost as error:
    print(error)
try:
    model.predict({image!r})
except cualex.errors.DeviceLost as error:
    print(error)
del model
gc.collect()
print("freed")
"""


def test_from_python_what_is_freed_later_prints_nothing(cuda_child, images):
    """CuPy's events and streams cannot be given back any more, and each would print a traceback."""
    done = cuda_child(PYTHON.format(image=str(images / "one" / "0.png")), fail=10, order="late")
    assert done.returncode == 0, done.stderr
    first, second, last = done.stdout.splitlines()
    assert re.match(FAILS, first)
    assert (second, last) == (first, "freed")
    assert [line for line in done.stderr.splitlines() if not line.startswith("cudart: ")] == []


@pytest.mark.parametrize(("device", "kernel"), [("cuda:0", 150), ("cuda:0,cuda:1", 260)])
def test_a_training_resumes_after_a_kernel_that_failed(cualex, images, tmp_path, device, kernel):
    options = ("train", images, *OPTIONS, "--device", device, "--precision", "fp32", "--seed", 1)
    assert cualex(*options, "--output", tmp_path / "whole").returncode == 0
    done = cualex(*options, "--output", tmp_path / "broken", fail=kernel)
    assert done.returncode == 7
    assert "Traceback" not in done.stderr
    run = tmp_path / "broken" / "train"
    found = re.fullmatch(
        rf"Error: cuda:[01] failed: cudaErrorIllegalAddress: .* The run goes on from its last checkpoint, of update "
        rf"(\d+): cualex train --resume {re.escape(str(run))}\. If it fails again, report it .*",
        done.stderr.splitlines()[-1],
    )
    assert found, done.stderr
    assert int(found[1]) > 0
    resumed = cualex("train", "--resume", run, "--network", "speck")
    assert f"Continues after update {found[1]}, in epoch" in resumed.stderr
    assert resumed.returncode == 0, resumed.stderr
    ends = [(tmp_path / name / "train" / "best.safetensors").read_bytes() for name in ("whole", "broken")]
    assert ends[0] == ends[1]


MACHINES = {  # settings of the stand-in, and notes of doctor
    "well": ({}, []),
    "busy": ({"broken": 46}, ["cuda:0: is busy: another", "cuda:1: is busy: another"]),
    "one is busy": ({"broken": "46,0"}, ["cuda:0: is busy: another"]),
    "full": ({"broken": 2}, ["cuda:0: has no memory free", "cuda:1: has no memory free"]),
    "driver too old": ({"broken": 35}, ["cupy: no GPU can be used: the NVIDIA driver, for CUDA "]),
    "a card too old": ({"architecture": "90,70"}, [f"cuda:1: {OLD_CARD}"]),
    "no GPU": ({"devices": 0}, ["cupy: no GPU can be used: the driver sees no GPU."]),
    "a kernel fails": ({"fail": 1}, ["cuda:0: failed: cudaError", "cuda:1: not tried, as cuda:0 failed: cudaError"]),
    "it fails on the second": ({"fail": 3}, ["cuda:1: failed: cudaError"]),
    "it fails on both together": ({"fail": 6}, ["cuda:0,cuda:1: cuda:1 failed: cudaError"]),
    "nothing is captured": ({"no_capture": 1}, ["CUDA graphs: steps run kernel by kernel, slower: cudaErrorNotS"]),
    "no peers": ({"peers": 0}, ["cuda:0: what crosses", "cuda:1: what crosses", "CUDA graphs: over two GPUs steps"]),
}


@pytest.mark.parametrize("which", MACHINES)
def test_doctor_on_sick_machines(cualex, which):
    settings, notes = MACHINES[which]
    done = cualex("doctor", **settings)
    assert (done.returncode, done.stderr) == (0, "")
    said = [line.removeprefix("Note: ") for line in done.stdout.splitlines() if line.startswith("Note: ")]
    said = [line for line in said if line.startswith(("cu", "CUDA"))]
    assert len(said) == len(notes)
    for line, expected in zip(said, notes, strict=True):
        assert line.startswith(expected)
        assert "pip" not in line
        assert "doctor" not in line
    assert "Problem" not in done.stdout
    assert "captured before" not in done.stderr


def test_doctor_fails_where_a_gpu_is_asked_for(cualex, monkeypatch):
    monkeypatch.setenv("CUALEX_DEVICE", "cuda:0")
    done = cualex("doctor", broken=46)
    assert (done.returncode, done.stderr) == (1, "Error: 2 to fix: cuda:0, cuda:1.\n")
