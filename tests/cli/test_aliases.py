"""Aliases of options in the names of other tools, and what an unknown option is told."""

import re
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from cualex import cli
from cualex.cli import _aliases


def leaves():
    """Return the commands by the words that name them: ("train",), ("show", "network")."""
    found = {}
    for name in cli.main.list_commands(None):
        made = cli.main.get_command(None, name)
        if isinstance(made, click.Group):
            found |= {(name, own): made.get_command(None, own) for own in made.list_commands(None)}
        else:
            found[name,] = made
    return found


COMMANDS = leaves()
NAMES = {words: " ".join(words) for words in COMMANDS}
EVERY = [pytest.param(made, id=NAMES[words]) for words, made in COMMANDS.items()]
ALIASES = [
    pytest.param(made, option, alias, id=f"{NAMES[words]} {alias}")
    for words, made in COMMANDS.items()
    for option, aliases in made.aliases().items()
    for alias in aliases
]


def parsed(command, *words):
    """Return what the parser makes of words, before values are converted."""
    return command.make_parser(click.Context(command)).parse_args(list(words))[0]


def read(command, *words):
    """Return the parameters that words give to `cualex train`."""
    made = COMMANDS[command,]
    return made.make_context(command, list(words)).params


def told(*words):
    """Return the exit code and the last line of a command that fails."""
    result = CliRunner().invoke(cli.main, list(words))
    return result.exit_code, result.stderr.strip().splitlines()[-1]


@pytest.mark.parametrize("command", EVERY)
def test_every_command_takes_aliases(command):
    assert isinstance(command, _aliases.Command)


@pytest.mark.parametrize(("command", "option", "alias"), ALIASES)
def test_an_alias_is_its_option(command, option, alias):
    (made,) = [each for each in command.params if option in (*each.opts, *each.secondary_opts)]
    value = [] if made.is_flag else ["7"]
    assert parsed(command, alias, *value) == parsed(command, option, *value) != parsed(command)


@pytest.mark.parametrize(("command", "option", "alias"), ALIASES)
def test_an_alias_is_not_listed(command, option, alias):
    formatter = click.HelpFormatter()
    command.format_options(click.Context(command), formatter)
    listed = formatter.getvalue()
    assert option in listed or option.startswith("--no-")
    assert not re.search(rf"^  (-\w, )?{alias}\b(?!-)", listed, re.M)


def test_an_alias_is_of_one_option_and_no_option_itself():
    for command in COMMANDS.values():
        aliases = [alias for each in command.aliases().values() for alias in each]
        own = [name for each in command.params for name in (*each.opts, *each.secondary_opts)]
        assert len({*aliases, *own}) == len(aliases) + len(own)


def test_every_alias_is_of_some_command():
    own = {name for command in COMMANDS.values() for each in command.params for name in each.opts + each.secondary_opts}
    assert {*_aliases.ALIASES} <= own
    for name, table in _aliases.OF_COMMAND.items():
        assert {*table} <= {option for each in COMMANDS[name,].params for option in each.opts}


@pytest.mark.parametrize(
    ("words", "name", "value"),
    [
        ("--patience 5", "stop_after", 5),
        ("--learning-rate .02", "lr", 0.02),
        ("--head-lr-mult 10", "head_lr", 10),
        ("--imgsz 131", "crop", 131),
        ("--input-size=131", "crop", 131),
        ("--batch 16", "batch_size", 16),
        ("--wd 0.001", "weight_decay", 0.001),
        ("--num-workers 3", "workers", 3),
        ("--optimizer sgd", "optimizer", "momentum"),
        ("--opt SGD", "optimizer", "momentum"),
        ("--optimizer Adam", "optimizer", "adam"),
        ("--lr-scheduler multistep", "schedule", "steps"),
        ("--mean-at center", "mean_at", "centre"),
        ("--color-noise 0.1", "colour_noise", 0.1),
        ("--no-aug", "augment", False),
        ("--dtype float32", "precision", "fp32"),
        ("--warmup-epochs 3", "warmup", 3),
        ("--lr-warmup-epochs 0.5", "warmup", 0.5),
        ("--model lenet5", "network", "lenet5"),
    ],
)
def test_what_users_of_other_tools_type(words, name, value):
    assert read("train", *words.split())[name] == value


def test_weights_of_other_tools():
    assert str(read("train", "--weights", "best.pt")["start"]) == "best.pt"
    assert str(read("train", "--labels", "val.txt")["names"]) == "val.txt"
    assert str(read("predict", "--checkpoint", "best.pt")["weights"]) == "best.pt"
    assert [str(path) for path in read("evaluate", "--model", "a", "-w", "b")["weights"]] == ["a", "b"]


def test_the_option_counts_once():
    assert read("train", "--patience", "5", "--stop-after", "6")["stop_after"] == 6


