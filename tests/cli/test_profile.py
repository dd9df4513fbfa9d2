"""`cualex profile` as a command: what it prints and writes, what it refuses, and PyTorch beside it."""

import importlib.util
import io
import json
from types import SimpleNamespace

import numpy as np
import pytest
from click.testing import CliRunner

from cualex import cli, networks
from cualex.benchmark import problem, rounds
from cualex.cli import _output, _profile
from cualex.networks import summary
from cualex.profiling import profile as profiles
from cualex.profiling import roofline
from cualex.profiling.roofline import Roofline
from cualex.system.environment import cores
from tests.support import colour_network, small_alexnet

BATCH, REPEAT = 3, 2
UNITS = ("milliseconds", "p95_milliseconds", "operations_per_s", "bytes_per_s", "share_of_roofline")


@pytest.fixture
def run(monkeypatch):
    """Run the command on a small network, below a roof that is known."""
    monkeypatch.setattr(roofline, "_host", lambda *_: Roofline(2e12, 3e11, "made by hand"))
    few = ["-b", str(BATCH), "--repeat", str(REPEAT)]
    return lambda network, *more: CliRunner().invoke(cli.main, ["profile", str(network), *few, *more])


def test_the_command_writes_json(run, tmp_path):
    result = run("cifar-relu", "--json", "--trace", str(tmp_path / "step.json"))
    assert result.exit_code == 0, result.output
    document = json.loads(result.stdout)
    rows = document["rows"]
    assert [row["name"] for row in rows[:3]] == ["data", "conv1+relu1", "norm1+pool1"]
    for row in rows:
        for name in UNITS:
            assert row[name] >= 0
    total = sum(row["milliseconds"] for row in rows)
    assert document["sum_milliseconds"] == pytest.approx(total)
    rest, spread = document["unattributed_milliseconds"], document["spread_milliseconds"]
    assert rest + spread == pytest.approx(document["serial_milliseconds"] - total)
    assert 0 < rest < document["serial_milliseconds"]
    gained = document["serial_milliseconds"] - document["real_milliseconds"]
    assert document["gained_milliseconds"] == pytest.approx(gained)
    roof = {"operations_per_s": 2e12, "bytes_per_s": 3e11, "measured": "made by hand"}
    assert document["rooflines"] == {"cpu": roof}
    assert (document["waiting"], document["torch"]) == (None, None)
    conditions = document["conditions"]
    for name in (
        "processor",
        "cores",
        "numpy",
        "blas",
        "batch_size",
        "repeat",
        "network",
        "device",
        "measured",
    ):
        assert conditions[name], name
    assert conditions["command"].startswith("cualex profile cifar-relu --mode train --batch-size 3 --repeat 2")
    events = json.loads((tmp_path / "step.json").read_text())["traceEvents"]
    assert sum(event["ph"] == "X" for event in events) == len(rows)


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.slow
@pytest.mark.parametrize(("network", "device"), [("cifar-relu", "cpu"), ("alexnet", "cpu,cpu")])
def test_the_table_fits_a_terminal_of_80_columns_with_operations_and_bytes(run, network, device, monkeypatch):
    """Names are whole, and what is left out is what matters least."""
    given = ["--crop", "67", "--variant", "width=0.1"] if network == "alexnet" else []
    plain = run(network, *given, "--device", device).stdout.splitlines()
    screen = Terminal()
    monkeypatch.setattr(_output, "sys", SimpleNamespace(stdout=screen, stderr=io.StringIO()))
    monkeypatch.setenv("TERM", "dumb")
    monkeypatch.setenv("COLUMNS", "80")
    run(network, *given, "--device", device)
    lines = [line.rstrip() for line in screen.getvalue().splitlines()]
    assert max(map(len, lines)) <= 80
    assert {"layer", "pass", "ms", "share", "GFLOP", "MB", "roof", "bound"} <= {*lines[0].split()}
    assert ("tower" in lines[0]) is (device == "cpu,cpu")
    start = next(number for number, line in enumerate(plain) if line.startswith("layer"))
    names = [line[: plain[start].index("tower")].rstrip() for line in plain[start + 2 : plain.index("", start)]]
    assert [line[: len(name)] for name, line in zip(names, lines[2:], strict=False)] == names


