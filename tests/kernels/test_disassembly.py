"""SASS of a kernel: printed by cuobjdump, kept beside the binary, without the bits of its instructions."""

import subprocess
import tomllib
from types import SimpleNamespace

import pytest

from cualex import kernels
from cualex.errors import DeviceError
from cualex.kernels import disassembly
from cualex.kernels.binaries import compile_ptx
from cualex.kernels.source import parse
from tests import ROOT

PRINTED = """\

Resource usage:
        /*0000*/                   LDC R1, c[0x0][0x28] ;                                       /* 0x00000a00ff017b82 */
                                                                                                /* 0x000fe20000000800 */
        /*0010*/                   EXIT ;                                                       /* 0x000000000000794d */
"""
KEPT = """\
Resource usage:
        /*0000*/                   LDC R1, c[0x0][0x28] ;
        /*0010*/                   EXIT ;
"""


@pytest.fixture
def made(monkeypatch, tmp_path):
    """Let cuobjdump print a text; return the folder of binaries, and the calls."""
    calls = []

    def run(words, **given):
        calls.append(words[1:])
        return SimpleNamespace(returncode=0, stdout=PRINTED, stderr="")

    monkeypatch.setattr(disassembly, "_disassembler", lambda: tmp_path / "cuobjdump")
    monkeypatch.setattr(subprocess, "run", run)
    binary = tmp_path / "crop-sm90.cubin"
    binary.write_bytes(b"\x7fELF")
    return SimpleNamespace(make=lambda kernel, defines, architecture: binary), calls, binary


def test_the_bits_of_instructions_are_left_out_and_the_text_is_kept(made):
    binaries, calls, binary = made
    for _ in range(2):
        assert disassembly.disassemble(binaries, kernels.find("crop"), (), 90) == KEPT
    assert calls == [["-res-usage", "-sass", str(binary)]]
    assert binary.with_suffix(".sass").read_text() == KEPT


def test_a_folder_that_cannot_be_written_is_no_fault(made, monkeypatch):
    def refuse(path, text):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(disassembly, "replace_text", refuse)
    assert disassembly.disassemble(made[0], kernels.find("crop"), (), 90) == KEPT


def test_what_cuobjdump_says_of_a_binary_is_passed_on(made, monkeypatch):
    failed = SimpleNamespace(returncode=1, stdout="", stderr="cuobjdump fatal : not an ELF\n")
    monkeypatch.setattr(subprocess, "run", lambda words, **given: failed)
    with pytest.raises(DeviceError, match=r"^cuobjdump cannot read .*crop-sm90\.cubin: cuobjdump fatal : not an ELF"):
        disassembly.disassemble(made[0], kernels.find("crop"), (), 90)


def test_the_extra_that_errors_name_has_compiler_and_disassembler_and_its_old_name():
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert extras["nvrtc"] == ["cualex[kernels]"]
    named = " ".join(extras["kernels"])
    assert all(wheel in named for wheel in ("cupy-cuda", "nvidia-cuda-nvrtc", "nvidia-cuda-cuobjdump"))
    assert "cualex[kernels]" in disassembly.INSTALL


def test_a_kernel_is_compiled_to_ptx():
    pytest.importorskip("cupy", reason="CuPy is not installed, the door to NVRTC")
    try:
        disassembly.check_tools()
    except DeviceError as error:
        pytest.skip(str(error))
    code = 'extern "C" __global__ void toy(const float* x, float* const y) {\n    y[0] = x[0];\n}\n'
    toy = parse("toy.cu", code)["toy"]
    assert (toy.arguments[0].constant, toy.arguments[1].constant) == (True, False)
    text = compile_ptx(toy, (), 80)
    assert ".target sm_80" in text
    assert ".entry toy(" in text
