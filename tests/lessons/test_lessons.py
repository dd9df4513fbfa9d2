import io
import json
import os
import subprocess
import sys

import numpy as np
import pytest
from click.testing import CliRunner

from cualex import lessons
from cualex.cli import main
from cualex.errors import UsageError
from cualex.layers import Conv, Dense, ReLU, Softmax
from cualex.lessons import Learner, demo_images, tools
from cualex.lessons.lesson import NAMES, Cell, parse
from tests import ROOT

SCRIPT = '''"""A title.

An introduction.
"""

# %% [markdown]
# Some *text*.
#
#     indented

# %%
from cualex.lessons import figure

x = 2
print("x is", x)
with figure("A plot", 3, 2) as drawn:
    drawn.subplots().plot([1, x])

# %% [question]
# How much is x?

# %% [answer]
# Two.

# %%
x += 1
'''


def test_a_script_is_read_cell_by_cell():
    read = parse("some", SCRIPT)
    assert read.title == "A title"
    assert [cell.kind for cell in read.cells] == ["text", "text", "code", "question", "answer", "code"]
    assert read.cells[0].text == "# A title\n\nAn introduction."
    assert read.cells[1].text == "Some *text*.\n\n    indented"
    assert read.cells[4] == Cell("answer", "Two.")


def test_a_cell_of_an_unknown_kind_is_refused():
    with pytest.raises(ValueError, match=r"a cell of kind '\[riddle\]'; there are \[markdown\]"):
        parse("some", SCRIPT.replace("[question]", "[riddle]"))


def test_running_gives_what_is_printed_and_drawn(tmp_path):
    ran = list(parse("some", SCRIPT).run(tmp_path))
    assert [cell.kind for cell in ran] == ["text", "text", "code", "printed", "plot", "question", "answer", "code"]
    assert ran[3].text == "x is 2\n"
    assert ran[4].text == str(tmp_path / "some-1.png")
    assert (tmp_path / "some-1.png").read_bytes().startswith(b"\x89PNG")
    assert tools._output is None


def test_a_fault_in_a_lesson_names_it(tmp_path):
    with pytest.raises(ZeroDivisionError) as raised:
        list(parse("some", '"""T."""\n# %%\n1 / 0\n').run(tmp_path))
    assert raised.traceback[-1].frame.code.raw.co_filename == "<lesson some>"
    assert tools._output is None


def test_a_notebook_has_the_same_cells():
    book = parse("some", SCRIPT).notebook()
    assert (book["nbformat"], book["nbformat_minor"]) == (4, 5)
    kinds = [cell["cell_type"] for cell in book["cells"]]
    assert kinds == ["markdown", "markdown", "code", "markdown", "markdown", "code"]
    assert "".join(book["cells"][2]["source"]) == parse("some", SCRIPT).cells[2].text
    assert "".join(book["cells"][4]["source"]).startswith("<details><summary>Answer</summary>")
    assert len({cell["id"] for cell in book["cells"]}) == 6


@pytest.mark.parametrize("name", NAMES)
def test_every_lesson_asks_and_answers(name):
    """And is no longer than the eye reads: its code compiles, and a plot or a table is in each."""
    read = lessons.find(name)
    kinds = [cell.kind for cell in read.cells]
    assert kinds.index("answer") > kinds.index("question")
    for cell in read.cells:
        if cell.kind == "code":
            compile(cell.text, name, "exec")
    assert any("figure(" in cell.text for cell in read.cells)


def test_every_script_is_a_lesson():
    scripts = {path.stem.replace("_", "-") for path in (ROOT / "cualex/lessons").glob("*.py")}
    assert scripts - {"--init--", "lesson", "tools"} == set(NAMES)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_every_lesson_runs_on_a_tenth_of_the_work(name, tmp_path, monkeypatch):
    monkeypatch.setenv(tools.SHARE, "0.1")
    done = CliRunner().invoke(main, ["lesson", name, "-o", str(tmp_path / "out")])
    assert done.exit_code == 0, done.output
    assert "Question. " in done.output
    assert list((tmp_path / "out").glob(f"{name}-1.png"))


def test_an_unknown_lesson_is_refused_with_the_nearest():
    with pytest.raises(UsageError, match=r"no lesson is called 'poling'; .* Did you mean pooling\?"):
        lessons.find("poling")


def test_the_command_lists_lessons():
    done = CliRunner().invoke(main, ["lesson", "--json"])
    assert [row["lesson"] for row in json.loads(done.stdout)] == list(NAMES)


def test_the_command_writes_a_notebook(tmp_path):
    done = CliRunner().invoke(main, ["lesson", "pooling", "--notebook", "-o", str(tmp_path)])
    assert done.exit_code == 0
    book = json.loads((tmp_path / "pooling.ipynb").read_text())
    assert "".join(book["cells"][0]["source"]).startswith("# Pooling that overlaps")


def test_a_lesson_is_called_by_its_number_too():
    assert lessons.find("5").name == NAMES[4]
    for name in ("0", str(len(NAMES) + 1)):
        with pytest.raises(UsageError, match=f"no lesson is called '{name}'"):
            lessons.find(name)


def test_a_notebook_with_notes_stays(tmp_path):
    """A second --notebook once wrote over what its reader had added; without a name all are written."""
    done = CliRunner().invoke(main, ["lesson", "--notebook", "-o", str(tmp_path)])
    assert done.exit_code == 0, done.output
    assert {path.stem for path in tmp_path.iterdir()} == set(NAMES)
    (tmp_path / "pooling.ipynb").write_text("mine")
    done = CliRunner().invoke(main, ["lesson", "pooling", "--notebook", "-o", str(tmp_path)])
    assert done.exit_code == 1
    assert done.stderr == (
        f"Error: {tmp_path}/pooling.ipynb exists, perhaps with notes of yours: remove it, or give another --output.\n"
    )
    assert (tmp_path / "pooling.ipynb").read_text() == "mine"


