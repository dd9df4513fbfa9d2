"""`cualex kernels` as a command: the table, JSON, code, what it refuses. The kernels' code is written by hand."""

import json

import pytest
from click.testing import CliRunner

from cualex import cli
from cualex.errors import DeviceError, NoGpu
from cualex.kernel_model import planned
from cualex.kernels import disassembly
from tests.support import json_keys, written_sass


def run(*words):
    return CliRunner().invoke(cli.main, ["kernels", *words])


@pytest.fixture
def asked(monkeypatch):
    """Let all kernels have code that is written by hand; return which were asked for."""
    found = []
    written_sass.stand_in(monkeypatch, found)
    return found


def test_the_table_has_a_row_for_each_launch_and_says_what_is_assumed(asked):
    result = run("--precision", "bf16")
    assert result.exit_code == 0, result.output
    head, _, names, _, *rows = result.stdout.splitlines()
    assert head == "alexnet, train, batch size 128, bf16, sm_90 (NVIDIA H200), cuda:0."
    assert names.split() == [
        *("step", "kernel", "blocks", "waves", "registers", "spilled", "shared", "an", "SM", "occupancy", "loop"),
        *("MB", "us", "limited", "by"),
    ]
    assert rows[3].split()[:8] == ["conv2+relu2", "conv_forward_wgmma", "256x128", "730", "5.53", "124", "197,632", "1"]
    assert "wgmma: that its self-test passes on the GPU, else mma.sync runs" in result.stdout
    assert rows.index("") == 59
    assert "Launches: 59. Registers spilled: none." in result.stdout
    assert "none of these times was measured" in result.stdout


def test_the_keys_are_those_of_the_topic(asked):
    for words in (["lenet5", "-b", "4", "--json"], ["lenet5", "--arch", "80", "--predict", "--json"]):
        result = run(*words)
        assert result.exit_code == 0, result.output
        assert json_keys.faults(["kernels", *words], json.loads(result.stdout)) == []


def test_the_total_is_the_sum_of_the_rows(asked):
    document = json.loads(run("--json").stdout)
    rows, total = document["rows"], document["total"]
    assert total["milliseconds"] == pytest.approx(sum(row["milliseconds"] for row in rows))
    assert (total["launches"], total["bytes"]) == (len(rows), sum(row["bytes"] for row in rows))
    assert (total["spilled_bytes"], total["links"]) == (0, 0)
    conv2 = rows[3]
    assert (conv2["kernel"], conv2["layers"], conv2["grid"]) == ("conv_forward", ["conv2", "relu2"], [729, 1, 2])
    assert conv2["main_loop"] == {
        "steps": 75,
        "instructions": 6,
        "by_kind": {"tensor": 2, "async_copy": 1, "shared": 1, "branch": 1, "integer": 1},
    }
    assert conv2["balance"] == pytest.approx(1458 / 132 / 12)
    assert document["conditions"]["precision"] == "tf32"
    assert document["constants"]["multiprocessors"] == 132


def test_other_architectures_have_counts_and_no_times(asked):
    document = json.loads(run("lenet5", "--arch", "75", "--json").stdout)
    assert {architecture for _, architecture in asked} == {75}
    assert document["total"]["milliseconds"] is None
    assert {(row["waves"], row["milliseconds"], row["limit"]) for row in document["rows"]} == {(None, None, None)}
    assert document["conditions"]["precision"] == "fp32"
    assert "Time: none, as the model has no constants for sm_75." in document["assumptions"]
    assert "sm_75, cuda:0." in run("lenet5", "--arch", "75").stdout


def test_two_gpus_have_copies_that_are_not_modelled(asked):
    document = json.loads(run("--device", "cuda:0,cuda:1", "--predict", "-b", "2", "--json").stdout)
    assert document["total"]["links"] > 0
    assert {row["device"] for row in document["rows"]} == {"cuda:0", "cuda:1"}
    assert any("Copies between devices: not modelled" in each for each in document["assumptions"])


