"""`cualex doctor`: what this machine has, what is wrong with it, and what to install."""

import os
import platform
import shutil
from dataclasses import asdict
from pathlib import Path

import click

from cualex.cli import _aliases, _options, _output, _ranks
from cualex.cli._gpus import Check, gpu_checks
from cualex.errors import CualexError, OutputError

SMALL_DISK = 2e9  # bytes; a run of alexnet writes two weights files with momentum, 490 MB each
SMALL_MEMORY = 2e9  # bytes; training alexnet at batch 128 takes a little less


@click.command(cls=_aliases.Command)
@_options.cache
@_ranks.ranks
@_options.as_json
def doctor(cache: Path | None, as_json: bool) -> None:
    """Check this machine: versions, memory, disk, GPUs.

    Tries the driver, CuPy, a kernel, copies between GPUs and a CUDA graph, and lists the self-tests of kernels. Exit
    code 1: something must be fixed. A GPU that cannot be used is only a note, since the CPU is used instead, unless
    CUALEX_DEVICE names a GPU. With several ranks it says how fast they exchange bytes.

    \b
    Examples:
        cualex doctor
        cualex doctor --json
        cualex doctor --ranks 2
    """
    from cualex.devices.self_test import report

    checks = [*_software(), *_machine(cache), *gpu_checks(), *_mpi(_ranks.team())]
    problems = [check for check in checks if check.problem]
    if as_json:
        _output.document(
            {"checks": [asdict(check) for check in checks], "problems": len(problems), "self_test": report.rows()}
        )
    else:
        _output.table([{"what": check.what, "found": check.found} for check in checks])
        if tested := report.rows():
            _output.echo()
            _output.table(tested)
        for check in checks:
            if check.advice:
                _output.echo(f"\n{'Problem' if check.problem else 'Note'}: {check.what}: {check.advice}")
    if problems:
        raise CualexError(f"{len(problems)} to fix: {', '.join(check.what for check in problems)}.")


def _software() -> list[Check]:
    import cualex

    checks = [
        Check("python", f"{platform.python_version()} on {platform.system()} {platform.machine()}"),
        Check("cualex", f"{cualex.__version__} in {Path(cualex.__file__).parent}"),
    ]
    for name in ("numpy", "pillow", "click", "rich", "safetensors", "matplotlib", "threadpoolctl", "torch"):
        version = _version(name)
        if version or name != "torch":
            advice = "" if version else f"install it: pip install {name}"
            checks.append(Check(name, version or "missing", advice, problem=not version))
    return [*checks, _blas()]


def _version(name: str) -> str | None:
    from importlib import metadata

    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _blas() -> Check:
    """Check whether NumPy's matrix products can be held to one thread, as the workers of the CPU engine need."""
    import numpy  # noqa: F401  (threadpoolctl sees only libraries that are loaded)
    import threadpoolctl

    with threadpoolctl.threadpool_limits(1, user_api="blas"):
        found = [pool for pool in threadpoolctl.threadpool_info() if pool["user_api"] == "blas"]
    if not found:
        advice = "its threads cannot be held to one a worker, which makes training slow: pip install numpy"
        return Check("BLAS", "none that threadpoolctl knows", advice)
    said = ", ".join(f"{pool['internal_api']} {pool['version']} {pool.get('architecture', '')}" for pool in found)
    if any(pool["num_threads"] != 1 for pool in found):
        return Check("BLAS", said, "its threads cannot be held to one a worker: set OMP_NUM_THREADS=1", problem=True)
    return Check("BLAS", f"{said.strip()}, threads can be held to one")


def _machine(cache: Path | None) -> list[Check]:
    from cualex.system import environment
    from cualex.system.cache import directory

    checks = [
        Check("processor", environment.processor() or "unknown"),
        Check("cores", f"{environment.cores()} of {os.cpu_count()}"),
        _memory(),
    ]
    try:
        checks.append(_disk("cache", directory(cache)))
    except OutputError as error:
        checks.append(Check("cache", "none", str(error), problem=True))
    return [*checks, _disk("this directory", Path.cwd())]


def _mpi(ranks) -> list[Check]:
    """Describe the MPI that is installed, and how fast ranks exchange bytes, where several run this."""
    version = _version("mpi4py")
    if ranks.size == 1:
        return [Check("mpi4py", version)] if version else []
    from cualex.ranks import measure

    machines = "1 machine" if ranks.machines == 1 else f"{ranks.machines} machines"
    share = f"{ranks.size} on {machines}; here {ranks.here}, each with {_cores()}"
    rates = [
        f"{measure.rate(ranks, size) / 1e6:,.0f} MB/s from each rank for sums of {size >> 20} MB"
        for size in measure.SIZES
    ]
    return [
        Check("mpi4py", f"{version} with {ranks.library()}"),
        Check("ranks", share),
        Check("exchange", f"{measure.latency(ranks) * 1e6:,.0f} us; {', '.join(rates)}"),
    ]


def _cores() -> str:
    from cualex.system import environment

    count = environment.cores()
    return "1 core" if count == 1 else f"{count} cores"


def _disk(what: str, path: Path) -> Check:
    found = f"{_output.size(free := shutil.disk_usage(path).free)} free in {path}"
    if not os.access(path, os.W_OK):
        return Check(what, found, "not writable: choose another directory", problem=True)
    return Check(what, found, "less than a run of alexnet may need" if free < SMALL_DISK else "")


def _memory() -> Check:
    """Read what is available: of the machine, and of the control group where one sets a limit."""
    if not hasattr(os, "sysconf"):  # Windows
        return Check("memory", "not known on this system")
    total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    available = _number("/proc/meminfo", "MemAvailable:", 1024) or total
    limit, used = _number("/sys/fs/cgroup/memory.max"), _number("/sys/fs/cgroup/memory.current")
    if limit and used:
        total, available = min(total, limit), min(available, limit - used)
    advice = "alexnet may need a smaller --batch-size" if available < SMALL_MEMORY else ""
    return Check("memory", f"{_output.size(available)} available of {_output.size(total)}", advice)


def _number(path: str, field: str = "", unit: int = 1) -> int | None:
    """Read a number of bytes from a line of the kernel's; None where there is none, or no limit."""
    try:
        lines = Path(path).read_text().splitlines()
    except OSError:
        return None
    words = next((line.removeprefix(field).split() for line in lines if line.startswith(field)), [])
    return int(words[0]) * unit if words and words[0].isdigit() else None
