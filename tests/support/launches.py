"""Commands on several ranks: by the mpiexec beside this Python or of PATH, with a time limit for every launch."""

import functools
import importlib.util
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests import ROOT

LIMIT = 120  # seconds, of a busy machine
PROGRAM = "tests.support.rank_program"


@functools.cache
def mpiexec():
    """Return the launcher; skip the test where there is none, or no mpi4py."""
    beside = Path(sys.executable).parent / "mpiexec"
    found = str(beside) if beside.exists() else shutil.which("mpiexec")
    if found is None or importlib.util.find_spec("mpi4py") is None:
        pytest.skip('needs mpiexec and mpi4py: pip install "cualex[mpi]"')
    return found


def begin(size, *arguments, launcher=(), **environment):
    """Start `cualex` on so many ranks; launcher: the words that start them, by default mpiexec's."""
    own = {
        "OPENBLAS_NUM_THREADS": "1",
        "MPLBACKEND": "agg",
        **{name: str(value) for name, value in environment.items()},
    }
    words = [*(launcher or [mpiexec()]), "-n", str(size), sys.executable, "-m", PROGRAM, *map(str, arguments)]
    return subprocess.Popen(
        words,
        cwd=ROOT,
        env={**os.environ, **own},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def end(process, limit=LIMIT):
    """Wait for a launch; return its code, stdout and stderr. After the limit all its processes are killed."""
    try:
        out, told = process.communicate(timeout=limit)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        out, told = process.communicate()
        pytest.fail(f"no end after {limit} s: {told[-2000:]}")
    return subprocess.CompletedProcess(process.args, process.returncode, out, told)


def alive(pids):
    """Return those of some processes that there still are, but for those whose parent has not noticed their end."""
    found = []
    for pid in pids:
        try:
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z":
                found.append(pid)
        except FileNotFoundError:
            pass
    return found


def shared_memory():
    """Return the files that MPICH has made in shared memory: ranks that are killed leave theirs."""
    return set(Path("/dev/shm").glob("mpich_*"))


def launch(size, *arguments, **environment):
    """Run `cualex` on so many ranks to its end."""
    return end(begin(size, *arguments, **environment))
