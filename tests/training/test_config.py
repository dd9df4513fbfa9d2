"""--config: the args.json of a run, TOML and JSON with options by name; what is given goes before the file."""

import json
import math
import tomllib
from dataclasses import fields
from pathlib import Path

import pytest
from click.testing import CliRunner

import cualex
from cualex.cli import _train_values, main
from cualex.errors import UsageError
from cualex.training import config, finetuning, options, recipes
from cualex.training.recipes import CAFFE, Recipe

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
        ("freeze = 3", "freeze=3: expected a text such as conv1,conv2, or a list of texts"),
        ("freeze = {conv1 = 1}", "freeze={'conv1': 1}: expected a text such as conv1,conv2, or a list of texts"),
        ("variant = [1]", "variant=[1]: expected texts such as norm=none, or a table"),
        ("multipliers = [1]", "multipliers=[1]: expected a text such as conv1.lr=0.1, or a table"),
        ("set = ['conv1.lr']", "set=['conv1.lr']: expected a text such as conv1.lr=0.1, or a table"),
        ("drop-epochs = [1.5]", "drop-epochs=[1.5]: expected a text such as 6,8, or a list of whole numbers"),
        ("lr = inf", "lr=inf: expected a number above 0"),
        ("warmup = nan", "warmup=nan: expected a number of at least 0"),
        ("save-every = inf", "save-every=inf: expected a number of at least 0"),
        ("from = 5", "from=5: expected a path"),
        ('output = "\\u0000"', "output='\\x00': expected a path"),
        ("recipe = 5", "recipe=5: expected auto, paper, "),
        ("recipe = ['paper']", "recipe=['paper']: expected auto, paper, "),
        ("split_rule = 7", "split_rule=7: expected hash-threshold-2, hash-threshold-1, hash-rank-0"),
        ("decoding = 'x'", "decoding='x': expected a whole number of at least 2 and at most 3"),
        ("schedule = 'cos'", "schedule='cos': expected plateau, steps, cosine, poly, 2012"),
        ("recipe = {rates = 3}", "no hyperparameter of a recipe is called 'rates'. Did you mean 'rate'?"),
        ("batch-size = 3\nbatch_size = 4", "batch_size: the same option is given twice"),
        ("lr =", "not TOML (Invalid value (at end of document)); --config takes a run's args.json, or TOML"),
    ],
)
def test_what_a_file_may_not_have_is_said_with_its_name(tmp_path, text, said):
    with pytest.raises(UsageError) as error:
        read(tmp_path / "a.toml", text)
    assert str(error.value).startswith(f"{tmp_path / 'a.toml'}: {said}")


WRONG = {  # a value that no field of a recipe takes, and what is expected there
    "network": (5, "a text"),
    "crop": (0, "a whole number of at least 1"),
    "batch": (2.5, "a whole number of at least 1"),
    "rate": ("fast", "a number above 0"),
    "momentum": (1.0, "a number of at least 0 and below 1"),
    "decay": (-1, "a number of at least 0"),
    "dropout": (None, "a number of at least 0 and below 1"),
    "epochs": (2.5, "a whole number of at least 1"),
    "drop_epochs": ("6", "a list of whole numbers"),
    "schedule": ("cos", '"", plateau, steps, cosine, poly, 2012'),
    "stop_after": (-1, "a whole number of at least 0"),
    "optimizer": ("x", "momentum, adam, lars"),
    "bias_rate": (0, "a number above 0"),
    "head_rate": (math.inf, "a number above 0"),
    "freeze": ("conv1", "a list of texts"),
    "accumulate": (True, "a whole number of at least 1"),
    "augment": ("no", "true or false"),
    "colour_noise": (math.nan, "a number of at least 0"),
    "colour_components": ("2013", "data, 2012"),
    "plain_epochs": (1.5, "a whole number of at least 0"),
    "mean_at": (["crop"], "crop, centre"),
    "variant": ("x", "a table"),
    "seed": (10**400, "a whole number of at least 0 and at most "),
    "patience": ("5", "a whole number of at least 1"),
    "accumulate_order": ("ring", "chain, tree"),
    "ties": ("middle", "first, last"),
    "class_weights": ("none", '"", balanced'),
    "multipliers": ([1], "a table such as {conv1.lr: 0.1}"),
    "warmup": ("x", "a number of at least 0"),
    "trust": (0, "a number above 0"),
}