@pytest.mark.slow
def test_the_table_adds_up_what_a_step_costs(run):
    """Two operations per multiply-add, three times: forward, dx and dw; conv1 has no dx."""
    document = json.loads(run("cifar-relu", "--json").stdout)
    rows = document["rows"]
    layers = {row.layer: row.multiply_adds for row in summary.rows(networks.build("cifar-relu"))}
    assert document["operations"] == 2 * BATCH * (3 * sum(layers.values()) - layers["conv1"])
    assert document["bytes"] == sum(row["bytes"] for row in rows)
    lines = run("cifar-relu").stdout.splitlines()
    header = next(line for line in lines if line.startswith("layer"))
    (total,) = [line for line in lines if line.startswith("total")]
    cells = dict(zip(("ms", "GFLOP", "MB"), total.split()[1:], strict=True))
    assert float(cells["GFLOP"]) == pytest.approx(document["operations"] / 1e9, abs=6e-4)
    assert float(cells["MB"]) == pytest.approx(document["bytes"] / 1e6, rel=1e-3)
    conv1 = next(line for line in lines if line.startswith("conv1+relu1"))
    end = header.index("GFLOP") + len("GFLOP")
    assert float(conv1[:end].split()[-1]) == pytest.approx(2 * BATCH * layers["conv1"] / 1e9, abs=6e-4)
    assert f"batch of {BATCH}." in " ".join(lines)


def test_the_command_prints_a_table(run):
    result = run("cifar-relu")
    lines = result.stdout.splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith("layer"))
    assert lines[start].split() == [
        *("layer", "tower", "pass", "ms", "p95", "share", "GFLOP", "MB", "GFLOP/s", "GB/s", "roof", "bound", "by")
    ]
    end = next(number for number, line in enumerate(lines) if line.endswith("sum of the rows"))
    assert lines[start + 2].split()[:3] == ["data", "1", "forward"]
    said = [
        "sum of the rows",
        "in no row",
        "by which the medians",
        "serial step",
        "saved by overlap and graph",
        "actual step",
    ]
    for line, words in zip(lines[end:], said, strict=False):
        assert f" ms  {words}" in line
    assert "Roofline of cpu: 2000 GFLOP/s and 300 GB/s, measured in this run by\nmade by hand." in result.stdout
    assert "Links: none; all towers are on one device." in lines
    assert "Waiting for data: not measured (name a data set: cualex profile NETWORK DATA)." in lines
    assert "Profiling: 2/2 passes" in result.stderr
    assert "Profiling" not in result.stdout


@pytest.mark.slow
def test_a_run_its_links_and_its_data(run, tmp_path):
    """Weights of a run, and pictures of a set, whose way is measured."""
    colour_network.saved(tmp_path / "run/best.safetensors")
    for name in colour_network.CLASSES:
        for number in range(3):
            colour_network.picture(tmp_path / f"set/{name}/{number}.png", name)
    result = run(tmp_path / "run", str(tmp_path / "set"), "--no-pack")
    assert result.exit_code == 0, result.output
    assert f"Waiting for data ({tmp_path / 'set'}): " in result.stdout
    assert result.stdout.startswith("cifar-relu, train, batch size 3 on cpu (fp32); 2 passes.")


