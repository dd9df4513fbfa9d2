"""`cualex doctor`: what this machine has, what is wrong with it, and what to install."""

import os
import platform
import shutil
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

import click

from cualex.cli import _options, _output
from cualex.errors import CualexError, OutputError

SMALL_DISK = 2e9  # bytes; a run of alexnet writes two weights files with momentum, 490 MB each
SMALL_MEMORY = 2e9  # bytes; training alexnet at batch 128 takes a little less


@dataclass(frozen=True)
class Check:
    """One finding; `advice` is empty where all is well, and a `problem` must be fixed."""

    what: str
    found: str
    advice: str = ""
    problem: bool = False


@click.command()
@_options.cache
@_options.as_json
def doctor(cache: Path | None, as_json: bool) -> None:
    """Check this machine: versions, memory, disk, GPUs.

    Tries the driver, CuPy, a kernel and a CUDA graph, and lists the self-tests of kernels. Exit code 1: something must
    be fixed.

    \b
    Examples:
        cualex doctor
        cualex doctor --json
    """
    from cualex.devices.self_test import report

    checks = [*_software(), *_machine(cache), *gpu_checks()]
    problems = [check for check in checks if check.problem]
    if as_json:
        _output.document(
            {"checks": [asdict(check) for check in checks], "problems": len(problems), "self_test": report.rows()}
        )
    else:
        _output.table([{"what": check.what, "found": check.found} for check in checks])
        if tested := report.rows():
            click.echo()
            _output.table(tested)
        for check in checks:
            if check.advice:
                click.echo(f"\n{'Problem' if check.problem else 'Note'}: {check.what}: {check.advice}")
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


def _disk(what: str, path: Path) -> Check:
    found = f"{_output.size(free := shutil.disk_usage(path).free)} free in {path}"
    if not os.access(path, os.W_OK):
        return Check(what, found, "not writable: choose another directory", problem=True)
    return Check(what, found, "less than a run of alexnet may need" if free < SMALL_DISK else "")


def _memory() -> Check:
    """Read what is available: of the machine, and of the control group where one sets a limit."""
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


def gpu_checks() -> list[Check]:
    """Look for the driver without CuPy, and for GPUs with CuPy in a child process, which a broken CuPy may crash."""
    driver, wheels = _driver(), _cupy_wheels()
    extra = "cuda12" if driver and driver < 13000 else "cuda13"
    install = f'pip install "cualex[{extra}]"'
    checks = [Check("NVIDIA driver", f"for CUDA {driver // 1000}.{driver % 1000 // 10}" if driver else "none")]
    if len(wheels) > 1:
        advice = f"two break each other: pip uninstall {' '.join(name for name, _ in wheels)}, then {install}"
        return [*checks, Check("cupy", ", ".join(map(" ".join, wheels)), advice, problem=True)]
    if not wheels:
        advice = f"{install} (there is no ready wheel that is called cupy)" if driver else ""
        return [*checks, Check("cupy", "none" if driver else "none, and none is needed on a CPU", advice)]
    found = " ".join(wheels[0])
    if not driver:
        return [*checks, Check("cupy", found, "no driver for it here: the CPU will be used")]
    said, error = _ask()
    if error:
        return [*checks, Check("cupy", found, f"{error} ({install})", problem=True)]
    return [*checks, Check("cupy", found), *_described(said)]


def _driver() -> int | None:
    """Return the CUDA version of the driver as it counts them (13020 is 13.2); None without one."""
    import ctypes

    for name in ("libcuda.so.1", "nvcuda.dll"):
        try:
            version, library = ctypes.c_int(), ctypes.CDLL(name)
        except OSError:
            continue
        if library.cuDriverGetVersion(ctypes.byref(version)) == 0 and version.value:
            return version.value
    return None


def _cupy_wheels() -> list[tuple[str, str]]:
    """Name the distributions that bring a module `cupy`."""
    from importlib import metadata

    names = metadata.packages_distributions().get("cupy", [])
    return [(name, metadata.version(name)) for name in sorted(set(names))]


def _ask() -> tuple[dict, str]:
    """Return what cualex.doctor says, and the last line of its error if there is one."""
    import json
    import subprocess

    done = subprocess.run(
        [sys.executable, "-m", "cualex.doctor"], capture_output=True, text=True, timeout=300, check=False
    )
    if done.returncode:
        return {}, done.stderr.strip().splitlines()[-1]
    return json.loads(done.stdout), ""


def _described(said: dict) -> list[Check]:
    """List NVRTC, the compile cache, each GPU, and whether a step can be captured."""
    advice = (
        "" if said["cache_writable"] else "cannot be written, so kernels are compiled anew each time: set CUALEX_CACHE"
    )
    checks = [Check("NVRTC", said["nvrtc"]), Check("compile cache", said["cache"], advice)]
    for index, gpu in enumerate(said["gpus"]):
        peers = ", ".join(f"cuda:{other}" for other in gpu["peers"])
        reads = f"; reads the memory of {peers}" if peers else ""
        free, has = _output.size(gpu["free"]), " ".join(gpu["precisions"])
        found = f"{gpu['name']}, sm_{gpu['architecture']}, {free} free, {has}{reads}"
        lonely = len(said["gpus"]) > 1 and not peers
        advice = (
            "what crosses to another GPU goes through the host, which is slow: try --device cuda:0" if lonely else ""
        )
        checks.append(Check(f"cuda:{index}", found, advice))
    if said["graphs"]:
        return [
            *checks,
            Check("CUDA graphs", "none", f"steps run kernel by kernel, slower: {said['graphs']}"),
        ]
    return [*checks, Check("CUDA graphs", "a step can be captured")]
