"""The whole command on several ranks, by mpiexec: the run of one process, one voice, and one end for all."""

import json
import os
import subprocess
import sys

import pytest

from cualex.training.run import Run
from tests import ROOT
from tests.support import launches
from tests.support.tiny_runs import OPTIONS, command, left

pytestmark = pytest.mark.usefixtures("speck")
PARTS = (*OPTIONS, "--accumulate", 4, "--epochs", 2)  # a figure is drawn after each, which takes longest
MOTE = (*OPTIONS, "--accumulate", 4, "--epochs", 1, "--network", "mote")


def alone(forks, *arguments):
    """Run `cualex train` as one process."""
    ended = forks.ask(arguments=command(*arguments))
    assert ended["code"] == 0, ended["output"]


@pytest.fixture(scope="module")
def whole(forks, data, tmp_path_factory):
    """Train speck as one process, and return its run."""
    place = tmp_path_factory.mktemp("whole")
    alone(forks, data, *PARTS, "--output", place, "--cache", place.parent / "packs")
    return Run(place / "train")


@pytest.fixture
def fixed(data, whole, tmp_path):
    """Return the arguments of the same training in another place."""
    return ("train", data, *PARTS, "--output", tmp_path, "--cache", whole.path.parent.parent / "packs")


def test_a_run_of_four_ranks_is_that_of_one_process(fixed, whole, tmp_path):
    ended = launches.launch(4, *fixed, "--json")
    assert ended.returncode == 0, ended.stderr
    assert left(Run(tmp_path / "train")) == left(whole)
    assert "\n8 images an update: 2 on each of 4 ranks\n" in ended.stderr
    assert ended.stderr.count("Run directory:") == 1
    assert json.loads(ended.stdout)["run"] == str(tmp_path / "train")
    assert sorted(os.listdir(tmp_path)) == ["train"]


def test_two_machines_that_exchange_rows_have_the_bits_of_one_process(fixed, whole, tmp_path):
    """Two ranks on each of two machines, which have other names only: sums on two levels, rows from the other."""
    ended = launches.launch(4, *fixed, "--exchange-rows", RANK_MACHINES=2)
    assert ended.returncode == 0, ended.stderr
    assert left(Run(tmp_path / "train")) == left(whole)


def test_batch_normalisation_on_two_ranks(forks, data, whole, tmp_path):
    options = [data, *MOTE, "--cache", whole.path.parent.parent / "packs", "--output", tmp_path]
    alone(forks, *options, "--name", "one")
    ended = launches.launch(2, "train", *options, "--name", "two")
    assert ended.returncode == 0, ended.stderr
    assert left(Run(tmp_path / "two")) == left(Run(tmp_path / "one"))


def test_an_evaluation_counts_every_image_once(whole, data, forks):
    """On more ranks than there are batches, and the last of them is ragged."""
    words = ("evaluate", data, "-w", whole.path, "--split", "train", "-b", 30, "--json")
    ended = launches.launch(3, *words, "--cache", whole.path.parent.parent / "packs")
    assert ended.returncode == 0, ended.stderr
    one = forks.ask(arguments=[*map(str, words), "--cache", str(whole.path.parent.parent / "packs")])
    assert one["code"] == 0
    assert ended.stdout in one["output"]


def test_a_rank_that_fails_ends_all(fixed):
    ended = launches.launch(2, *fixed, RANK_FAULT="bug:1")
    assert ended.returncode == 1
    assert "rank 1: Traceback" in ended.stderr
    assert "ZeroDivisionError: planted" in ended.stderr


def test_packing_that_fails_is_told_once(tmp_path):
    for number, kind in enumerate("ab"):
        (tmp_path / "data" / kind).mkdir(parents=True)
        for each in range(8):
            (tmp_path / "data" / kind / f"{number}-{each}.png").write_bytes(b"\x89PNG\r\n\x1a\nnothing")
    words = ("train", tmp_path / "data", *OPTIONS, "--output", tmp_path / "runs", "--cache", tmp_path / "packs")
    ended = launches.launch(4, *words, RANK_MACHINES=2)
    assert ended.returncode == 1
    assert "train images can be read; the first: " in ended.stderr
    assert ended.stderr.count("images can be read") == 1
    assert "Abort" not in ended.stderr


def test_ranks_that_differ_end_with_one_line(fixed):
    ended = launches.launch(2, *fixed, RANK_FAULT="recipe:1")
    assert ended.returncode == 1
    assert ended.stderr.endswith(
        "Error: rank 1 has another recipe (momentum) than rank 0: expected 0.9, got 0.8. "
        "Give all ranks the same program, options and data.\n"
    )
    assert ended.stderr.count("Error:") == 1


def test_the_option_starts_the_ranks():
    launches.mpiexec()
    words = [sys.executable, "-m", "cualex", "doctor", "--ranks", "2", "--json"]
    ended = subprocess.run(words, capture_output=True, text=True, timeout=launches.LIMIT, cwd=ROOT)
    assert ended.returncode == 0, ended.stderr
    assert ended.stderr.startswith(f"Starting: {launches.mpiexec()} -n 2 {sys.executable} -m cualex doctor --ranks 2 ")
    found = {check["what"]: check["found"] for check in json.loads(ended.stdout)["checks"]}
    assert found["ranks"].startswith("2 on 1 machine; here 2, each with ")
    assert "MB/s" in found["exchange"]
