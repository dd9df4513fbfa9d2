"""`cualex emulate`, and the page that begins with it: the commands of `cualex help kernels` print what it says."""

import json
import re
import shlex

import numpy as np
import pytest
from click.testing import CliRunner

from cualex import cli
from cualex.cli.help import text
from cualex.emulator import build
from tests.support import json_keys

pytestmark = [pytest.mark.emulator, pytest.mark.usefixtures("gxx")]

KERNEL = """__global__ void twice(const float* x, float* y, int n) {
    const int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) y[i] = 2 * x[i];
    if (i == 0) printf("%d numbers\\n", n);
}
"""


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "twice.cu"
    path.write_text(KERNEL)
    return path


def run(*words):
    return CliRunner().invoke(cli.main, ["emulate", *map(str, words)])


def test_faults_costs_prints_and_values(file):
    result = run(file, "--grid", 2, "--args", "arange(50), zeros(64), 50")
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines() == [
        "50 numbers",
        "line  memory  access  requests  per request  at best",
        "────────────────────────────────────────────────────",
        "3     global  read           2  3.5 sectors  3.5",
        "3     global  write          2  3.5 sectors  3.5",
        "",
        "y = 0 2 4 6 8 10 12 14 16 18 ... (64 values)",
        "0 faults, 0 lines with bank conflicts.",
    ]


def test_a_fault_is_exit_code_1(file):
    result = run(file, "--grid", "2,1", "--args", "arange(50), zeros(64), 51")
    assert result.exit_code == 1
    assert result.stdout.startswith(
        "51 numbers\ntwice.cu:3: out of bounds: reads x[50], which has 50 elements (block 1, thread 18)\n"
        "    3 | if (i < n) y[i] = 2 * x[i];\n"
    )
    assert result.stdout.endswith("1 fault, 0 lines with bank conflicts.\n")


def test_json_and_files(file, tmp_path):
    np.save(tmp_path / "x.npy", np.arange(32, dtype=np.float32))
    words = ["--args", f"{tmp_path}/x.npy, zeros(32), 33", "--grid", 2, "-o", tmp_path / "out", "--json"]
    result = run(file, *words)
    assert result.exit_code == 1
    document = json.loads(result.stdout)
    assert json_keys.faults(["emulate"], document) == []
    assert document["schema_version"] == 1
    (finding,) = document["findings"]
    assert {name: finding[name] for name in ("kind", "file", "line", "block", "thread", "count", "other_line")} == {
        "kind": "out of bounds",
        "file": "twice.cu",
        "line": 3,
        "block": [1, 0, 0],
        "thread": [0, 0, 0],
        "count": 1,
        "other_line": None,
    }
    assert document["printed"] == "33 numbers\n"
    assert document["output"] == {"y": str(tmp_path / "out/y.npy")}
    assert np.array_equal(np.load(tmp_path / "out/y.npy"), 2 * np.arange(32, dtype=np.float32))


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["--args", "zeros(4)"], 2, "twice(const float* x, float* y, int n) takes 3 arguments, but got 1."),
        (["--grid", "two"], 2, "'two' is not one to three numbers, as 64 or 16,16."),
        (["--block", "2048"], 2, "--block 2048: expected 1 to 3 numbers from 1 to 1024, 1024, 64."),
        (["--kernel", "thrice"], 2, "there is no kernel 'thrice'; there are twice."),
        (["--schedule", "up"], 2, "--schedule 'up': expected ascending, descending, or a whole number as a seed."),
        (["-D", "n=("], 1, "twice.cu:1: "),
    ],
)
def test_what_is_wrong_is_a_line(file, words, code, said):
    result = run(file, *words)
    assert result.exit_code == code
    assert said in result.stderr.splitlines()[-1]
    assert result.stdout == ""