@pytest.mark.parametrize("field", [field.name for field in fields(Recipe)])
def test_a_value_that_no_recipe_has_is_said_with_its_field(tmp_path, field):
    value, expected = WRONG[field]
    with pytest.raises(UsageError) as error:
        read(tmp_path / "a.json", json.dumps({"recipe": {field: value}}))
    assert str(error.value).startswith(f"{tmp_path / 'a.json'}: recipe.{field}={value!r}: expected {expected}")


@pytest.mark.parametrize(
    ("variant", "said"),
    [
        ({"foo": 1}, "no argument is called 'foo'; there are width=1.0, "),
        ({"classes": 4}, "classes cannot be set here: it has its own option, or follows from the data"),
        ({"width": [1]}, r"width=[1]: expected a number"),
    ],
)
def test_the_variant_of_a_recipe_is_checked_as_that_of_the_option(tmp_path, variant, said):
    with pytest.raises(UsageError) as error:
        read(tmp_path / "a.json", json.dumps({"recipe": {"network": "alexnet-caffe", "variant": variant}}))
    assert str(error.value).startswith(f"{tmp_path / 'a.json'}: --variant, network alexnet-caffe: {said}")


def test_multipliers_of_a_recipe_are_checked_as_those_of_the_option(tmp_path):
    with pytest.raises(UsageError, match=r"a\.json: --set conv1=2: expected LAYER\.lr or LAYER\.decay, "):
        read(tmp_path / "a.json", '{"recipe": {"multipliers": {"conv1": 2}}}')


@pytest.mark.parametrize("recipe", [*recipes.NAMED.values(), *recipes.OWN.values(), *recipes.QUICK.values()])
def test_all_recipes_are_read_as_they_were_written(tmp_path, recipe):
    stored = json.loads(json.dumps(recipe.described()))
    assert read(tmp_path / "a.json", json.dumps({"recipe": stored})).described == stored


@pytest.mark.parametrize(
    ("text", "given", "gone"),
    [
        ('from = "a.pt"', {"scratch": True}, "weights"),
        ("pretrained = true", {"scratch": True}, "pretrained"),
        ("scratch = true", {"weights": "a.pt"}, "scratch"),
        ("pretrained = true", {"weights": "a.pt"}, "pretrained"),
        ('network = "lenet5"\nvariant = {pool = 2}\ncrop = 32', {"weights": "a.pt"}, "network variant crop"),
        ("scratch = true", {"pretrained": True}, "scratch"),
        ('from = "a.pt"\nmean-at = "crop"', {"pretrained": True}, "weights mean_at"),
        ('recipe = "cifar"', {"paper": True}, "recipe"),
        ("paper = true", {"recipe": "cifar"}, "paper"),
        ("variant = {pool = 2}\ndropout = 0.3", {"network": "lenet5"}, "variant dropout"),
        ("drop-epochs = [6]", {"schedule": "cosine"}, "drop_epochs"),
        ("plain-epochs = 6", {"schedule": "2012"}, "plain_epochs"),
        ('schedule = "cosine"', {"drop_epochs": "6"}, "schedule"),
        ("momentum = 0.5", {"optimizer": "adam"}, "momentum"),
        ("colour-noise = 0.5", {"augment": False}, "colour_noise"),
        ("drop-epochs = [6]", {"schedule": "steps"}, ""),
        ("dropout = 0.3", {"network": "alexnet-caffe"}, ""),
        ('from = "a.pt"', {"scratch": False}, ""),
        ('from = "a.pt"', {"network": "lenet5"}, ""),
    ],
)
def test_what_is_given_goes_before_what_it_excludes(tmp_path, text, given, gone):
    found, usual = read(tmp_path / "a.toml", text, **given), options.Options()
    own = {config.NAMES.get(name, name.replace("-", "_")) for name in tomllib.loads(text)}
    assert found.given == {"config", *given} | (own - {*gone.split()})
    assert all(getattr(found, name) == getattr(usual, name) for name in gone.split())


