"""The rows of `cualex summary`: counts against the paper and by hand, what crosses, and the memory of a step."""

import json
import subprocess
import sys

import pytest
from click.testing import CliRunner

import cualex
from cualex import cli, networks
from cualex.errors import UsageError
from cualex.layers import Activation, BatchNorm, Conv, Dense, ReLU, Softmax
from cualex.networks import Network, summary
from cualex.plan import Plan, memory
from tests.support import colour_network, small_alexnet


def described(name, **arguments):
    rows = summary.rows(networks.build(name, **arguments))
    return {row.layer: row for row in rows}, summary.totals(rows)


def test_the_network_of_the_paper_has_its_sizes():
    rows, total = described("alexnet")
    assert (total.parameters, total.multiply_adds, total.neurons) == (60_965_224, 724_406_816, 659_272)
    neurons = {name: row.neurons for name, row in rows.items() if row.neurons}
    assert list(neurons.values()) == [290_400, 186_624, 64_896, 64_896, 43_264, 4096, 4096, 1000]
    assert (rows["fc6"].parameters, rows["fc6"].multiply_adds) == (37_752_832, 37_748_736)
    assert (rows["conv2"].parameters, rows["conv2"].multiply_adds) == (307_456, 223_948_800)


def test_one_tower_has_its_sizes_and_sends_nothing():
    rows, total = described("alexnet-one-tower")
    assert (total.parameters, total.multiply_adds, total.neurons) == (62_378_344, 1_135_256_096, 659_272)
    assert total.sent == ()
    assert {row.towers for row in rows.values()} == {(1,)}


def test_each_tower_sends_58624_floats_a_picture_and_only_where_towers_meet():
    rows, total = described("alexnet")
    assert total.sent == (58_624, 58_624)
    crossing = {name: (row.sent_forward, row.sent_backward) for name, row in rows.items() if row.sent_forward}
    assert crossing == {
        "exchange3": ((21_632, 21_632), (21_632, 21_632)),
        "exchange6": ((4608, 4608), (4608, 4608)),
        "exchange7": ((2048, 2048), (2048, 2048)),
        "join8": ((0, 2048), (2048, 0)),
    }
    assert (rows["fc7"].towers, rows["join8"].towers, rows["fc8"].towers) == ((1, 2), (1,), (1,))


def test_classes_and_crop_change_what_they_should():
    rows, total = described("alexnet", classes=7, crop=67)
    assert rows["fc8"].parameters == 7 * 4096 + 7
    assert rows["pool5"].output == (128, 1, 1)
    assert rows["fc6"].parameters == 4096 * 256 + 4096
    assert total.neurons < 659_272


def test_the_command_prints_what_the_rows_say():
    told = json.loads(CliRunner().invoke(cli.main, ["summary", "cifar-relu", "--json"]).stdout)
    rows, total = described("cifar-relu")
    assert [layer["layer"] for layer in told["layers"]] == list(rows)
    assert told["totals"]["parameters"] == total.parameters == 215_562
    assert told["layers"][0]["output"] == [64, 27, 27]


def test_the_table_says_where_towers_meet_and_adds_up():
    result = CliRunner().invoke(cli.main, ["summary"])
    lines = {words[0]: words for words in map(str.split, result.stdout.splitlines()) if words}
    sizes = ["96x55x55", "2", "x", "48", "34,944", "105,415,200", "290,400"]
    assert lines["conv1"] == ["conv1", "11x11/4", "relu1", *sizes]
    assert lines["conv2"][1:4] == ["5x5/1+2", "relu2", "256x27x27"]
    assert lines["pool5"][1:6] == ["3x3/2", "256x6x6", "2", "x", "128"]
    assert lines["fc6"][1:6] == ["relu6", "4096", "2", "x", "2048"]
    assert lines["fc8"][1:3] == ["1000", "1"]
    assert "relu1" not in lines
    assert lines["exchange3"][-3:] == ["21,632", "each", "way"]
    assert lines["join8"][-3:] == ["2,048", "from", "2"]
    assert lines["total"] == ["total", "60,965,224", "724,406,816", "659,272"]
    assert "58,624 (tower 1) and 58,624 (tower 2)." in result.stdout


