"""--config: the args.json of a run, TOML and JSON with options by name; what is given goes before the file."""

import json
import tomllib
from pathlib import Path

import pytest
from click.testing import CliRunner

import cualex
from cualex.cli import _train_values, main
from cualex.errors import UsageError
from cualex.training import config, options

V01 = Path(__file__).parent.parent / "golden/v0.1"


def read(path, text, **given):
    """Return the options of a file with this text, and of keywords."""
    path.write_text(text)
    return config.merged(options.of(config=path, **given))


def test_toml_has_the_options_by_name(tmp_path):
    text = 'data = "photos"\nnetwork = "lenet5"\nbatch-size = 64\nweight_decay = 0\naugment = false\nfrom = "a.pt"\n'
    found = read(tmp_path / "a.toml", text + 'freeze = ["conv1"]\nvariant = {pool = 2}\nset = "conv1.lr=0.1"\n')
    assert (found.data, found.network, found.batch_size, found.weight_decay) == ("photos", "lenet5", 64, 0.0)
    assert (found.augment, found.weights, found.freeze) == (False, Path("a.pt"), ["conv1"])
    assert (found.variant, found.multipliers) == ({"pool": 2}, "conv1.lr=0.1")
    assert found.given == {*tomllib.loads(text.replace("-", "_").replace("from", "weights")), "config"} | {
        *("freeze", "variant", "multipliers")
    }


def test_json_does_too_and_null_leaves_an_option_open(tmp_path):
    found = read(tmp_path / "a.json", '{"lr": 0.25, "epochs": 3, "precision": null}')
    assert (found.lr, found.epochs, found.precision) == (0.25, 3, None)


def test_what_is_given_goes_before_the_file(tmp_path):
    found = read(tmp_path / "a.toml", "lr = 0.25\nepochs = 3\n", lr=0.5)
    assert (found.lr, found.epochs) == (0.5, 3)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("batchsize = 3", "no option is called 'batchsize'. Did you mean 'batch-size'?"),
        ("learning-rate = 3", "no option is called 'learning-rate'. There are accumulate, augment, "),
        ("learning = 3", "no option is called 'learning'. There are accumulate, augment, "),
        ("resume = 'x'", "no option is called 'resume'. "),
        ("split_rules = 3", "no option is called 'split_rules'. "),
        ("epochs = 1.5", "epochs=1.5: expected a whole number of at least 1"),
        ("augment = 'no'", "augment='no': expected true or false"),
        ("freeze = 3", "freeze=3: expected a text, a list or a table"),
        ("schedule = 'cos'", "schedule='cos': expected plateau, steps, cosine, 2012"),
        ("recipe = {rates = 3}", "no hyperparameter of a recipe is called 'rates'. Did you mean 'rate'?"),
        ("batch-size = 3\nbatch_size = 4", "batch_size: the same option is given twice"),
        ("lr =", "not TOML (Invalid value (at end of document)); --config takes a run's args.json, or TOML"),
    ],
)
def test_what_a_file_may_not_have_is_said_with_its_name(tmp_path, text, said):
    with pytest.raises(UsageError) as error:
        read(tmp_path / "a.toml", text)
    assert str(error.value).startswith(f"{tmp_path / 'a.toml'}: {said}")


def test_a_name_of_other_tools_is_answered_with_the_option(tmp_path):
    (tmp_path / "a.toml").write_text("learning_rate = 3")
    result = CliRunner().invoke(main, ["train", "--config", str(tmp_path / "a.toml")])
    said = f"{tmp_path / 'a.toml'}: no option is called 'learning_rate'. Did you mean 'lr'?"
    assert (result.exit_code, result.stderr) == (2, f"Error: {said}\n")


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [("a.json", "[3]", "expected options by name, got list"), ("a.json", "{", "not JSON (Expecting property name")],
)
def test_what_is_no_object_is_refused(tmp_path, name, text, said):
    with pytest.raises(UsageError, match=r"a\.json: ") as error:
        read(tmp_path / name, text)
    assert said in str(error.value)


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(UsageError, match=r"none\.toml: cannot be read \(No such file or directory\); --config takes"):
        config.merged(options.of(config=tmp_path / "none.toml"))


@pytest.mark.parametrize("network", ["alexnet", "lenet5"])
def test_args_of_a_run_of_0_1_are_read(network):
    path = V01 / "whole" / network / "args.json"
    found, stored = config.merged(options.of(config=path)), json.loads(path.read_text())
    assert found.described == stored["recipe"]
    assert (found.seed, found.val_split) == (stored["recipe"]["seed"], stored["val_split"])


def test_the_command_takes_its_own_options_before_the_file(tmp_path):
    (tmp_path / "a.toml").write_text("lr = 0.25\nepochs = 3\n")
    command = main.get_command(None, "train")
    words = ["--config", str(tmp_path / "a.toml"), "--learning-rate", "0.5", "--overfit", "4"]
    with command.make_context("train", words) as context:
        found = _train_values.read(context.params)
    assert (found.lr, found.epochs, found.overfit) == (0.5, 3, 4)


@pytest.mark.usefixtures("speck")
def test_a_run_begins_again_with_its_own_recipe(tmp_path, monkeypatch):
    """The automatic recipe of another number of images would be another; patience and ties are no options."""
    monkeypatch.chdir(tmp_path)
    described = {
        **cualex.train("demo", network="speck", crop=11, seed=7).recipe.described(),
        "batch": 5,
        "patience": 11,
        "ties": "last",
        "rate": 0.125,
        "warmup": 1.5,
    }
    (tmp_path / "args.json").write_text(json.dumps({"data": "demo", "start": None, "recipe": described}))
    again = cualex.train(config=tmp_path).recipe
    assert json.loads(json.dumps(again.described())) == json.loads(json.dumps(described))
    assert cualex.train(config=tmp_path, lr=0.5, seed=3).recipe == again.but(rate=0.5, seed=3)
    other = cualex.train(config=tmp_path, network="lenet5", crop=32).recipe
    assert other == again.but(network="lenet5", crop=32)
    assert cualex.train(config=tmp_path, recipe="cifar").recipe.rate == 0.01


def test_a_resumed_run_has_its_own_options(tmp_path):
    result = CliRunner().invoke(main, ["train", "--resume", "x", "--config", str(V01 / "whole/lenet5")])
    said = "--config is for new runs, and --resume continues one: leave one of them out"
    assert (result.exit_code, result.stderr) == (2, f"Error: {said}\n")
