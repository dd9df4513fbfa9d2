"""`cualex doctor` on machines that are not this one: drivers, CuPy's wheels, a disk that cannot be written."""

import importlib
import json
import re
import sys
from types import SimpleNamespace

import pytest
from click.testing import CliRunner

from cualex import cli

gpus = importlib.import_module("cualex.cli._gpus")

INSTALL = 'pip install "cualex[cuda13]"'


@pytest.fixture
def machine(monkeypatch):
    """Pretend to be a machine with this driver, these distributions of CuPy, and this answer of theirs."""

    def pretend(driver=None, wheels=(), answer=None):
        monkeypatch.setattr(gpus, "_driver", lambda: driver)
        monkeypatch.setattr(gpus, "_cupy_wheels", lambda: list(wheels))
        monkeypatch.setattr(gpus, "_ask", lambda: answer)
        monkeypatch.delenv("CUALEX_DEVICE", raising=False)
        return {check.what: check for check in gpus.gpu_checks()}

    return pretend


def test_without_a_gpu_nothing_is_wrong(machine):
    found = machine()
    assert found["NVIDIA driver"].found == "none"
    assert found["cupy"].found == "none, and none is needed on a CPU"
    assert not any(check.problem or check.advice for check in found.values())


@pytest.mark.parametrize(
    ("driver", "said", "extra"), [(13020, "for CUDA 13.2", "cuda13"), (12080, "for CUDA 12.8", "cuda12")]
)
def test_a_driver_without_cupy_is_told_what_to_install(machine, driver, said, extra):
    found = machine(driver)
    assert found["NVIDIA driver"].found == said
    advice = f'pip install "cualex[{extra}]" (there is no ready wheel that is called cupy)'
    assert found["cupy"].advice == advice
    assert not found["cupy"].problem


def test_two_cupys_are_a_problem(machine):
    cupy = machine(13000, [("cupy-cuda12x", "14.2.0"), ("cupy-cuda13x", "14.2.0")])["cupy"]
    assert cupy.problem
    assert cupy.found == "cupy-cuda12x 14.2.0, cupy-cuda13x 14.2.0"
    assert cupy.advice == f"two break each other: pip uninstall cupy-cuda12x cupy-cuda13x, then {INSTALL}"


def test_cupy_without_a_driver_is_a_note(machine):
    cupy = machine(None, [("cupy-cuda13x", "14.2.0")])["cupy"]
    assert (cupy.problem, cupy.advice) == (False, "no driver for it here: the CPU will be used")


def test_cupy_that_does_not_start_is_a_problem(machine):
    answer = {"fault": "NVRTC, CUDA's compiler, is not there.", "install": True}
    cupy = machine(13000, [("cupy-cuda13x", "14.2.0")], answer)["cupy"]
    assert cupy.problem
    assert cupy.advice == f"NVRTC, CUDA's compiler, is not there. ({INSTALL})"


ONE = {
    "name": "NVIDIA H200",
    "architecture": 90,
    "precisions": ["tf32", "fp32", "bf16"],
    "free": 139e9,
    "peers": [],
    "fault": "",
}
SAID = {"nvrtc": "13.5", "cache": "/c", "cache_writable": True, "graphs": "", "gpus": [ONE], "pairs": []}
PAIR = {"devices": [0, 1], "graph": "", "fault": ""}
BUSY = {"name": "NVIDIA T4", "fault": "cuda:1 is busy: another process has it for itself."}
WHEEL = [("cupy-cuda13x", "14.2.0")]


def test_a_gpu_that_works_is_described(machine):
    found = machine(13000, WHEEL, SAID)
    assert found["cuda:0"].found == "NVIDIA H200, sm_90, 139 GB free, tf32 fp32 bf16"
    assert (found["NVRTC"].found, found["compile cache"].found) == ("13.5", "/c")
    assert found["CUDA graphs"].found == "a step can be captured"
    assert not any(check.problem or check.advice for check in found.values())


def test_gpus_that_are_peers_are_said(machine):
    two = [{**ONE, "peers": [1]}, {**ONE, "peers": [0]}]
    found = machine(13000, WHEEL, {**SAID, "gpus": two})
    assert found["cuda:1"].found.endswith("; reads the memory of cuda:0")
    assert not found["cuda:1"].advice


def test_gpus_that_are_no_peers_are_told_what_that_costs(machine):
    found = machine(13000, WHEEL, {**SAID, "gpus": [ONE, ONE]})
    assert found["cuda:0"].advice.startswith("what crosses to another GPU goes through the host")


def test_steps_that_cannot_be_captured_and_a_cache_that_cannot_be_written_are_notes(machine):
    found = machine(13000, WHEEL, {**SAID, "graphs": "cudaErrorX", "cache_writable": False})
    assert found["CUDA graphs"].advice == "steps run kernel by kernel, slower: cudaErrorX"
    assert found["compile cache"].advice.endswith("set CUALEX_CACHE")
    assert not any(check.problem for check in found.values())


def test_the_command_knows_this_machine(tmp_path):
    result = CliRunner().invoke(cli.main, ["doctor", "--json", "--cache", str(tmp_path)])
    assert result.exit_code == 0
    found = {check["what"]: check for check in json.loads(result.stdout)["checks"]}
    assert "threads can be held to one" in found["BLAS"]["found"]
    assert found["cache"]["found"].endswith(f"free in {tmp_path}")
    assert {"python", "cualex", "numpy", "cores", "memory", "this directory", "cupy"} <= set(found)