@pytest.mark.parametrize("name", networks.names())
def test_no_cell_is_cut_on_a_terminal_of_80_columns(name, monkeypatch):
    """The last columns are left out instead; what remains is what a pipe gets."""
    whole = CliRunner().invoke(cli.main, ["summary", name]).stdout.splitlines()
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr("rich.console.Console.is_terminal", True)
    monkeypatch.setenv("TERM", "dumb")
    lines = CliRunner().invoke(cli.main, ["summary", name]).stdout.splitlines()
    assert len(lines) == len(whole)
    end = lines[0].index("multiply-adds") + len("multiply-adds")
    for line, full in zip(lines[2 : whole.index("")], whole[2:], strict=False):
        assert len(line) <= 80
        assert line[:end].rstrip() == full[:end].rstrip()


def test_rows_have_windows_activations_and_the_maps_of_all_towers():
    rows, _ = described("alexnet-caffe")
    assert (rows["conv2"].window, rows["conv2"].stride, rows["conv2"].padding) == (5, 1, 2)
    assert (rows["pool1"].window, rows["pool1"].stride, rows["pool1"].padding) == (3, 2, 0)
    assert (rows["norm1"].window, rows["fc6"].window, rows["fc6"].stride) == (None, None, None)
    assert (rows["conv1"].output, rows["conv1"].output_of_all) == ((96, 55, 55), (96, 55, 55))
    rows, _ = described("alexnet")
    assert (rows["conv1"].output, rows["conv1"].output_of_all) == ((48, 55, 55), (96, 55, 55))
    assert (rows["exchange3"].output_of_all, rows["join8"].output_of_all) == ((256, 13, 13), (4096, 1, 1))
    assert [rows[name].activation for name in ("relu1", "conv1", "softmax")] == ["ReLU", "", ""]
    assert described("lenet5", function="leaky-relu:0.2")[0]["leaky-relu1"].activation == "leaky-relu:0.2"


def test_an_activation_that_follows_no_weights_has_a_row():
    """alexnet-torchvision and its like have them after convolutions; here one stands after batch normalisation."""
    layers = {"conv1": Conv(4, size=3), "norm1": BatchNorm(), "relu1": ReLU(), "odd": Activation("elu")}
    network = Network("own", {**layers, "fc2": Dense(2), "softmax": Softmax()}, 1, 2, 8, 8)
    shown = {cells["layer"]: cells["activation"] for cells in cualex.summary(network).cells()}
    assert shown == {"conv1": "", "norm1": "", "relu1": "relu1", "odd": "odd (elu)", "fc2": "", "softmax": ""}


@pytest.fixture
def trained(tmp_path):
    """Make a finished run, and return its weights file."""
    return colour_network.finished(tmp_path)