@pytest.mark.parametrize(("define", "value"), [("N=", 2), ("N", 3)])
def test_a_macro_without_a_value_is_1_and_an_empty_one_is_empty(tmp_path, define, value):
    """As nvcc has it."""
    (tmp_path / "k.cu").write_text("__global__ void k(int* y) { y[0] = 2 + N + 0; }")
    done = run(tmp_path / "k.cu", "--block", 1, "--args", "zeros(1)", "-D", define)
    assert done.exit_code == 0, done.output
    assert f"y = {value}" in done.stdout


def test_what_the_compiler_says_comes_before_the_line(file):
    file.write_text(KERNEL.replace("2 * x", "2 * z"))
    result = run(file, "--args", "zeros(4), zeros(4), 4")
    assert result.exit_code == 1
    *before, last = result.stderr.splitlines()
    assert last == "Error: twice.cu:3: 'z' was not declared in this scope: if (i < n) y[i] = 2 * z[i];"
    assert any(re.match(r"twice\.cu:3:\d+: error: 'z' was not declared", line) for line in before)


def test_a_full_disk_is_no_fault_of_the_kernel(file, monkeypatch):
    def full(*_):
        raise build.BuildError("ld: final link failed: No space left on device\ncollect2: error: ld returned 1\n")

    monkeypatch.setattr(build, "library", full)
    result = run(file, "--args", "zeros(4), zeros(4), 4")
    assert result.exit_code == 1
    assert result.stderr.splitlines()[-1] == (
        "Error: twice.cu: g++ cannot write what it compiles: No space left on device. Free some, or set CUALEX_CACHE "
        "to a directory on another disk."
    )


PAGE = text("kernels")


def blocks(page):
    """List the indented blocks of the page, each with the line before it."""
    found, before, lines = [], "", []
    for line in [*page.split("\n"), ""]:
        if line.startswith("    ") or (lines and not line):
            lines.append(line[4:])
            continue
        if lines:
            found.append((before, [each for each in lines if each]))
            lines = []
        before = line.strip() or before
    return found


def test_the_page_of_the_first_kernel_is_true(tmp_path, monkeypatch):
    """Files are written and changed, commands run, and lines are printed, in the order of the page; ... is any text."""
    monkeypatch.chdir(tmp_path)
    commands = 0
    for before, lines in blocks(PAGE):
        if before.endswith("Save it as sum.cu:"):
            (tmp_path / "sum.cu").write_text("\n".join(lines) + "\n")
        elif change := re.search(r"Replace lines? (\d+)(?: to (\d+))? of sum\.cu by:$", before):
            first, last = int(change[1]), int(change[2] or change[1])
            new, shown = [], 0
            for shown, line in enumerate(lines):  # noqa: B007
                if line.startswith("$ "):
                    break
                new.append(line)
            else:
                shown = len(lines)
            held = (tmp_path / "sum.cu").read_text().split("\n")
            held[first - 1 : last] = new
            (tmp_path / "sum.cu").write_text("\n".join(held))
            commands += see(lines[shown:])
        else:
            commands += see(lines)
    assert commands == 4


def see(lines):
    """Run the command of a block, if it has one, and see that it prints the other lines in their order."""
    if not lines:
        return 0
    assert lines[0].startswith("$ cualex "), lines
    result = CliRunner().invoke(cli.main, shlex.split(lines[0])[2:])
    shown = [re.escape(line).replace(re.escape("..."), ".*") for line in lines[1:]]
    assert re.search("\n".join(shown), result.stdout, re.DOTALL), f"{lines[0]} prints\n{result.stdout}"
    assert result.exit_code == int(not any("0 faults" in line for line in lines))
    return 1


def test_files_of_the_page_exist():
    from tests import ROOT

    named = re.findall(r"\b(?:cualex|kernels|tests)/[\w/]*", PAGE)
    assert len(named) >= 6
    assert [name for name in named if not (ROOT / name).exists()] == []
    assert [
        name
        for name in re.findall(r"\b(\w+\.cuh?)\b", PAGE)
        if name != "sum.cu" and not (ROOT / "kernels" / name).exists()
    ] == []
