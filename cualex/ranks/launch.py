"""Find out whether this process is one of several that an MPI launcher has started; no MPI is imported for that.

Every command imports this, so that it imports little itself.
"""

import os
import sys
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from cualex.errors import UsageError

# What a launcher calls the number of its processes and the index of this one. Slurm sets these of a step for `srun`
# only; a batch script's own process has no such variable, though its job may have many tasks.
VARIABLES = (
    ("PMI_SIZE", "PMI_RANK", "MPICH's or Intel MPI's mpiexec"),
    ("OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_RANK", "Open MPI's mpiexec"),
    ("MV2_COMM_WORLD_SIZE", "MV2_COMM_WORLD_RANK", "MVAPICH's mpiexec"),
    ("PALS_SIZE", "PALS_RANKID", "PALS's mpiexec"),
    ("SLURM_STEP_NUM_TASKS", "SLURM_PROCID", "srun"),
)
INSTALL = 'pip install "cualex[mpi]", or mpi4py alone where the machine has an MPI of its own'


class Launch(NamedTuple):
    """What the environment says: `rank` of `size` processes, and which launcher has started them."""

    rank: int
    size: int
    launcher: str


def found(environment: Mapping[str, str] = os.environ) -> Launch | None:
    """Return the launch that this process belongs to; None where it is alone."""
    for size, rank, launcher in VARIABLES:
        counts = [environment.get(name, "") for name in (size, rank)]
        if all(map(str.isdecimal, counts)) and int(counts[0]) > 1:
            return Launch(int(counts[1]), int(counts[0]), launcher)
    return None


def command(ranks: int, arguments: Sequence[str]) -> list[str]:
    """Return the command that starts so many ranks of `cualex` with these arguments.

    mpiexec is the one beside Python, where pip installs it, else that of PATH. Raise UsageError without MPI.
    """
    import importlib.util
    import shutil
    from pathlib import Path

    beside = Path(sys.executable).parent / "mpiexec"
    mpiexec = str(beside) if beside.exists() else shutil.which("mpiexec")
    lacking = "mpiexec" if mpiexec is None else "mpi4py"
    if mpiexec is None or importlib.util.find_spec("mpi4py") is None:
        raise UsageError(f"--ranks {ranks} needs MPI, and there is no {lacking}: {INSTALL}")
    return [mpiexec, "-n", str(ranks), sys.executable, "-m", "cualex", *arguments]
