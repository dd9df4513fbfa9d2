"""`--set conv1.lr=0.1,conv1.decay=4`: multipliers of the rate and decay of layers, as in Caffe and cuda-convnet."""

import json

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from cualex import networks
from cualex.cli import main
from cualex.errors import UsageError
from cualex.plan import Plan
from cualex.training import recipe_choice
from cualex.training.options import Options
from cualex.training.rates import Course
from cualex.training.recipes import PAPER, Recipe
from cualex.training.run import Run
from cualex.weights.parameters import Parameters
from tests.support.tiny_runs import RECIPE, digest, stop, training

ALEXNET = networks.build("alexnet", classes=10, crop=67, width=1 / 32)


def course(**multipliers):
    return Course(PAPER.but(multipliers={key.replace("_", "."): value for key, value in multipliers.items()}), ALEXNET)


@pytest.mark.parametrize(
    ("given", "read"),
    [
        ("conv1.lr=0.1,conv1.decay=4", {"conv1.lr": 0.1, "conv1.decay": 4.0}),
        (" conv1.lr=0 , conv1.bias.lr=2 ", {"conv1.lr": 0.0, "conv1.bias.lr": 2.0}),
        ({"conv1.lr": 3}, {"conv1.lr": 3.0}),
        ("none", {}),
        (None, {"fc8.lr": 7.0}),
    ],
)
def test_words_and_mappings_are_read(given, read):
    begun = PAPER.but(multipliers={"fc8.lr": 7.0})
    assert recipe_choice.changed(begun, Options(multipliers=given)).multipliers == read


@pytest.mark.parametrize(
    "given",
    [
        "conv1=2",
        "conv1.rate=2",
        "lr=2",
        "conv1.lr",
        "conv1.lr=",
        "conv1.lr=-1",
        "conv1.lr=nan",
        "conv1.lr=inf",
        "",
        ",",
    ],
)
def test_other_words_are_refused(given):
    with pytest.raises(UsageError, match=r"^--set .*: expected LAYER\.lr or LAYER\.decay, and a factor of at least 0"):
        recipe_choice.changed(PAPER, Options(multipliers=given))


def test_a_word_twice_is_refused():
    with pytest.raises(UsageError, match=r"^--set: conv1\.lr is given twice$"):
        recipe_choice.changed(PAPER, Options(multipliers="conv1.lr=1,conv1.lr=2"))


def test_a_layers_rate_is_that_of_weights_and_biases_and_its_decay_that_of_weights():
    made = course(conv1_lr=0.1, conv1_bias_lr=2.0, conv1_decay=4.0, fc8_decay=0.0, fc7_bias_decay=1.0)
    assert made.factors(1) == {"conv1.weight": 0.1, "conv1.bias": 2.0}
    assert made.decays() == {"conv1.weight": 4.0, "fc8.weight": 0.0, "fc7.bias": 1.0}


def test_multipliers_go_with_the_head_and_frozen_layers():
    recipe = PAPER.but(multipliers={"fc8.lr": 3.0, "conv2.lr": 5.0}, head_rate=10.0, freeze=("conv2",))
    found = Course(recipe, ALEXNET).factors(1)
    assert found == {"fc8.weight": 30.0, "fc8.bias": 30.0, "conv2.weight": 0.0, "conv2.bias": 0.0}


@pytest.mark.parametrize("name", ["conv9", "relu1", "conv1.gain", ""])
def test_an_unknown_layer_is_named(name):
    with pytest.raises(UsageError, match=rf"^--set {name}\.lr: alexnet has no '{name}'; there are conv1, conv2, "):
        course(**{f"{name}.lr": 2.0}).check()


def test_a_rate_of_zero_freezes_the_layer():
    assert course(conv1_lr=0.0).factors(1) == course().factors(1) | {"conv1.weight": 0.0, "conv1.bias": 0.0}
    with pytest.raises(UsageError, match=r"conv1: expected learning-rate multipliers above 0, or 0 for all"):
        course(conv1_bias_lr=0.0).check()


