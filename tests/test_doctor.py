"""`cualex doctor` on machines that are not this one: drivers, CuPy's wheels, a disk that cannot be written."""

import importlib
import json

import pytest
from click.testing import CliRunner

from cualex import cli

doctor = importlib.import_module("cualex.cli.doctor")  # the file, not its command of the same name

INSTALL = 'pip install "cualex[cuda13]"'


@pytest.fixture
def machine(monkeypatch):
    """Pretend to be a machine with this driver, these distributions of CuPy, and this answer of theirs."""

    def pretend(driver=None, wheels=(), answer=("", "")):
        monkeypatch.setattr(doctor, "_driver", lambda: driver)
        monkeypatch.setattr(doctor, "_cupy_wheels", lambda: list(wheels))
        monkeypatch.setattr(doctor, "_ask_cupy", lambda: answer)
        return {check.what: check for check in doctor._gpu()}

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
    cupy = machine(13000, [("cupy-cuda13x", "14.2.0")], ("", "ImportError: libnvrtc"))["cupy"]
    assert cupy.problem
    assert cupy.advice == f"does not start (ImportError: libnvrtc): {INSTALL}"


def test_cupy_that_works_is_named_with_its_gpus(machine):
    cupy = machine(13000, [("cupy-cuda13x", "14.2.0")], ("NVIDIA H200", ""))["cupy"]
    assert (cupy.found, cupy.advice) == ("cupy-cuda13x 14.2.0, sees NVIDIA H200", "")


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
    assert (
        f"Problem: cache: {tmp_path}/file/below: the cache cannot be written (Not a directory)"
        in result.stdout
    )
    assert result.stderr == "Error: 1 to put right: cache.\n"
