"""Whether a process is one of several, by its environment alone; and what one process pays for ranks: nothing."""

import os
import subprocess
import sys

import pytest

from cualex.errors import UsageError
from cualex.ranks import launch
from tests import ROOT
from tests.support import launches

FOR_RANKS = ("cualex.ranks.mpi", "cualex.ranks.measure", "cualex.ranks.rows", "cualex.plan.sums")


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, None),
        ({"PMI_SIZE": "4", "PMI_RANK": "3"}, (3, 4)),
        ({"OMPI_COMM_WORLD_SIZE": "2", "OMPI_COMM_WORLD_RANK": "0"}, (0, 2)),
        ({"SLURM_STEP_NUM_TASKS": "8", "SLURM_PROCID": "7"}, (7, 8)),
        ({"SLURM_NTASKS": "8", "SLURM_PROCID": "0"}, None),  # a batch script's own process
        ({"PMI_SIZE": "1", "PMI_RANK": "0"}, None),
        ({"PMI_SIZE": "4"}, None),
        ({"PMI_SIZE": "many", "PMI_RANK": "0"}, None),
    ],
)
def test_the_environment_tells(environment, expected):
    found = launch.found(environment)
    assert (found and (found.rank, found.size)) == expected


def test_the_command_is_mpiexec_on_this_python(monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    monkeypatch.setattr("importlib.util.find_spec", lambda name: name)
    (tmp_path / "mpiexec").touch()
    own = [str(tmp_path / "python"), "-m", "cualex", "train", "--ranks", "3"]
    assert launch.command(3, ["train", "--ranks", "3"]) == [str(tmp_path / "mpiexec"), "-n", "3", *own]


def test_without_mpi_an_extra_is_named(monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UsageError) as caught:
        launch.command(2, [])
    assert str(caught.value).startswith('--ranks 2 needs MPI, and there is no mpiexec: pip install "cualex[mpi]"')


def run(code, **environment):
    words = [sys.executable, "-c", code]
    own = {**os.environ, **environment}
    return subprocess.run(words, env=own, capture_output=True, text=True, timeout=launches.LIMIT, cwd=ROOT)


def test_the_launcher_of_another_mpi_is_named():
    launches.mpiexec()
    code = "from cualex.cli import main; main()"
    first, second = (
        run(f"import sys; sys.argv[1:] = ['doctor']; {code}", OMPI_COMM_WORLD_SIZE="2", OMPI_COMM_WORLD_RANK=rank)
        for rank in "01"
    )
    assert first.returncode == second.returncode == 2
    assert second.stderr == ""
    start, _, end = first.stderr.partition("mpi4py uses ")
    assert start == "Error: Open MPI's mpiexec started 2 processes, but "
    assert end.endswith(", which sees 1: use the mpiexec of that library, or --ranks 2\n")


def test_mpi4py_without_a_library_of_mpi_is_a_line():
    """As `pip install mpi4py` alone leaves it."""
    pytest.importorskip("mpi4py")
    code = "from cualex.cli import main; main(['doctor'])"
    ended = run(code, PMI_SIZE="2", PMI_RANK="0", MPI4PY_LIBMPI="/nonexistent.so")
    assert ended.returncode != 0
    assert "Traceback" not in ended.stderr
    assert 'pip install "cualex[mpi]"' in ended.stderr


def test_one_process_imports_no_mpi(tmp_path):
    """Nor does it start a thread for ranks: `cualex train` alone costs nothing more."""
    code = f"""
import sys, threading
from pathlib import Path
from tests.support import tiny_runs
from cualex.training.run import Run
with tiny_runs.known():
    run = Run.create(Path({str(tmp_path)!r}))
    records = tiny_runs.training(run)
    next(records)
    names = [thread.name for thread in threading.enumerate()]
    records.close()
import cualex.cli.train
print([name for name in sys.modules if "mpi4py" in name or name in ({", ".join(map(repr, FOR_RANKS))})])
print([name for name in names if name == "exchange"])
"""
    ended = run(code)
    assert ended.stdout == "[]\n[]\n", ended.stderr