def moved(**changes):
    """Return how an update moves the weights of a layer by decay alone: the labels are not counted."""
    network = networks.build("cifar-relu", classes=3)
    parameters = Parameters(network, "cpu", workers=1)
    tensors = {name: np.full(shape, 0.5, np.float32) for name, shape in network.parameters().items()}
    parameters.load(tensors)
    made = Course(Recipe(network="cifar-relu", crop=27, **changes), network)
    plan = Plan(parameters, 2, "train", factors=made.factors(1), decays=made.decays())
    plan.control.rate = plan.control.bias_rate = 0.5
    plan.control.decay = 0.25
    plan.put(np.zeros((2, 32, 32, 3), np.uint8), np.zeros((2, 3), np.int32), np.full(2, -1))
    plan.run()
    return {name: float(0.5 - values.flat[0]) for name, values in parameters.unload().items()}


def test_decay_by_hand():
    """w <- w - rate decay multiplier factor w: 0.5 * 0.25 * 0.5 = 1/16 each, of biases nothing."""
    plain = moved()
    assert (plain["conv1.weight"], plain["conv1.bias"]) == (1 / 16, 0)
    found = moved(multipliers={"conv1.decay": 4.0, "conv2.decay": 0.0, "conv3.bias.decay": 1.0, "fc4.lr": 2.0})
    assert found["conv1.weight"] == 4 / 16
    assert (found["conv1.bias"], found["conv2.weight"]) == (0, 0)
    assert (found["conv3.weight"], found["conv3.bias"]) == (1 / 16, 1 / 16)
    assert found["fc4.weight"] == 2 / 16


@pytest.fixture
def bits(tmp_path, speck):
    """Train a few updates; return the digest of the weights."""
    count = iter(range(9))

    def train(**changes):
        run = Run.create(tmp_path, f"run{next(count)}")
        stop(training(run, RECIPE.but(decay=0.1, **changes)), 6)
        return digest(run.checkpoint().tensors)

    return train


@pytest.mark.slow
def test_multipliers_of_one_change_no_bit_and_of_zero_are_frozen(bits):
    plain = bits()
    assert bits(multipliers={"conv1.lr": 1.0, "conv1.decay": 1.0}) == plain
    assert bits(multipliers={"conv1.lr": 0.0}) == bits(freeze=("conv1",))
    assert bits(multipliers={"conv1.decay": 3.0}) != plain


@pytest.mark.slow
def test_the_command_takes_them_and_a_run_keeps_them(tmp_path, speck):
    rng = np.random.default_rng(6)
    for number in range(12):
        folder = tmp_path / "set" / ("ant", "bee", "cow")[number % 3]
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 255, (16, 16, 3), np.uint8)).save(folder / f"{number}.png")
    own = ["--network", "speck", "--crop", "11", "-b", "4", "--epochs", "1", "--keep"]
    own += ["--output", str(tmp_path), "--cache", str(tmp_path)]
    found = CliRunner().invoke(main, ["train", str(tmp_path / "set"), *own, "--set", "conv1.lr=0.1,conv1.decay=4"])
    assert found.exit_code == 0, found.output
    assert "conv1.lr=0.1, conv1.decay=4" in found.stderr
    kept = json.loads((tmp_path / "train" / "args.json").read_text())["recipe"]["multipliers"]
    assert kept == {"conv1.lr": 0.1, "conv1.decay": 4.0}
    more = ["train", "--resume", str(tmp_path / "train"), "--epochs", "2", "--set", "conv1.lr=0.2"]
    found = CliRunner().invoke(main, [*more, "--cache", str(tmp_path)])
    assert found.exit_code == 0, found.output
    assert 'multipliers {"conv1.lr": 0.2} (was {"conv1.lr": 0.1, "conv1.decay": 4.0})' in found.stderr
