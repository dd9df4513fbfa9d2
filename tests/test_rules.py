"""The repository keeps its own rules: help, README, packaging, sizes, and no trace of the machine it was made on."""

import ast
import importlib
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import threading
import tomllib
from pathlib import Path

import click
import pytest

from cualex import cli, layers
from tests import ROOT

README = (ROOT / "README.md").read_text()
LONGEST_README = 170
COMMANDS = cli.main.list_commands(None)
LONGEST, LONGEST_CU, LONGEST_TEST = 250, 350, 400  # lines; a longer file is more than one idea


def tracked(*patterns):
    """List the files that git knows; without git the rule cannot be checked."""
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        pytest.skip("this is not a git checkout")
    listed = subprocess.run(["git", "ls-files", "-z", *patterns], cwd=ROOT, capture_output=True, check=True)
    paths = [ROOT / name for name in listed.stdout.decode().split("\0") if name]
    return [path for path in paths if path.is_file()]


def command(name):
    """Find a command, or one of a group's: "show activations"."""
    made = cli.main
    for word in name.split():
        made = made.get_command(None, word)
    return made


EVERY = [
    *COMMANDS,
    *(
        f"{name} {own}"
        for name in COMMANDS
        if isinstance(command(name), click.Group)
        for own in command(name).list_commands(None)
    ),
]


@pytest.mark.parametrize("name", EVERY)
def test_every_command_has_help_and_an_example(name):
    made = command(name)
    assert made.help, f"{name} has no help"
    assert re.search(rf"^ +cualex {name}\b", made.help, re.M), f"the help of {name} shows no example"
    first = made.get_short_help_str(1000)
    assert len(first) <= 60, f"the first sentence of {name} is cut in the list of commands: {first}"


@pytest.mark.parametrize("name", EVERY)
def test_every_option_has_help(name):
    for parameter in command(name).params:
        if isinstance(parameter, click.Option):
            assert parameter.help, f"{name} {parameter.opts[0]} has no help"


@pytest.mark.parametrize("name", EVERY)
def test_examples_name_options_that_exist(name):
    for words in commands_in(command(name).help):
        check_options(words)


def commands_in(text):
    """List the commands in a text, each as its words: from `cualex` to the end of the line or of the code."""
    found = re.findall(r"(?:^|[\s`/])cualex ([a-z][^`\n#]*)", text, re.M)
    return [line.split() for line in found]


def check_options(words):
    """See that a command exists and has the options that a line gives it."""
    name, *rest = words
    assert name in COMMANDS, f"cualex {name}: there is no such command"
    if isinstance(group := command(name), click.Group):
        usual = getattr(group, "default", None)  # the command that is meant where none is named
        own = rest.pop(0) if usual is None or (rest[:1] and rest[0] in group.list_commands(None)) else usual
        name = f"{name} {own}"
        assert command(name), f"cualex {name}: there is no such command"
    known = {option for parameter in command(name).params for option in parameter.opts} | {"--help", "-h"}
    given = [word.partition("=")[0] for word in rest if re.fullmatch(r"--?[a-z][\w-]*(=.*)?", word)]
    for option in given:
        assert option in known, f"cualex {name} has no {option}"
    if name in NAMED and rest and re.fullmatch(r"[a-z][\w-]+", rest[0]):
        assert rest[0] in NAMED[name](), f"cualex {name} has no {rest[0]}"


NAMED = {  # commands whose first argument is a name of ours
    "experiment": lambda: importlib.import_module("cualex.experiments.catalogue").names(),
    "lesson": lambda: importlib.import_module("cualex.lessons.lesson").NAMES,
    "help": lambda: [*importlib.import_module("cualex.cli.help").TOPICS, *COMMANDS],
}


@pytest.mark.parametrize("path", sorted((ROOT / "cualex/lessons").glob("*.py")), ids=lambda path: path.stem)
def test_commands_of_a_lesson_exist(path):
    """One named an experiment that there never was."""
    for words in commands_in(re.sub(r"\n# (?=\S)", " ", path.read_text())):
        if words[0] in COMMANDS:  # other sentences begin with the name too
            check_options(words)