def test_a_cache_that_cannot_be_made_is_a_problem_with_exit_code_1(tmp_path):
    (tmp_path / "file").write_text("")
    result = CliRunner().invoke(cli.main, ["doctor", "--cache", str(tmp_path / "file" / "below")])
    assert result.exit_code == 1
    assert f"Problem: cache: {tmp_path}/file/below: the cache cannot be written (Not a directory)" in result.stdout
    assert result.stderr == "Error: 1 to fix: cache.\n"


def test_a_gpu_that_cannot_be_used_is_a_note_beside_a_good_one(machine, monkeypatch):
    """The CPU works, and so does the other; only who has asked for GPUs must do something."""
    said = {**SAID, "gpus": [ONE, BUSY]}
    found = machine(13000, WHEEL, said)
    assert found["cuda:0"].found.startswith("NVIDIA H200, sm_90")
    assert found["cuda:1"] == gpus.Check("cuda:1", "NVIDIA T4", "is busy: another process has it for itself.")
    assert found["CUDA graphs"].found == "a step can be captured"
    monkeypatch.setenv("CUALEX_DEVICE", "cuda:1")
    assert [check.problem for check in gpus.gpu_checks()][-2:] == [True, False]


def test_where_no_gpu_can_be_used_nothing_is_said_of_graphs(machine):
    assert "CUDA graphs" not in machine(13000, WHEEL, {**SAID, "gpus": [BUSY]})


@pytest.mark.parametrize(
    ("pair", "found", "advice"),
    [
        (PAIR, "a step can be captured, over two GPUs too", ""),
        ({**PAIR, "graph": "no peers"}, "a step can be captured on one GPU", "over two GPUs .* by kernel: no peers"),
    ],
)
def test_a_graph_over_two_gpus_is_tried(machine, pair, found, advice):
    graphs = machine(13000, WHEEL, {**SAID, "gpus": [ONE, ONE], "pairs": [pair]})["CUDA graphs"]
    assert graphs.found == found
    assert re.fullmatch(advice, graphs.advice)


def test_gpus_that_copy_wrong_bytes_are_named(machine):
    pair = {**PAIR, "fault": "kernels and copies on cuda:0 and cuda:1 gave wrong numbers."}
    found = machine(13000, WHEEL, {**SAID, "gpus": [ONE, ONE], "pairs": [pair]})
    assert found["cuda:0,cuda:1"].advice == pair["fault"]
    assert found["CUDA graphs"].found == "a step can be captured"


CHILDREN = {
    "a child that dies": ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "ended by SIGSEGV: CuPy or the"),
    "a child without a word": ("import sys; sys.exit(3)", "failed: exit code 3"),
    "a child with a traceback": ("raise ValueError('what')", "failed: ValueError: what"),
    "a child that hangs": ("import time; time.sleep(60)", "gave no answer in 1 s"),
}


@pytest.mark.parametrize("which", CHILDREN)
def test_a_child_may_end_in_any_way(monkeypatch, tmp_path, which):
    code, said = CHILDREN[which]
    (tmp_path / "python").write_text(f"#!{sys.executable}\n{code}\n")
    (tmp_path / "python").chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    monkeypatch.setattr(gpus, "PATIENCE", 1.0 if "hangs" in which else 60.0)
    assert said in gpus._ask()["fault"]


@pytest.mark.emulator
@pytest.mark.parametrize("spoiled", [False, True])
def test_what_gpus_can_do_is_tried(emulated, monkeypatch, spoiled):
    """A kernel is captured and its result looked at: here in the emulator, of which two devices are peers."""
    from cualex import doctor as library

    runtime = emulated()
    runtime.binaries = SimpleNamespace(folder="/c", writable=True)
    if spoiled:
        runtime.capture, runtime.uncaptured = lambda streams, work: None, "cudaErrorX"
    monkeypatch.setattr(library, "CupyRuntime", lambda: runtime)
    monkeypatch.setattr(library, "compiler_version", lambda: (13, 5))
    said = library.describe()
    assert said["graphs"] == ("cudaErrorX" if spoiled else "")
    assert [pair["graph"] for pair in said["pairs"]] == [said["graphs"]]
    assert not any(each["fault"] for each in (*said["gpus"], *said["pairs"]))
    assert (said["nvrtc"], said["cache_writable"], len(said["gpus"])) == ("13.5", True, 2)
    assert said["gpus"][1]["peers"] == [0]
    assert said["gpus"][0]["precisions"] == ("tf32", "fp32", "bf16")


@pytest.mark.emulator
@pytest.mark.parametrize("spoiled", ["a copy between GPUs", "a kernel", "a GPU"])
def test_what_is_wrong_with_gpus_is_found(emulated, monkeypatch, spoiled):
    """Bytes that an IOMMU has lost on the way, wrong numbers of a kernel, and a card that is too old."""
    from cualex import doctor as library

    runtime = emulated()
    runtime.binaries = SimpleNamespace(folder="/c", writable=True)
    if spoiled == "a copy between GPUs":
        runtime.copy = lambda stream, source, target: None
    elif spoiled == "a kernel":
        launch = runtime.launch
        runtime.launch = lambda stream, made: stream.device or launch(stream, made)
    else:
        runtime.architecture = lambda device: [90, 70][device]
    monkeypatch.setattr(library, "CupyRuntime", lambda: runtime)
    monkeypatch.setattr(library, "compiler_version", lambda: (13, 5))
    said = library.describe()
    assert said["gpus"][0]["fault"] == ""
    expected = {
        "a copy between GPUs": ("", "kernels and copies on cuda:0 and cuda:1 gave wrong numbers."),
        "a kernel": ("a kernel on cuda:1 gave wrong numbers.", None),
        "a GPU": ("the GPU is sm_70, and the kernels need sm_75 or newer.", None),
    }[spoiled]
    assert (said["gpus"][1]["fault"], next((pair["fault"] for pair in said["pairs"]), None)) == expected
