"""`cualex show`: the table of activations and its picture."""

import json

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from cualex import cli
from cualex.engine.activations import ACTIVATIONS


def run(*arguments):
    return CliRunner().invoke(cli.main, ["show", *map(str, arguments)])


def test_the_table_of_activations():
    lines = run("activations").stdout.splitlines()
    assert lines[0].split() == ["name", "function", "derivative"]
    assert [line.split()[0] for line in lines[2:]] == list(ACTIVATIONS)
    told = json.loads(run("activations", "--json").stdout)
    assert told[3] == {"name": "softplus", "function": "log(1 + e^x)", "derivative": "1 - e^-y"}


@pytest.mark.slow
def test_the_picture_of_activations(tmp_path, monkeypatch):
    """Two panels side by side; in the left one tanh's orange reaches its ends at -1 and 1."""
    monkeypatch.setattr("cualex.plots.activations.ACTIVATIONS", dict(list(ACTIVATIONS.items())[:4]))  # one is orange
    path = tmp_path / "activations.png"
    result = run("activations", "-o", path)
    assert (result.exit_code, result.stderr) == (0, f"Plot: {path}\n")
    with Image.open(path) as picture:
        assert (picture.format, picture.width, picture.height) == ("PNG", 1296, 604)
        pixels = np.asarray(picture.convert("RGB"))
    orange = (pixels == (213, 94, 0)).all(2)
    rows = 230 + np.flatnonzero(orange[230:, :648].any(1))  # the left panel below its legend
    assert np.ptp(rows) == pytest.approx(500 * 2 / 4.5, abs=8)  # two of four and a half, on an axis of 500 pixels


@pytest.mark.slow
def test_a_place_that_cannot_be_written_is_one_line(tmp_path):
    result = run("activations", "-o", tmp_path / "not there" / "a.png")
    assert result.exit_code == 1
    assert result.stderr.count("\n") == 1
    assert "cannot write" in result.stderr


def test_an_unknown_figure_is_said():
    result = run("filter")
    assert result.exit_code == 2
    assert "No such command 'filter'" in result.stderr
