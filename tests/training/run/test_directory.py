"""Runs that never collide, full disks, and runs that go on with something else than before."""

import contextlib
import resource
import subprocess

import pytest
from click.testing import CliRunner

from cualex.cli import main
from cualex.errors import OutputError, RunLocked
from cualex.training.run import Run
from tests.support.tiny_runs import go, left, stop, training

pytestmark = pytest.mark.usefixtures("speck")


@contextlib.contextmanager
def files_of_at_most(size):
    """Let this process write no larger files, as a disk that is full in the middle of a write."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


# --- two runs


@pytest.mark.slow
@pytest.mark.parametrize("count", [2, pytest.param(20, marks=pytest.mark.slow)])
def test_runs_that_start_at_once_have_directories_of_their_own(forks, tmp_path, count):
    ends = forks.ask(together=[{"create": str(tmp_path)}] * count)
    assert {end["code"] for end in ends} == {0}, ends
    assert len({end["output"] for end in ends}) == len(list(tmp_path.iterdir())) == count


@pytest.mark.slow
def test_of_two_that_go_on_with_a_run_one_is_refused(forks, tmp_path, whole):
    run = Run.create(tmp_path)
    stop(training(run), 2)
    ends = forks.ask(together=[{"run": str(run.path)}] * 2)
    refused = next(end for end in ends if end["code"])
    assert "RunLocked" in refused["output"]
    assert sorted(end["code"] for end in ends)[0] == 0
    assert left(run) == whole


def test_a_run_in_which_a_process_trains_is_refused(tmp_path):
    run = Run.create(tmp_path)
    records = training(run)
    go(records, 1)
    with pytest.raises(RunLocked, match=rf"{run.path}: process \d+ on \S+ is training in it\. Wait for it"):
        Run.reopen(run.path)
    refused = CliRunner().invoke(main, ["train", "--resume", str(run.path)])
    assert refused.exit_code == RunLocked.exit_code == 6
    records.close()
    assert Run.reopen(run.path).path == run.path


# --- disks


@pytest.mark.slow
def test_a_full_disk_stops_nothing_and_spoils_nothing(whole, tmp_path):
    run = Run.create(tmp_path)
    records = training(run, save_every=0.0)
    assert go(records, 6) == []
    before = (run.path / "last.safetensors").read_bytes()
    with files_of_at_most(300):
        told = go(records, 8)  # with a line of the log, the end of an epoch and the best weights in between
        assert before in [(run.path / f"{name}.safetensors").read_bytes() for name in ("last", "previous")]
        assert not list(run.path.glob(".*.part"))
    assert len([text for text in told if "Training continues" in text]) == 1
    assert "the file would be larger than this system allows" in told[0]
    assert "The checkpoint could be written again." in go(records, 3)
    list(records)
    found = left(run)
    assert found["log"] == whole["log"]
    assert (found["weights"], found["results"]) == (whole["weights"], whole["results"])


@pytest.mark.slow
def test_at_the_end_a_full_disk_is_an_error_and_the_run_goes_on_later(whole, tmp_path):
    run = Run.create(tmp_path)
    records = training(run)
    go(records, 41)
    with files_of_at_most(300), pytest.raises(OutputError, match="larger than this system allows"):
        list(records)
    assert not (run.path / "finished.json").exists()
    list(training(run))
    assert left(run) == whole


@pytest.mark.slow
def test_a_disk_without_room(whole, tmp_path):
    """On a file system of a megabyte, which something else fills up and leaves again."""
    place = tmp_path / "small"
    place.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "none", place], capture_output=True).returncode:
        pytest.skip("file systems cannot be mounted here")
    try:
        run, filler = Run.create(place), place / "filler"
        records = training(run, save_every=0.0)
        go(records, 3)
        with contextlib.suppress(OSError), open(filler, "wb", buffering=0) as file:
            while True:
                file.write(b"." * 4096)
        assert "the disk is full" in go(records, 9)[0]
        assert run.checkpoint()
        filler.unlink()
        list(records)
        found = left(run)
        assert (found["log"], found["weights"]) == (whole["log"], whole["weights"])
    finally:
        subprocess.run(["umount", place], check=True)