def test_what_a_cell_prints_comes_while_it_runs(tmp_path):
    """A training of a minute was a minute of silence."""
    stream = io.StringIO()
    script = '"""T."""\n# %%\nprint("one")\n1 / 0\n'
    with pytest.raises(ZeroDivisionError):
        list(parse("some", script).run(tmp_path, stream))
    assert stream.getvalue() == "one\n"


def test_texts_are_wrapped_and_tables_are_drawn(tmp_path, monkeypatch):
    monkeypatch.setenv("COLUMNS", "50")
    done = CliRunner().invoke(main, ["lesson", "lenet-to-alexnet", "-o", str(tmp_path)])
    assert done.exit_code == 0, done.output
    assert "|---|" not in done.stdout
    paragraphs = [part for part in done.stdout.split("\n\n") if "Fourteen years" in part]
    assert all(len(line) <= 50 for line in paragraphs[0].splitlines())
    assert f"Plot: {tmp_path}/lenet-to-alexnet-1.png" in done.stdout


def test_q_ends_at_a_question(tmp_path, monkeypatch):
    monkeypatch.setattr("cualex.cli.lesson._at_terminal", lambda: True)
    for answer, goes_on in (("q", False), ("", True)):
        done = CliRunner().invoke(main, ["lesson", "lenet-to-alexnet", "-o", str(tmp_path)], input=f"{answer}\n")
        assert done.exit_code == 0, done.output
        assert ("Answer. " in done.stdout) == goes_on


def test_a_file_in_place_of_the_directory_is_named(tmp_path):
    (tmp_path / "lessons").write_text("")
    done = CliRunner().invoke(main, ["lesson", "pooling", "-o", str(tmp_path / "lessons")])
    assert done.exit_code == 1
    assert done.stderr == f"Error: cannot write {tmp_path}/lessons: a file of that name exists. Choose a directory.\n"


def test_a_script_by_itself_writes_each_of_its_figures(tmp_path):
    """All had one name, so that the last was left."""
    (tmp_path / "IPython.py").write_text("raise ImportError")
    draw = "    with figure('A', 3, 2) as drawn:\n        drawn.subplots()\n"
    code = f"from cualex.lessons import figure\nfor _ in range(2):\n{draw}"
    paths = os.pathsep.join([str(tmp_path), str(ROOT)])
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True, env={**os.environ, "PYTHONPATH": paths})
    assert {path.name for path in tmp_path.glob("*.png")} == {"figure-1.png", "figure-2.png"}


def test_less_work_is_done_where_the_environment_says_so(monkeypatch):
    monkeypatch.delenv(tools.SHARE, raising=False)
    assert tools.work(300, 20) == 300
    monkeypatch.setenv(tools.SHARE, "0.01")
    assert tools.work(300, 20) == 20
    monkeypatch.setenv(tools.SHARE, "0.5")
    assert tools.work(300, 20) == 150


def learner(**options):
    """Return a learner of a small network on 40 images."""
    images, labels = demo_images(40, 24)
    layers = {"conv1": Conv(4, size=5, std=0.1), "relu1": ReLU(), "fc2": Dense(10, std=0.03), "softmax": Softmax()}
    return Learner(layers, images, labels, batch=8, **options)


def test_a_learner_learns():
    """And its gradients are those of the first images: an update without momentum follows them."""
    made = learner(rate=0.02, momentum=0.0)
    before, gradient = made.weights(), made.gradients(40)
    assert np.abs(gradient["conv1.weight"]).max() > 0
    assert all((made.weights()[name] == before[name]).all() for name in before)
    losses = made.train(60)
    assert np.mean(losses[-5:]) < 0.8 * np.mean(losses[:5])
    assert made.accuracy(made.images, made.labels) > 0.3
    assert made.maps("relu1", made.images[:2]).shape == (2, 4, 20, 20)


def test_a_learner_ends_where_the_loss_is_not_finite():
    losses = learner(rate=1e6).train(30)
    assert not np.isfinite(losses[-1])
    assert len(losses) < 30


def test_views_of_an_augmented_learner_differ_and_fit(monkeypatch):
    made, seen = learner(crop=20, augmented=True), []
    put = made.plan.put
    monkeypatch.setattr(made.plan, "put", lambda *batch: (seen.append(batch[1]), put(*batch)))
    made.train(12)
    rows, columns, mirrored = np.concatenate(seen).T
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (0, 4, 0, 4)
    assert set(mirrored) == {0, 1}


@pytest.mark.slow
def test_a_script_runs_in_a_notebooks_way(tmp_path):
    """Cell by cell with IPython's display, here a stand-in of it."""
    code = (
        "import sys, types; shown = []\n"
        "module = types.ModuleType('IPython.display')\n"
        "module.Image = lambda data, width: ('png', data[:4], width)\n"
        "module.display = shown.append\n"
        "sys.modules['IPython'] = types.SimpleNamespace(version_info=(9, 0)); sys.modules['IPython.display'] = module\n"
        "from cualex.lessons import find\n"
        "namespace = {}\n"
        "for cell in find('convolution').cells:\n"
        "    if cell.kind == 'code': exec(cell.text, namespace)\n"
        "assert [kind for kind, *_ in shown] == ['png'], shown\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=tmp_path)
