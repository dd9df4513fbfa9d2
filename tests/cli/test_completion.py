"""Completion of values in shells, through Click's own interface."""

import json
import os
import subprocess
import sys

import pytest
from click.shell_completion import ShellComplete

from cualex import cli, networks
from cualex.cli import help
from cualex.experiments import catalogue


def completed(*words):
    """Return what the last word of a command line may become: values, and kinds of paths."""
    *before, incomplete = words
    found = ShellComplete(cli.main, {}, "cualex", "_CUALEX_COMPLETE").get_completions(before, incomplete)
    return {item.value if item.type == "plain" else item.type for item in found}


@pytest.fixture
def runs(tmp_path, monkeypatch):
    """Make a run that can be resumed, a finished one, and one without weights, in ./runs; and one in ./other."""
    monkeypatch.chdir(tmp_path)
    files = {"runs/stopped": ("last", "best"), "runs/done": ("best",), "runs/new": (), "other/away": ("previous",)}
    for name, kept in files.items():
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "args.json").write_text(json.dumps({}))
        for each in kept:
            (tmp_path / name / f"{each}.safetensors").touch()
    (tmp_path / "runs/no-run").mkdir()


@pytest.mark.parametrize(
    "words",
    ["train --network", "summary", "profile", "benchmark --network", "summary lenet5 --against", "show network"],
)
def test_networks(words):
    assert completed(*words.split(), "alexnet-") == {name for name in networks.names() if name.startswith("alexnet-")}


def test_a_file_is_completed_where_no_network_is_meant():
    assert completed("train", "--network", "my.p") == {"file"}


def test_experiments():
    assert completed("experiment", "") == set(catalogue.names())
    assert completed("experiment", "--pictures", "") == set()


def test_topics_and_commands():
    assert completed("help", "") == {*help.TOPICS, *cli.main.list_commands(None)}
    assert completed("help", "js") == {"json"}
    assert completed("trai") == {"train"}


def test_runs_with_a_checkpoint(runs):
    assert completed("train", "--resume", "") == {os.path.join("runs", "stopped")}
    assert completed("train", "--resume", "st") == {"stopped"}
    assert completed("train", "--output", "other", "--resume", "") == {os.path.join("other", "away")}


@pytest.mark.parametrize("words", ["predict -w", "train --from", "export --weights", "features -w"])
def test_runs_with_weights_the_bundled_network_and_files(runs, words):
    assert completed(*words.split(), "") == {"cifar10", "file", *(os.path.join("runs", n) for n in ("stopped", "done"))}
    assert completed(*words.split(), "ci") == {"cifar10", "file"}


@pytest.mark.parametrize(("words", "kinds"), [("train", "file"), ("predict", "file"), ("train --config", "file")])
def test_paths(words, kinds):
    assert completed(*words.split(), "ph") == {kinds}


def test_choices_and_options():
    assert completed("train", "--schedule", "") == {"plateau", "steps", "cosine", "poly", "2012"}
    assert {"--find-lr", "--warmup", "--config"} <= completed("train", "--")


@pytest.mark.slow
@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_command_of_the_topic_prints_a_script(shell):
    text = help.text("completion")
    assert f"_CUALEX_COMPLETE={shell}_source cualex" in text
    variables = {**os.environ, "_CUALEX_COMPLETE": f"{shell}_source"}
    code = "import sys; sys.argv[0] = 'cualex'; from cualex.cli import main; main()"
    done = subprocess.run([sys.executable, "-c", code], env=variables, capture_output=True, text=True, check=False)
    if shell == "bash" and "Couldn't detect Bash" in done.stderr:
        pytest.skip("there is no bash")
    assert done.returncode == 0, done.stderr
    assert "_CUALEX_COMPLETE" in done.stdout