def code_of_readme(language):
    return "\n".join(re.findall(rf"```{language}\n(.*?)```", README, re.S))


def test_commands_of_the_readme_exist():
    shown = commands_in(code_of_readme("sh"))
    assert len(shown) >= 9
    for words in shown:
        check_options(words)


def test_the_readme_shows_every_command():
    shown = {words[0] for words in commands_in(code_of_readme("sh"))}
    assert set(COMMANDS) <= shown


def test_files_of_the_readme_exist():
    named = re.findall(r"`((?:cualex|cli|kernels|tests)/[\w/.]*)`", README)
    assert len(named) > 15
    missing = [name for name in named if not (ROOT / name).exists()]
    assert missing == []


def test_names_of_the_readme_exist():
    code = code_of_readme("python")
    used = set(re.findall(r"\bcualex\.(\w+)", code))
    assert used
    cualex = importlib.import_module("cualex")
    for name in used:
        assert hasattr(cualex, name), f"cualex.{name} does not exist"
    for method in re.findall(r"\bmodel\.(\w+)\(", code):
        assert hasattr(cualex.Model, method), f"Model.{method} does not exist"


def test_the_whole_check_runs_the_test_command_of_the_readme():
    (line,) = [line for line in code_of_readme("sh").splitlines() if line.endswith("pytest")]
    (pattern,) = re.findall(r"grep -m 1 '(.*?)' README\.md", (ROOT / ".ci/run").read_text())
    found = [other for other in README.splitlines() if re.search(pattern, other)]
    assert found == [line]
    steps = [".venv/bin/python" in step or ".venv/bin/pip" in step for step in line.split(" && ")[1:]]
    assert all(steps), "every step after the first runs in the environment of the first"


def test_the_readme_names_the_neurons_and_parameters_that_the_networks_have():
    from cualex import networks
    from cualex.networks import summary

    topic = importlib.import_module("cualex.cli.help").text("networks")
    for name in networks.names():
        total = summary.totals(summary.rows(networks.build(name)))
        row = next(line for line in README.splitlines() if line.startswith(f"| `{name}` |"))
        assert f"| {total.parameters:,} | {total.multiply_adds:,} |" in row
        assert re.search(rf"^  {name} +{total.parameters:,} +{total.multiply_adds:,}  ", topic, re.M)
        if name == "alexnet":
            assert f"{total.neurons:,} neurons" in README


def test_the_readme_is_short():
    assert len(README.splitlines()) <= LONGEST_README


def test_the_python_of_the_readme_runs_and_prints_what_its_comments_say(tmp_path, monkeypatch):
    """On noise; what is exact, sizes and counts, is compared, of the rest what does not depend on the images."""
    import numpy as np
    from PIL import Image

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CUALEX_CACHE", str(tmp_path / "cache"))
    rng = np.random.default_rng(2012)
    for number in range(40):
        folder = tmp_path / "photos" / ("cat", "dog")[number % 2]
        folder.mkdir(parents=True, exist_ok=True)
        image = Image.fromarray(rng.integers(0, 256, (80, 90, 3), np.uint8))
        image.save(folder / f"{number}.png")
        image.save(f"{folder.name}.jpg")
    printed = []
    exec(code_of_readme("python"), {"print": lambda value: printed.append(str(value))})
    comments = re.findall(r"print\(.*\)  # (.*)", code_of_readme("python"))
    kinds = (r"\[\('(cat|dog)', 0\.\d+\), \('", r"\(2, 2048\)", r"\(48, 15, 15\)", r"\d+ images: top-1 ", "60965224")
    for kind, comment, line in zip(kinds, comments, printed, strict=True):
        assert re.match(kind, comment), comment
        assert re.match(kind, line), line


ON_GPUS = r"/cuda/|devices/cu|^kernels/"


