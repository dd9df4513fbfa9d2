"""`--variant NAME=VALUE`: what words mean, and a network of one's own in train, summary and profile."""

import json

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from cualex import networks, weights
from cualex.cli import main
from cualex.networks import arguments
from cualex.profiling import roofline
from cualex.profiling.roofline import Roofline
from cualex.training.recipes import PAPER


def function(classes=3, norm="across", pool=3, width=1.0, exchange=True):
    """Stand for a network's function."""


@pytest.mark.parametrize(
    ("words", "read"),
    [
        ([], {}),
        (["norm=none"], {"norm": "none"}),
        (["norm=a=b"], {"norm": "a=b"}),
        (["pool=2", "width=0.5", "exchange=no"], {"pool": 2, "width": 0.5, "exchange": False}),
        (["exchange=true"], {"exchange": True}),
        (["width=2"], {"width": 2.0}),
    ],
)
def test_words_get_the_type_of_the_default(words, read):
    found = arguments.read(function, words, ("classes",))
    assert found == read
    assert [type(value) for value in found.values()] == [type(value) for value in read.values()]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["norm"], "'norm': expected NAME=VALUE, of norm=across, pool=3, width=1.0, exchange=yes"),
        (["classes=4"], "classes cannot be set here: it has its own option, or follows from the data"),
        (["=4"], "no argument is called ''; there are norm=across, pool=3, width=1.0, exchange=yes"),
        (["pool=two"], "pool=two: expected a whole number"),
        (["pool=2.0"], "pool=2.0: expected a whole number"),
        (["width=wide"], "width=wide: expected a number"),
        (["exchange=0"], "exchange=0: expected yes or no"),
        (["pool=2", "pool=3"], "pool is given twice"),
    ],
)
def test_other_words_are_refused(words, said):
    with pytest.raises(ValueError, match="^" + said.replace(".", r"\.")):
        arguments.read(function, words, ("classes",))


@pytest.mark.parametrize("width", [0.0, -1.0, float("nan"), float("inf"), 1e6, 1e308])
@pytest.mark.parametrize("name", [name for name in networks.names() if not name.startswith("cifar")])
def test_no_network_has_no_width(name, width):
    with pytest.raises(networks.UsageError, match=r"expected a width above 0, at most [\d.e+]+, got"):
        networks.build(name, width=width)


def run(*words):
    return CliRunner().invoke(main, [str(word) for word in words])