def test_a_choice_without_the_alias_is_refused_as_before():
    code, line = told("train", "--optimizer", "rmsprop")
    assert code == 2
    assert line == "Error: Invalid value for '--optimizer': 'rmsprop' is not one of 'momentum', 'adam', 'lars'."


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        ("train --learningrate 1", "Did you mean --lr?"),
        ("train --learning_rate 1", "Did you mean --lr?"),
        ("train --batchsize 1", "Did you mean --batch-size?"),
        ("train --mean 1", "Did you mean --mean-at?"),
        ("train --colour 1", "Did you mean --colour-noise or --colour-components?"),
        ("train --mixup 1", "`cualex train --help` lists the options."),
        (
            "train --warmup_steps 1",
            "--warmup is in epochs, 0.5 for half of one, and begins at a hundredth of the learning rate.",
        ),
        ("train --lr_find", "--find-lr is the learning-rate range test."),
        ("train --data x", "The data set is an argument: cualex train photos/"),
        ("pack -v", "It stands before the command: cualex -v pack"),
        ("predict --source x", "Images are arguments: cualex predict cat.jpg photos/"),
        ("profile --model x", "The network is an argument: cualex profile alexnet"),
        ("evaluate --tta", "--crops 10 averages the paper's ten crops."),
        ("show network --outptu x", "Did you mean --output?"),
        ("doctor --rect", "`cualex doctor --help` lists the options."),
    ],
)
def test_an_unknown_option_is_told_the_way(words, hint):
    name = next(word for word in words.split() if word.startswith("-"))
    code, line = told(*words.split())
    hint = hint.replace("`cualex ", "`main ")  # the program's name as the runner has it
    assert (code, line) == (2, f"Error: No such option {name!r}. {hint}")


def test_hints_name_options_that_exist():
    """In the command that gives the hint, or in the one that the hint names."""
    for needed, names, hint in _aliases.HINTS:
        for words, command in COMMANDS.items():
            arguments = [each.name.upper() for each in command.params if isinstance(each, click.Argument)]
            own = {name for each in command.params for name in (*each.opts, *each.secondary_opts)} | {"--help"}
            if needed in {*own, *arguments}:
                assert {*re.findall(r"--[a-z][a-z-]*", hint)} <= own, (words, names)


@pytest.mark.parametrize("command", EVERY)
def test_help_texts_name_options_that_the_command_takes(command):
    parser = command.make_parser(click.Context(command))
    for each in command.params:
        for name in re.findall(r"(?<![\w-])--[a-z][a-z-]*", getattr(each, "help", None) or ""):
            assert name in parser._long_opt, f"the help of {each.name} names {name}"


@pytest.mark.parametrize(
    ("typed", "meant"), [("plot", "show"), ("val", "evaluate"), ("fit", "train"), ("trian", "train")]
)
def test_an_unknown_command_is_told_the_one_that_is_meant(typed, meant):
    assert told(typed) == (2, f"Error: No such command {typed!r}. Did you mean {meant!r}?")
    assert (meant,) in COMMANDS or meant == "show"


def test_commands_of_other_tools_are_told_commands_that_exist():
    assert {*_aliases.COMMANDS.values()} <= {*cli.main.list_commands(None)}
    assert not {*_aliases.COMMANDS} & {*cli.main.list_commands(None)}


@pytest.mark.parametrize("command", [*EVERY, pytest.param(cli.main, id="cualex")])
def test_help_says_what_a_tower_is_where_the_word_first_stands(command):
    text = " ".join(command.get_help(click.Context(command, info_name="cualex")).split())
    first = re.search(r"(?<!-)\btowers?\b(?!\.)", text)
    if first:
        around = text[max(0, first.start() - 120) : first.end() + 160]
        assert re.search(r"\bhal(f|ves)\b", around), around


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("experiment no-dropout", "demo"),
        ("experiment no-dropout photos", "photos"),
        ("experiment no-dropout --data photos", "photos"),
        ("experiment --data photos no-dropout", "photos"),
        ("profile", None),
        ("profile alexnet photos", "photos"),
        ("report runs/train photos", "photos"),
        ("report --data photos", "photos"),
    ],
)
def test_a_data_set_is_an_argument_or_data_its_older_name(words, found):
    command, *rest = words.split()
    params = read(command, *rest)
    assert params["data"] == found
    assert "data_argument" not in params


def test_two_data_sets_are_refused_and_the_environment_gives_way(monkeypatch):
    assert told("profile", "alexnet", "a", "--data", "b") == (2, "Error: Two data sets, a and --data b: give one.")
    monkeypatch.setenv("CUALEX_PROFILE_DATA", "b")
    context = {"auto_envvar_prefix": "CUALEX_PROFILE"}
    assert COMMANDS["profile",].make_context("profile", ["alexnet", "a"], **context).params["data"] == "a"
    assert COMMANDS["profile",].make_context("profile", ["alexnet"], **context).params["data"] == "b"


@pytest.mark.parametrize("command", ["train", "experiment"])
def test_the_directory_of_runs_is_root_everywhere_and_output_its_older_name(command):
    for name in ("--root", "--output", "--output-dir"):
        assert read(command, name, "elsewhere")["output"] == Path("elsewhere")
