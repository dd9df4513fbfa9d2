"""Faults that only a GPU could show, planted in a copy of cualex: the CUDA on this CPU shows every one."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass

import pytest

from tests import ROOT


@dataclass(frozen=True)
class Fault:
    """Say what is changed where, and words of what is then said or found."""

    file: str
    text: str
    instead: str
    said: str


RUNTIME, DEVICE, FUNCTIONS = "cualex/devices/cupy_runtime.py", "cualex/devices/cuda.py", "kernels/functions.py"
INPUTS, GRAPHS = "cualex/devices/input_copies.py", "cualex/devices/cuda_graphs.py"
COPIES = "cualex/devices/host_copies.py"
EVENT = "self.cupy.cuda.Event(block=False, disable_timing=not timed)"
FAULTS = {
    "pinned memory is not kept": Fault(
        COPIES, "self._flying.append((event, unmarked[1]))", "pass", "the host has changed"
    ),
    "an event is made on the wrong GPU": Fault(
        RUNTIME,
        f"with self._on(stream.device_id):\n            event = {EVENT}",
        f"with self._on(0):\n            event = {EVENT}",
        "cudaErrorInvalidResourceHandle",
    ),
    "a kernel is launched without its GPU": Fault(
        RUNTIME,
        "with self._on(stream.device_id):\n            function",
        "with self._on(0):\n            function",
        "while device 0 is current",
    ),
    "a kernel is loaded on the wrong GPU": Fault(
        FUNCTIONS,
        "with self._on(key[0]):",
        "with self._on(0):",
        "is loaded on device 0 and launched on a stream of device 1",
    ),
    "an array is allocated on the wrong GPU": Fault(
        RUNTIME,
        "with self._on(device):\n                # CuPy",
        "with self._on(0):\n                # CuPy",
        "is memory of device 0",
    ),
    "a binary has lost its last byte": Fault("kernels/binaries.py", ' + b"\\0"', "", "CUDA_ERROR_INVALID_KERNEL_IMAGE"),
    "shared memory is not asked for": Fault(
        FUNCTIONS, "if launch.shared >= STATIC_SHARED:", "if False:", "50000 bytes of shared memory"
    ),
    "a step is captured the first time": Fault(
        "cualex/plan/graph.py", "self._runs == 1", "self._runs == 0", "is captured before it has run"
    ),
    "copies by memcpyPeerAsync": Fault(
        RUNTIME,
        "runtime.memcpyAsync(address(target), address(source), source.nbytes, runtime.memcpyDefault, stream.ptr)",
        "runtime.memcpyPeerAsync(address(target), ends[1], address(source), ends[0], source.nbytes, stream.ptr)",
        "cudaErrorStreamCapture",
    ),
    "links are not waited for": Fault(
        DEVICE,
        "for before in (home._stream, self._stream):",
        "for before in ():",
        "no event and no wait",
    ),
    "links are not waited for by what comes next": Fault(
        DEVICE, "while self.links:", "while False:", "no event and no wait"
    ),
    "a batch is filled again too early": Fault(
        "cualex/training/loop.py", "prefetcher.hold(self.stepper.plan.loaded())", "pass", "the host has changed"
    ),
    "streams are not joined": Fault(
        GRAPHS,
        "order([device.stream for device in devices[1:]], [devices[0].stream])\n\n    try:",
        "pass\n\n    try:",
        "cudaErrorStreamCaptureUnjoined",
    ),
    "a replay is not forked": Fault(
        GRAPHS,
        "graph.launch()\n        order([first], others)",
        "graph.launch()",
        "no event and no wait",
    ),
    "inputs are not waited for": Fault(
        INPUTS,
        "self._runtime.wait(steps, arrival)",
        "pass",
        "no event and no wait",
    ),
    "an input slot is overwritten": Fault(
        INPUTS,
        "self._runtime.wait(self.stream, self._read.get(slot) or self._runtime.record(steps))",
        "pass",
        "no event and no wait",
    ),
}


def copy_of_cualex(folder, fault=None):
    """Copy the library, plant a fault in it, and return the folder to import it from."""
    for name in ("cualex", "kernels", "cli"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"), symlinks=True)
    if fault:
        file = folder / fault.file
        text = file.read_text()
        assert fault.text in text, f"{fault.file} is no longer what the fault is planted in"
        file.write_text(text.replace(fault.text, fault.instead))
    return folder


def train(folder, fault=None, order="late"):
    """Train with a copy; return what it printed, and all that was said and found."""
    from tests import cudart

    copy = copy_of_cualex(folder / "copy", fault)
    variables = cudart.environment()
    paths = [str(copy), str(ROOT), *variables["PYTHONPATH"].split(os.pathsep)]
    found = folder / "findings"
    variables |= {
        "PYTHONPATH": os.pathsep.join(paths),
        "CUALEX_CACHE": str(folder / "cache"),  # a binary that is there already would hide how it is made
        "CUDART_FINDINGS": str(found),
        "CUDART_ORDER": order,
    }
    words = [sys.executable, "-m", "tests.support.cudart_training", str(folder / "runs")]
    done = subprocess.run(words, env={**os.environ, **variables}, capture_output=True, text=True, cwd=folder)
    printed = json.loads(done.stdout) if done.returncode == 0 else {}
    return printed, done.stdout + done.stderr + (found.read_text() if found.exists() else ""), found.exists()


@pytest.fixture(scope="module")
def right(tmp_path_factory, cuda_child):
    """Train without a fault."""
    printed, said, found = train(tmp_path_factory.mktemp("right"))
    assert not found, said
    return printed


@pytest.mark.slow
def test_without_a_fault_every_placement_gives_the_same_bits(right, cuda_child):
    assert right["relu"] == [max(value, 0) for value in range(-128, 128)]
    placements = [value for name, value in right.items() if name != "relu"]
    assert len({each["weights"] + each["velocities"] for each in placements}) == 1
    assert all(each["captured"] for each in placements)
    assert not any(each["uncaptured"] for each in placements)


@pytest.mark.slow
@pytest.mark.parametrize("name", FAULTS)
def test_a_planted_fault_is_caught(right, cuda_child, tmp_path, name):
    fault = FAULTS[name]
    printed, said, found = train(tmp_path, fault)
    assert found or printed != right, "nothing is wrong to see"
    assert fault.said in said