@pytest.mark.slow
def test_an_image_takes_the_way_that_the_readme_says(tmp_path):
    assert 8 <= len(files_of_the_way(tmp_path, "cpu")) <= 9


def test_an_image_takes_that_way_on_a_gpu(tmp_path, cupy):
    assert 11 <= len(files_of_the_way(tmp_path, "cuda:0")) <= 13


def files_of_the_way(tmp_path, device):
    """Return the files that the README names; each of them runs while an image is classified."""
    from click.testing import CliRunner
    from PIL import Image

    (sentence,) = re.findall(r"An image's way from file to class: (.*?)\n\n", README, re.S)
    named = re.findall(r"`((?:cualex|cli|kernels)/[\w/]+\.\w+)`", sentence)
    other = "/host/" if device != "cpu" else ON_GPUS
    expected = {name for name in named if not re.search(other, name)}
    Image.new("RGB", (90, 80), "red").save(tmp_path / "red.png")
    seen = set()
    roots = {str(ROOT / name): name for name in expected if name.endswith(".py")}

    def record(frame, event, argument):
        seen.add(os.path.realpath(frame.f_code.co_filename))

    threading.setprofile(record)
    sys.setprofile(record)
    try:
        words = ["predict", "-w", "cifar10", str(tmp_path / "red.png"), "--device", device]
        result = CliRunner().invoke(cli.main, words)
    finally:
        sys.setprofile(None)
        threading.setprofile(None)
    assert result.exit_code == 0, result.output
    assert {name for path, name in roots.items() if path not in seen} == set()
    return expected


def test_the_plot_of_the_readme_is_what_the_program_draws(tmp_path):
    """Fonts differ between versions of matplotlib, so sizes and coarse brightness are compared, and what is drawn."""
    import numpy as np
    from PIL import Image

    from cualex import networks
    from cualex.plots import towers

    (name,) = re.findall(r"!\[.*\]\((tests/golden/readme/\w+\.png)\)", README)
    boxes = towers.draw(networks.build("alexnet"), tmp_path / "drawn.png")
    drawn, stored = (
        np.asarray(Image.open(path).convert("L").reduce(16), np.float32)
        for path in (tmp_path / "drawn.png", ROOT / name)
    )
    assert drawn.shape == stored.shape
    assert np.abs(drawn - stored).mean() < 3
    layers = "conv1 pool1 conv2 pool2 conv3 conv4 conv5 pool5 fc6 fc7 fc8"
    assert [box.layer for box in boxes] == layers.split()
    links = {box.layer: box.sent for box in boxes if box.sent}
    assert links == {"conv3": (21632, 21632), "fc6": (4608, 4608), "fc7": (2048, 2048), "fc8": (0, 2048)}


def test_every_topic_of_help_has_a_text():
    topics = importlib.import_module("cualex.cli.help")
    held = {file.stem for file in (ROOT / "cli/topics").iterdir()}
    assert held == set(topics.TOPICS)
    for topic, what in topics.TOPICS.items():
        assert re.search(rf"^ +{topic} +{re.escape(what)}$", topics.help.help, re.M)
        for words in commands_in(topics.text(topic).replace("The cualex authors", "")):
            check_options(words)


def test_the_root_help_has_all_exit_codes():
    from cualex import errors

    codes = {kind.exit_code for kind in vars(errors).values() if hasattr(kind, "exit_code")} | {0, 129, 130, 143}
    (table,) = re.findall(r"Exit codes:\n(.*?)\n\n", cli.main.help, re.S)
    assert codes == {int(code) for line in table.splitlines() for code in re.findall(r"\b\d+\b", line[:20])}


def test_the_results_of_experiments_are_of_experiments():
    import json

    from cualex.experiments import catalogue

    found = json.loads((ROOT / "cualex/experiments/results.json").read_text())
    assert sorted(found["results"]) == sorted(catalogue.names())
    for name, result in found["results"].items():
        assert set(result) == {"scale", "here", "paper", "reading", "effects"}
        assert set(result["effects"]) <= set(catalogue.find(name).arms)