def test_a_weights_file_or_a_run_is_summarised_without_its_weights(trained, monkeypatch):
    monkeypatch.setattr("cualex.weights.load", None)
    plain = CliRunner().invoke(cli.main, ["summary", "cifar-relu", "--classes", "3"]).stdout
    for named in (trained, trained.parent):
        result = CliRunner().invoke(cli.main, ["summary", str(named)])
        assert result.stdout == f"{plain}Weights: {named}; cifar-relu, 3 classes: green, red, blue\n"
        told = json.loads(CliRunner().invoke(cli.main, ["summary", str(named), "--json"]).stdout)
        assert (told["weights"], told["classes"]) == (str(named), ["green", "red", "blue"])
    compared = CliRunner().invoke(cli.main, ["summary", "cifar-relu", "--classes", "3", "--against", str(trained)])
    assert compared.stdout == f"cifar-relu and {trained} do not differ.\n"
    refused = CliRunner().invoke(cli.main, ["summary", str(trained), "--crop", "30"])
    assert (refused.exit_code, refused.stderr) == (
        2,
        f"Error: --crop: {trained} sets that itself; leave the option out\n",
    )
    missing = CliRunner().invoke(cli.main, ["summary", "none.safetensors"])
    assert missing.stderr.startswith("Error: none.safetensors: cannot be read (No such file or directory)")


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["alexnet", "--crop", "20"], "a crop must have at least 67 pixels a side, got 20"),
        (["alexnet", "--memory", "--device", "cuda:0"], "--device cpu needs none."),
        (["cifar-relu", "--memory", "--device", "cpu,cpu"], "this network has 1 tower"),
    ],
)
def test_what_cannot_be_is_one_line(arguments, line):
    result = CliRunner().invoke(cli.main, ["summary", *arguments])
    assert result.exit_code in (1, 2)
    assert line in result.stderr
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("device", "both", "last"),
    [
        ("cuda:0,cuda:1", ["cuda:0", "cuda:1"], ["cuda:0"]),
        ("cuda:1", ["cuda:1"], ["cuda:1"]),
        ("cpu", ["cpu"], ["cpu"]),
    ],
)
def test_a_device_says_where_each_layer_is_computed(device, both, last):
    """As a plan has it, and without opening a device."""
    document = json.loads(CliRunner().invoke(cli.main, ["summary", "--json", "--device", device]).stdout)
    devices = {row["layer"]: row["devices"] for row in document["layers"]}
    one = ("join8", "fc8", "softmax")
    assert devices == {layer: last if layer in one else both for layer in devices}
    lines = CliRunner().invoke(cli.main, ["summary", "--device", device]).stdout.splitlines()
    assert lines[0].split()[:3] == ["layer", "device", "window"]
    assert next(line for line in lines if line.startswith("fc7 ")).split()[1 : 1 + len(both)] == both
    assert next(line for line in lines if line.startswith("fc8 ")).split()[1 : 1 + len(last)] == last


def test_the_devices_of_the_summary_are_those_of_the_plan():
    plan = Plan(small_alexnet.parameters("cpu,cpu"), 2, "infer")
    seen = set()
    for row in summary.rows(small_alexnet.network()):
        places = {step.place for step in plan.steps if row.layer in step.layers and step.kind != "link"}
        seen |= {(len(row.towers), *sorted(places))}
    assert seen <= {(2, 0, 1), (1, 0), (2,), (1,)}  # an exchange or join has links alone
    assert {(2, 0, 1), (1, 0)} <= seen


def test_memory_names_every_buffer_and_adds_up():
    arguments = ["summary", "cifar-relu", "--memory", "--batch-size", "3", "--json"]
    told = json.loads(CliRunner().invoke(cli.main, arguments).stdout)
    buffers = {buffer["name"]: buffer for buffer in told["buffers"]}
    assert buffers["pictures"]["bytes"] == 3 * 32 * 32 * 3
    assert buffers["pictures"]["lasting"]
    assert buffers["relu1"]["shape"] == [1, 3, 27, 27, 64]
    assert buffers["relu1"]["bytes"] == 3 * 27 * 27 * 64 * 4
    assert told["side_by_side"] == sum(buffer["bytes"] for buffer in told["buffers"])
    assert max(buffer["bytes"] for buffer in told["buffers"]) < told["shared"] <= told["side_by_side"]
    assert told["parameters"] == 2 * 4 * 215_562
    assert told["work"] > 0
    assert told["total"] == told["shared"] + told["parameters"] + told["work"]