def test_inference_has_two_names(asked):
    shown = [json.loads(run("lenet5", *words, "--json").stdout) for words in (["--predict"], ["--mode", "infer"])]
    assert shown[0] == shown[1]
    assert {row["kind"] for row in shown[0]["rows"]} == {"data", "forward"}


def test_the_code_of_a_kernel_is_printed_and_no_other_compiled(asked, monkeypatch):
    assert run("--sass", "conv2:conv_forward").stdout == written_sass.GEMM + "\n"
    assert run("--sass", "conv2+relu2:conv_forward").exit_code == 0
    assert run("--sass", "crop").stdout == written_sass.PLAIN + "\n"
    assert asked == [("conv_forward", 90), ("conv_forward", 90), ("crop", 90)]
    monkeypatch.setattr(planned, "compile_ptx", lambda kernel, defines, architecture: f".target sm_{architecture}")
    assert run("--ptx", "fc8:sum_splits", "--arch", "80").stdout == ".target sm_80\n"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--sass", "conv2"], "no kernel 'conv2' in this plan; there are conv_forward, conv_input_gradient, "),
        (
            ["--sass", "conv_forward", "--predict"],
            "conv_forward: conv_forward is compiled for several layers, name one of them: conv1+relu1:conv_forward, ",
        ),
        (
            ["--sass", "norm1:conv_forward"],
            "norm1:conv_forward: norm1 has no conv_forward in this plan; it has lrn",
        ),
        (["--sass", "crop", "--ptx", "crop"], "--sass and --ptx print one kernel each: give one of them"),
        (["--sass", "crop", "--json"], "--json has the table, and --sass prints code: give one of them"),
        (["--arch", "70"], "--arch 70: expected 75, 80, 86, 89, 90, 100, 120"),
        (["--arch", "75", "--precision", "bf16"], "--precision bf16: sm_75 has fp32"),
        (["--device", "cpu"], "--device cpu: kernels run on GPUs; expected cuda:0, or cuda:0,cuda:1"),
        (["alexnit"], "no network is called 'alexnit'; there are "),
    ],
)
def test_what_is_refused(asked, words, said):
    result = run(*words)
    assert result.exit_code == 2, result.output
    assert f"Error: {said}" in result.stderr
    assert asked == []


WAY_OUT = "Install compiler and disassembler, which need no GPU: pip install 'cualex[kernels]'."


def test_without_a_compiler_the_extra_is_named(monkeypatch):
    def missing():
        raise NoGpu("GPUs need CuPy (No module named 'cupy').", "Install it for your GPU.")

    monkeypatch.setattr(disassembly, "compiler_version", missing)
    result = run("lenet5")
    assert (result.exit_code, result.stderr) == (1, f"Error: GPUs need CuPy (No module named 'cupy'). {WAY_OUT}\n")


def test_without_a_disassembler_the_extra_is_named(monkeypatch, tmp_path):
    monkeypatch.setattr(disassembly, "compiler_version", lambda: (13, 5))
    monkeypatch.setattr(disassembly.sysconfig, "get_path", lambda name: str(tmp_path))
    monkeypatch.setattr(disassembly.shutil, "which", lambda name: None)
    result = run("lenet5")
    assert (result.exit_code, result.stderr) == (1, f"Error: cuobjdump, CUDA's disassembler, is not there. {WAY_OUT}\n")


def test_a_compiler_that_fails_is_not_hidden(monkeypatch):
    def fails(*given):
        raise DeviceError("conv.cu, line 9 does not compile for sm_90 with NVRTC 13.5: expected a ;.")

    written_sass.stand_in(monkeypatch)
    monkeypatch.setattr(planned, "disassemble", fails)
    result = run("lenet5")
    assert (result.exit_code, "does not compile for sm_90" in result.stderr) == (1, True)