@pytest.mark.parametrize("language", ["py", "cu", "cuh"])
def test_no_file_is_too_long(language):
    lengths = {str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in tracked(f"*.{language}")}
    longest = LONGEST_CU if language == "cu" else LONGEST
    limits = {path: LONGEST_TEST if path.startswith("tests/") else longest for path in lengths}
    assert [f"{path}: {lines} lines" for path, lines in lengths.items() if lines > limits[path]] == []


def test_no_path_of_this_machine_is_tracked():
    machine = {str(ROOT.parent), str(ROOT), str(Path.home()), sys.prefix} - {"/"}
    pattern = re.compile("|".join(rf"(?<![\w./-]){re.escape(place)}/" for place in machine))
    found = []
    for path in tracked():
        read = path.read_bytes()
        if any(f"{place}/".encode() in read for place in machine):  # the pattern takes its time
            found += [
                f"{path.relative_to(ROOT)}: {hit.group()}" for hit in pattern.finditer(read.decode(errors="replace"))
            ]
    assert found == []


def test_every_package_is_named_in_pyproject():
    """A package that is not named works in a checkout and is missing from the wheel, silently."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    on_disk = {".".join(file.parent.relative_to(ROOT).parts) for file in (ROOT / "cualex").rglob("__init__.py")}
    linked = {f"cualex.{name}" for name in LINKS}
    assert sorted(settings["packages"]) == sorted(on_disk | linked)


LINKS = ("cli", "kernels")  # folders of the top level that are packages of cualex by a link


@pytest.mark.parametrize("name", LINKS)
def test_links_make_an_editable_install_one_path(name):
    """Type checkers and editors follow a path; a mapping in package-dir makes an import hook, which they cannot see."""
    link = ROOT / "cualex" / name
    assert link.is_symlink(), f"{link} must be a link: git checkout -- {link.relative_to(ROOT)}"
    assert os.readlink(link) == f"../{name}"
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    assert settings["package-dir"] == {"": "."}


@pytest.mark.slow
def test_mypy_sees_the_types_of_an_installed_cualex(tmp_path):
    """Away from the checkout, as in a user's project; a wrong type is found."""
    if importlib.util.find_spec("mypy") is None:
        pytest.skip("mypy is not installed")
    user = (ROOT / "tests/typed_api.py").read_text()
    (tmp_path / "right.py").write_text(user)
    (tmp_path / "wrong.py").write_text("import cualex\nx: int = cualex.networks()\ncualex.train('photos', epoch=5)\n")

    def mypy(name):
        words = [sys.executable, "-m", "mypy", "--cache-dir", tmp_path / "cache", name]
        return subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=False).stdout

    assert mypy("right.py").startswith("Success")
    found = mypy("wrong.py")
    assert 'Incompatible types in assignment (expression has type "list[str]", variable has type "int")' in found
    assert 'Unexpected keyword argument "epoch"' in found
    assert "Found 2 errors" in found


def test_every_folder_of_python_files_is_a_package():
    folders = {file.parent for top in ("cualex", "kernels", "cli") for file in (ROOT / top).rglob("*.py")}
    assert [str(folder) for folder in folders if not (folder / "__init__.py").exists()] == []


def test_every_layer_has_a_second_opinion():
    reference = ast.parse((ROOT / "tests/support/reference.py").read_text())
    functions = {node.name for node in reference.body if isinstance(node, ast.FunctionDef)}
    made = [getattr(layers, name) for name in layers.__all__]
    kinds = {layer.kind for layer in made if isinstance(layer, type) and hasattr(layer, "kind")}
    assert len(kinds) >= 9
    assert kinds - functions == {
        "exchange",
        "join",
    }  # these compute nothing; test the bits of both placements


def test_ruff_is_content():
    if importlib.util.find_spec("ruff") is None:
        pytest.skip("ruff is not installed")
    checked = subprocess.run(
        [sys.executable, "-m", "ruff", "check", "--output-format=concise", "."],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert checked.returncode == 0, checked.stdout
