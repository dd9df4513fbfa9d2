"""What commands print: JSON, tables, progress, questions; and the options that they share."""

import io
import json
import sys

import click
import numpy as np
import pytest
from click.testing import CliRunner

from cualex.cli import _options, _output
from cualex.errors import UsageError
from tests.cli.conftest import Clock


def test_a_document_is_plain_json(capsys):
    value = {"a": np.float32(0.5), "b": np.arange(3), "c": float("nan"), 4: (True, None), "é": np.inf}
    _output.document(value)
    out = capsys.readouterr().out
    assert json.loads(out) == {
        "schema_version": _output.SCHEMA,
        "a": 0.5,
        "b": [0, 1, 2],
        "c": None,
        "4": [True, None],
        "é": None,
    }
    assert "é" in out
    _output.document([{"a": 1}])
    assert json.loads(capsys.readouterr().out) == [{"a": 1}]  # a list keeps its form


def test_a_table_off_a_terminal_is_neither_wrapped_nor_cut_nor_interpreted(capsys):
    rows = [{"class": "[red]cat[/]" + "x" * 200, "pictures": 1234}, {"class": ":dog:", "pictures": None}]
    _output.table(rows, total={"class": "total", "pictures": 1234567})
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["class", "pictures"]
    assert lines[2].split() == ["[red]cat[/]" + "x" * 200, "1,234"]
    assert lines[3] == ":dog:"
    assert lines[-1].split() == ["total", "1,234,567"]
    assert lines[2].index("1,234") + len("1,234") == len(lines[-1])


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize(
    ("columns", "left"), [(60, "name long spare other"), (40, "name long other"), (20, "name long")]
)
def test_on_a_narrow_terminal_names_are_whole_and_spare_columns_are_left_out(monkeypatch, columns, left):
    screen = Terminal()
    monkeypatch.setattr(sys, "stdout", screen)
    monkeypatch.setenv("TERM", "dumb")
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setenv("LINES", "50")  # without which Rich takes a dumb terminal for one of 80 columns
    rows = [{"name": "conv1+relu1", "long": "x " * 8, "spare": "12345678", "other": "1"}]
    _output.table(rows, spare=["spare", "other"])
    lines = screen.getvalue().splitlines()
    assert lines[0].split() == left.split()
    assert lines[2].startswith("conv1+relu1")


@pytest.mark.parametrize(
    ("columns", "left"), [(47, "name shape note count"), (34, "name shape note"), (26, "name shape"), (12, "name")]
)
def test_no_cell_is_cut_and_the_last_columns_are_left_out(monkeypatch, columns, left):
    screen = Terminal()
    monkeypatch.setattr(sys, "stdout", screen)
    for name, value in {"TERM": "dumb", "COLUMNS": str(columns), "LINES": "50"}.items():
        monkeypatch.setenv(name, value)
    row = {"name": "conv1", "shape": "1x128x256x256", "note": "first and then second", "count": 1_234_567}
    _output.table([row, {**row, "name": "conv1+relu1"}])
    lines = screen.getvalue().splitlines()
    assert lines[0].split() == left.split()
    assert "…" not in screen.getvalue()
    words = {word for line in lines for word in line.split()}
    cells = {"conv1", "conv1+relu1", "1x128x256x256", "first", "second", "1,234,567"}
    assert cells & words == cells - {
        *(["1x128x256x256"] if "shape" not in left else []),
        *(["first", "second"] if "note" not in left else []),
        *(["1,234,567"] if "count" not in left else []),
    }


@pytest.fixture
def clock(monkeypatch):
    """Put a clock of our own below the progress display."""
    clock = Clock()
    monkeypatch.setattr(_output, "time", clock)
    return clock


def test_progress_off_a_terminal_is_a_line_every_few_seconds(clock, capsys):
    with _output.Progress("Packing train", total=5000) as progress:
        for done, now in ((10, 101), (1000, 104), (1200, 105), (1300, 106), (2400, 110)):
            clock.now = now
            progress(done, "3 left out")
        clock.now = 120
        progress.done = 5000
    assert capsys.readouterr().err.splitlines() == [
        "Packing train: 1,200/5,000 images, 240/s, 16 s left, 3 left out",
        "Packing train: 2,400/5,000 images, 240/s, 11 s left, 3 left out",
        "Packing train: 5,000/5,000 images, 250/s, in 20 s, 3 left out",
    ]


def test_progress_that_goes_on_counts_its_rate_from_where_it_began(clock, capsys):
    with _output.Progress("Training", total=200, unit="updates", done=100) as progress:
        clock.now += 10
        progress(110)
    assert capsys.readouterr().err.splitlines()[0] == "Training: 110/200 updates, 1/s, 1 min 30 s left"


def test_each_plan_s_kernels_are_a_progress_of_their_own(clock, capsys):
    compiling = _output.Compiling()
    for total in (2, 1):
        for done in range(1, total + 1):
            compiling(done, total)
    lines = capsys.readouterr().err.splitlines()
    said = [line.partition(",")[0] for line in lines]
    assert said == ["Compiling kernels: 2/2 kernels", "Compiling kernels: 1/1 kernels"]


def test_progress_that_fails_does_not_claim_an_end(clock, capsys):
    with pytest.raises(ValueError, match="ours"), _output.Progress("Packing", total=5):
        raise ValueError("ours")
    assert capsys.readouterr().err == ""


def test_progress_on_a_terminal_is_a_bar(monkeypatch):
    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")
    with _output.Progress("Packing [red]", total=4) as progress:
        progress.say("a [line] above")
        progress(4, "note [x]")
    said = screen.getvalue()
    assert "Packing [red]" in said
    assert "4/4 images" in said
    assert "note [x]" in said
    assert "a [line] above" in said


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0, "0 s"), (59.4, "59 s"), (59.6, "1 min 00 s"), (200, "3 min 20 s"), (7500, "2 h 05 min")],
)
def test_durations(seconds, said):
    assert _output.duration(seconds) == said


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (9_960, "10 kB"),
        (999_700, "1.0 MB"),
        (243_860_896, "244 MB"),
        (1.9e9, "1.9 GB"),
        (3e15, "3000 TB"),
    ],
)
def test_sizes(number, said):
    assert _output.size(number) == said


def test_nobody_is_asked_without_a_terminal():
    with pytest.raises(UsageError, match=r"^Pack 30 GB\? There is no terminal to ask at: add --yes to continue\.$"):
        _output.confirm("Pack 30 GB?", yes=False)
    _output.confirm("Pack 30 GB?", yes=True)


def test_a_no_ends_with_1_and_nothing_done(monkeypatch):
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
    monkeypatch.setattr(click, "confirm", lambda *a, **k: False)
    with pytest.raises(click.exceptions.Exit) as ended:
        _output.confirm("Pack 30 GB?", yes=False)
    assert ended.value.exit_code == 1


def test_shared_options_are_what_they_say():
    @click.command()
    @_options.device
    @_options.seed
    @_options.batch_size(128)
    @_options.yes
    @_options.as_json
    def command(**given):
        click.echo(json.dumps(given))

    given = json.loads(CliRunner().invoke(command, ["-b", "3"], env={"CUALEX_DEVICE": "cpu,cpu"}).stdout)
    assert given == {"device": "cpu,cpu", "seed": 0, "batch_size": 3, "yes": False, "as_json": False}