def test_json_that_is_nested_too_deeply_is_said_in_a_line(tmp_path):
    with pytest.raises(
        UsageError, match=r"a\.json: not JSON \(.*recursion.*\); --config takes a run's args\.json, or TOML$"
    ):
        read(tmp_path / "a.json", '{"variant": ' + "[" * 200_000 + "]" * 200_000 + "}")


def test_a_name_of_other_tools_is_answered_with_the_option(tmp_path):
    (tmp_path / "a.toml").write_text("learning_rate = 3")
    result = CliRunner().invoke(main, ["train", "--config", str(tmp_path / "a.toml")])
    said = f"{tmp_path / 'a.toml'}: no option is called 'learning_rate'. Did you mean 'lr'?"
    assert (result.exit_code, result.stderr) == (2, f"Error: {said}\n")


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("a.json", "[3]", "expected options by name, got list"),
        ("a.json", "{", "not JSON (Expecting property name"),
        ("a.json", "{}", "no option in it; --config takes a run's args.json, or TOML such as `epochs = 30`"),
        ("a.toml", "", "no option in it"),
        ("a.toml", "# lr = 0.1\n", "no option in it"),
    ],
)
def test_what_is_no_object_is_refused(tmp_path, name, text, said):
    with pytest.raises(UsageError, match=r"a\.(json|toml): ") as error:
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
    with command.make_context("train", ["--config", str(tmp_path / "a.toml"), "--find-lr"]) as context:
        assert _train_values.read(context.params).lr is None  # as if --lr was never there


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


def test_a_fine_tuned_run_begins_again_with_its_own_dropout(tmp_path, monkeypatch):
    """The dropout of the weights file is 0.5; other weights have their own network, and none is drawn for --scratch."""
    monkeypatch.chdir(tmp_path)
    first = cualex.train("demo", weights="cifar10", dropout=0.3, epochs=4)
    described = json.loads(json.dumps(first.recipe.described()))
    (tmp_path / "args.json").write_text(json.dumps({"data": "demo", "start": "cifar10", "recipe": described}))
    again = cualex.train(config=tmp_path)
    assert (again.recipe, again.recipe.dropout) == (first.recipe, 0.3)
    assert again.setup.network == first.setup.network
    scratch = cualex.train(config=tmp_path, scratch=True)
    assert (scratch.setup.start, scratch.recipe) == (None, first.recipe)
    for given in {"network": "lenet5"}, {"variant": {"norm": "none"}}, {"network": "mine.py:made"}:
        with pytest.raises(UsageError, match=f"^--{next(iter(given))}.* out, or add --scratch$"):
            cualex.train(config=tmp_path, **given)
    assert cualex.train(config=tmp_path, network="lenet5", crop=32, scratch=True).recipe.network == "lenet5"
    other = json.dumps({"data": "demo", "recipe": CAFFE.but(dropout=0.25, epochs=4).described()})
    (tmp_path / "args.json").write_text(other)
    tuned = cualex.train(config=tmp_path, weights="cifar10", batch_size=8).recipe
    assert tuned == CAFFE.but(
        **{name: getattr(first.recipe, name) for name in finetuning.OF_NETWORK}, dropout=0.25, epochs=4, batch=8
    )


@pytest.mark.parametrize(("field", "value"), [("network", "alexnet-tanh"), ("crop", 227)])
def test_a_recipe_of_another_network_than_the_weights_is_refused(tmp_path, monkeypatch, field, value):
    monkeypatch.chdir(tmp_path)
    own = cualex.train("demo", weights="cifar10").recipe
    described = own.described() | {field: value}
    (tmp_path / "args.json").write_text(json.dumps({"data": "demo", "start": "cifar10", "recipe": described}))
    said = (
        f"^the weights to start from were trained with {field} {getattr(own, field)}, got {value}: leave --{field} out$"
    )
    with pytest.raises(UsageError, match=said):
        cualex.train(config=tmp_path)


def test_a_resumed_run_has_its_own_options(tmp_path):
    result = CliRunner().invoke(main, ["train", "--resume", "x", "--config", str(V01 / "whole/lenet5")])
    said = "--config is for new runs, and --resume continues one: leave one of them out"
    assert (result.exit_code, result.stderr) == (2, f"Error: {said}\n")