def refused(*words):
    """Return the last line of a command that ends with the exit code of a wrong use."""
    result = run(*words)
    assert result.exit_code == 2, result.output
    return result.stderr.splitlines()[-1]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Train lenet5 with the sigmoid at half its width on 24 small pictures; return the place and the result."""
    place = tmp_path_factory.mktemp("variant")
    rng = np.random.default_rng(6)
    for number in range(24):
        folder = place / "set" / "train" / ("ant", "bee")[number % 2]
        folder.mkdir(parents=True, exist_ok=True)
        pixels = rng.integers(0, 120, (16, 16, 3)) + 130 * (number % 2)
        Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{number}.png")
    words = ["--network", "lenet5", "--variant", "function=sigmoid", "--variant", "width=0.5"]
    words += ["--crop", "16", "-b", "8", "--epochs", "2", "--output", place / "runs", "--cache", place / "cache"]
    return place, run("train", place / "set", *words, "--keep")


@pytest.mark.slow
def test_a_variant_is_trained_said_and_kept(trained):
    place, result = trained
    assert result.exit_code == 0, result.output
    row = next(line for line in result.stderr.splitlines() if line.startswith("  network variant"))
    assert row.split()[2:] == ["function=sigmoid,", "width=0.5", "none"]
    kept = weights.load(place / "runs" / "train" / "best.safetensors")
    assert kept.network.arguments["function"] == "sigmoid"
    assert sum(name.startswith("sigmoid") for name in kept.network.layers) == 4
    assert kept.tensors["conv2.weight"].shape == (8, 3, 5, 5)
    words = ["--split", "train", "-w", place / "runs" / "train" / "best.safetensors", "--cache", place]
    told = run("evaluate", place / "set", *words, "--json")
    assert told.exit_code == 0, told.output
    assert json.loads(told.stdout)["pictures"] == 18  # the other six validate


def test_a_run_goes_on_with_its_variant_and_no_other(trained):
    place, _ = trained
    (place / "runs" / "train" / "finished.json").unlink()
    ways = ["train", "--resume", place / "runs" / "train", "--epochs", "3", "--cache", place / "cache"]
    said = refused(*ways, "--variant", "function=tanh")
    assert said == refused(*ways, "--check-gradients", "--variant", "function=tanh")
    assert (
        "its variant is function=sigmoid, width=0.5, got function=tanh, width=0.5, and cannot change on resume" in said
    )
    result = run(*ways)
    assert result.exit_code == 0, result.output
    kept = weights.load(place / "runs" / "train" / "last.safetensors")
    assert (kept.network.arguments["function"], kept.network.arguments["width"]) == ("sigmoid", 0.5)


def test_weights_to_begin_with_have_their_own(trained):
    place, _ = trained
    start = place / "runs" / "train" / "best.safetensors"
    said = refused("train", place / "set", "--from", start, "--variant", "function=tanh")
    assert said.endswith("has its own network arguments; leave --variant out")


@pytest.mark.slow
def test_a_training_that_begins_with_a_variant_goes_on_with_it(trained):
    """Of layers that the network itself has not, and shown as what it is."""
    place, _ = trained
    start, kept = place / "runs" / "train" / "best.safetensors", ["--cache", place / "cache"]
    own = ["--epochs", "1", "-b", "8", "--keep", "--output", place / "further", *kept]
    result = run("train", place / "set", "--from", start, "--freeze", "conv1", *own)
    assert result.exit_code == 0, result.output
    assert "function=sigmoid, width=0.5" in result.stderr
    (place / "further" / "train" / "finished.json").unlink()
    result = run("train", "--resume", place / "further" / "train", "--epochs", "2", *kept)
    assert result.exit_code == 0, result.output
    network = weights.load(place / "further" / "train" / "last.safetensors").network
    assert (network.arguments["function"], network.arguments["width"]) == ("sigmoid", 0.5)


def test_the_recipe_names_it_only_where_there_is_one():
    assert "variant of the network" not in [what for what, _, _ in PAPER.against_paper()]
    rows = PAPER.but(variant={"norm": "none", "exchange": False}).against_paper()
    assert ("network variant", "norm=none, exchange=no", "none") in rows


def test_a_summary_of_a_variant_and_how_it_differs():
    layers = json.loads(run("summary", "alexnet", "--variant", "norm=none", "--json").stdout)["layers"]
    assert "norm1" not in [layer["layer"] for layer in layers]
    told = json.loads(run("summary", "alexnet", "--variant", "pool=2", "--against", "alexnet", "--json").stdout)
    assert told["networks"] == ["alexnet pool=2", "alexnet"]
    assert [(each["where"], each["first"], each["second"]) for each in told["differences"]] == [
        (f"pool{number}", "2", "3") for number in (1, 2, 5)
    ]
    lines = run("summary", "alexnet", "--variant", "pool=2", "--against", "alexnet").stdout.splitlines()
    assert lines[0].split("  ")[-2:] == ["alexnet pool=2", "alexnet"]
    assert sum(line.startswith("alexnet pool=2 and alexnet: Crops of 227") for line in lines) == 1


def test_a_remark_is_on_the_network_that_it_is_about():
    words = ["summary", "alexnet", "--variant", "initial=paper", "--against", "alexnet"]
    remarks = [line for line in run(*words).stdout.splitlines() if "0.03 in conv3 to conv5 are" in line]
    assert [line.partition(":")[0] for line in remarks] == ["alexnet"]
    said = json.loads(run(*words, "--json").stdout)["remarks"]
    assert [len(said[name]) for name in ("alexnet initial=paper", "alexnet")] == [1, 2]


def test_a_profile_of_a_variant(monkeypatch):
    monkeypatch.setattr(roofline, "_host", lambda *_: Roofline(2e12, 3e11, "made by hand"))
    result = run("profile", "cifar-relu", "--variant", "norm=none", "-b", "2", "--repeat", "1", "--json")
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)
    names = [row["name"] for row in told["rows"]]
    assert [name for name in names if "conv" in name]
    assert not [name for name in names if "norm" in name]
    assert told["conditions"]["command"].endswith("--variant norm=none")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["summary", "lenet5", "--variant", "norm=none"], "no argument is called 'norm'; there are function=tanh"),
        (["summary", "alexnet", "--variant", "norm=some"], "'some': expected across, within, batch, none"),
        (["summary", "lenet5", "--variant", "function=step"], "step"),
        (["profile", "alexnet", "--variant", "pool=4"], "expected pooling windows of 3 (overlapping) or 2"),
        (["summary", "cifar-relu", "--variant", "pool=3", "--crop", "8"], "does not fit into 1 pixels"),
        (["summary", "cifar-relu", "--crop", "1"], "does not fit into"),
        (["train", "demo", "--network", "lenet5", "--variant", "dropout=0.5"], "no argument is called 'dropout'"),
        (["train", "demo", "--variant", "dropout=0.2"], "dropout cannot be set here"),
        (["train", "demo", "--variant", "exchange=perhaps"], "exchange=perhaps: expected yes or no"),
    ],
)
def test_what_does_not_fit_is_said_in_one_line(words, said):
    assert said in refused(*words)


def test_a_weights_file_is_profiled_as_it_is(trained):
    place, _ = trained
    said = refused("profile", place / "runs" / "train", "--variant", "function=tanh")
    assert said.endswith("sets that itself; leave the option out")