@pytest.mark.parametrize(
    ("network", "options", "said"),
    [
        ("alexnett", [], "no network is called 'alexnett'"),
        ("gone.safetensors", [], "gone.safetensors"),
        ("cifar-relu", ["--device", "gpu"], "device 'gpu' in 'gpu': expected cpu"),
        (
            "cifar-relu",
            ["--trace", "nowhere/step.json"],
            "cannot write nowhere/step.json: its directory does not",
        ),
        ("cifar-relu", ["--trace", "."], "cannot write .: "),
        ("cifar-relu", ["--data", "nowhere"], "nowhere: no such folder"),
    ],
)
def test_what_cannot_be_is_one_line(run, network, options, said, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = run(network, *options)
    assert (result.exit_code in (1, 2), result.stdout) == (True, "")
    assert result.stderr.splitlines()[-1].startswith(f"Error: {said}")


def test_a_weights_file_says_its_classes_itself(run, tmp_path):
    path = colour_network.saved(tmp_path / "best.safetensors")
    result = run(path, "--classes", "5")
    assert result.exit_code == 2
    assert result.stderr.splitlines()[-1] == f"Error: --classes: {path} sets that itself; leave the option out"


def test_a_set_of_more_classes_than_the_network_has(run, tmp_path):
    for number in range(4):
        (tmp_path / f"set/{number}").mkdir(parents=True)
        (tmp_path / f"set/{number}/a.jpg").write_bytes(b"x")
    result = run("cifar-relu", "--classes", "3", "--data", str(tmp_path / "set"))
    assert result.exit_code == 2
    said = f"{tmp_path / 'set'}: 4 classes, and the network has 3. Add --classes 4, or name another data set."
    assert result.stderr.splitlines()[-1] == f"Error: {said}"


def test_without_pytorch_there_is_one_line(run, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    result = run("cifar-relu", "--against", "torch")
    assert (result.exit_code, result.stdout) == (1, "")
    said = "--against torch: PyTorch is not installed. Install it: pip install torch"
    assert result.stderr.splitlines()[-1] == f"Error: {said}"


def test_the_help_shows_examples():
    said = CliRunner().invoke(cli.main, ["profile", "--help"]).stdout
    assert "cualex profile runs/train demo --trace step.json" in said
    assert "--against" in said


def test_a_cpu_has_no_model(run):
    result = run("cifar-relu", "--against-model")
    said = "--against-model compares times of a GPU: add --device cuda:0. `cualex kernels` needs no GPU"
    assert (result.exit_code, f"Error: {said}" in result.stderr) == (2, True)


def test_modelled_times_are_printed_beside_the_measured_ones(capsys):
    row = {"name": "conv1+relu1", "function": "conv.forward", "milliseconds": 3.0}
    link = {"name": "link", "function": "", "milliseconds": 1.0, "modelled_milliseconds": None, "ratio": None}
    document = {
        "rows": [{**row, "modelled_milliseconds": 1.5, "ratio": 2.0}, link],
        "milliseconds": 3.0,
        "modelled_milliseconds": 1.5,
        "ratio": 2.0,
        "gpu": "NVIDIA H200",
        "assumptions": ["Shared memory: without bank conflicts."],
    }
    _profile._modelled(document, lambda seconds: f"{1000 * seconds:.2f}")
    _, _, _, names, _, *rows = capsys.readouterr().out.splitlines()
    assert names.split() == ["step", "function", "measured", "model", "ratio"]
    assert [each.split() for each in rows[:2]] == [
        ["conv1+relu1", "conv.forward", "3.00", "1.50", "2.00"],
        ["link", "1.00"],
    ]
    assert rows[3:5] == [
        "3.00 ms  measured, without copies between devices",
        "1.50 ms  modelled for an NVIDIA H200, ratio 2.00",
    ]


# --- against PyTorch


@pytest.fixture(scope="module")
def contenders():
    """Make two of PyTorch's side by side, of one network without dropout and with the same weights."""
    pytest.importorskip("torch", reason="PyTorch is not installed: there is nothing to compare with")
    from cualex.benchmark.torch_side import Contender

    given = problem.make(small_alexnet.network(dropout=0, width=1 / 16), BATCH)
    return [Contender(given, "train", True) for _ in range(2)]


def test_pytorch_s_layers_are_all_timed_and_add_up(contenders):
    one, other = contenders
    found = one.layers()
    modules = [name for name, _ in one.model.named_children()]
    assert list(found["forward"]) == [*modules, "softmax"]
    assert list(found["backward"]) == ["softmax", *reversed(modules)]
    spans = [*found["forward"].values(), *found["backward"].values(), *found["update"].values()]
    assert sum(spans) == pytest.approx(found["seconds"])
    assert min(spans) > 0
    other.turn(1)
    for ours, theirs in zip(one.model.parameters(), other.model.parameters(), strict=True):
        np.testing.assert_array_equal(ours.detach().numpy(), theirs.detach().numpy())


class InThisProcess:
    """Answer as PyTorch's process does; tests of `cualex benchmark` start a real one."""

    def __init__(self):
        from cualex.benchmark.torch_side import Side

        self.side = Side()

    def ask(self, **question):
        return json.loads(json.dumps(self.side.answer(**json.loads(json.dumps(question)))))

    def __exit__(self, *exception):
        self.side = None


@pytest.mark.parametrize("mode", ["train", "infer"])
def test_pytorch_stands_beside_every_layer(mode, monkeypatch):
    pytest.importorskip("torch", reason="PyTorch is not installed: there is nothing to compare with")
    second = InThisProcess()
    monkeypatch.setattr(rounds, "open_torch", lambda tuned: second)
    given = problem.make(small_alexnet.network(width=1 / 16), BATCH)
    *passes, found = profiles.profile(given, mode, "cpu,cpu", REPEAT, against="torch", side=32, copied=2**12)
    assert len(passes) == REPEAT
    torch, rows = found.torch, {row["layers"]: row for row in found.torch["rows"]}
    ours = sum(row["forward_milliseconds"] + row["backward_milliseconds"] for row in torch["rows"])
    assert ours == pytest.approx(1000 * found.sum)
    for name in ("conv1+relu1", "norm1+pool1", "fc6+relu6", "drop7", "fc8", "softmax"):
        assert rows[name]["torch_forward_milliseconds"] > 0
        backward = rows[name]["torch_backward_milliseconds"]
        assert (backward > 0) if mode == "train" else (backward is None)
    for name in ("data", "link conv3"):
        assert rows[name]["forward_milliseconds"] > 0
        assert rows[name]["torch_forward_milliseconds"] is None
    assert (torch["torch_update_milliseconds"] is None) is (mode == "infer")
    assert torch["torch_milliseconds"] > 0
    assert found.conditions["torch"]["threads"] == cores()
    assert second.side is None  # it was told to end