def test_memory_with_lars_and_adam_has_all_gradients():
    """The update cannot be fused with them: the norms need the whole gradient."""
    network = networks.build("cifar-relu")
    fused, lars, adam = (memory.measure(network, 3, optimizer=each) for each in ("momentum", "lars", "adam"))
    assert (fused.gradients, lars.gradients, adam.gradients) == (0, 4 * 215_562, 4 * 215_562)
    assert lars.side_by_side == fused.side_by_side + lars.gradients
    assert fused.shared < lars.shared <= fused.shared + lars.gradients + 16 * 64
    assert (lars.parameters, adam.parameters) == (2 * 4 * 215_562, 3 * 4 * 215_562)
    held = {each.name for each in lars.buffers if each.lasting}
    assert {f"{name} gradient" for name in network.parameters()} <= held
    words = ["summary", "cifar-relu", "--memory", "-b", "3", "--optimizer", "lars"]
    told = CliRunner().invoke(cli.main, words).stdout
    assert "; without sharing" in told
    assert f", {4 * 215_562:,} of them gradients, which lars needs whole\n" in told


def test_inference_holds_no_velocities_and_shares_more():
    network = networks.build("cifar-relu")
    train, infer = memory.measure(network, 3), memory.measure(network, 3, "infer")
    assert train.parameters == 2 * infer.parameters
    assert infer.shared < train.shared
    assert not [held for held in infer.buffers if "gradient" in held.name]


def test_averages_are_counted_apart_from_what_is_trained():
    rows, total = described("alexnet-batchnorm")
    assert (total.parameters, total.multiply_adds) == (28_075_633, 1_039_576_808)
    assert total.parameters + total.state == 28_096_769
    assert (rows["norm1"].parameters, rows["norm1"].state, rows["conv1"].state) == (192, 192, 0)
    assert [row.output[1] for row in rows.values() if row.kind in ("conv", "maxpool")] == [54, 27, 17, 8, 6, 4, 2, 1]
    said = CliRunner().invoke(cli.main, ["summary", "alexnet-batchnorm"]).stdout
    assert "28,096,769 numbers: 28,075,633 parameters, and 21,136 running averages, which no gradient trains." in said


# --- from Python


@pytest.mark.parametrize("name", networks.names())
def test_the_text_from_python_is_the_commands_to_the_letter(name):
    result = CliRunner().invoke(cli.main, ["summary", name])
    assert f"{cualex.summary(name)}\n" == result.stdout


def test_rows_and_totals_are_typed_and_arguments_are_the_networks():
    found = cualex.summary("alexnet", classes=10, crop=131, norm="none")
    assert found.rows == summary.rows(found.network)
    assert found.totals == summary.totals(found.rows)
    assert "norm1" not in {row.layer for row in found.rows}
    assert (found.network.classes, found.network.crop) == (10, 131)
    assert repr(found) == f"Summary(alexnet, {len(found.rows)} layers, {found.totals.parameters:,} parameters)"
    assert str(cualex.summary(found.network)) == str(found)


def test_wrong_arguments_are_one_line():
    with pytest.raises(UsageError, match=r"^network alexnet\(\) has no keyword 'class'; .* Did you mean classes\?$"):
        cualex.summary("alexnet", **{"class": 10})
    with pytest.raises(UsageError, match=r"^no network is called 'alexnett'; there are .* Did you mean alexnet\?$"):
        cualex.summary("alexnett")
    with pytest.raises(UsageError, match="a crop must have at least 67 pixels a side, got 9"):
        cualex.summary("alexnet", crop=9)


@pytest.mark.slow
@pytest.mark.parametrize(
    "imports",
    [
        "import cualex",
        "import cualex; cualex.networks",
        "import cualex.networks",
        "from cualex.networks import alexnet; assert alexnet(classes=2).classes == 2; import cualex",
        "from cualex import networks; import cualex; assert networks is cualex.networks",
        "import cualex, importlib; from cualex.networks.alexnet import alexnet",
        "import cualex; cualex.summary('lenet5'); cualex.load",
    ],
)
def test_the_package_of_networks_is_called_in_any_order_of_imports(imports):
    code = f"{imports}; print(*cualex.networks()); from cualex.networks import alexnet, names; assert callable(alexnet)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.split() == networks.names(), done.stderr
