"""The conditions of a measurement or a run: machine, versions, BLAS."""

import importlib.metadata
import math
import os
import platform
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import TypeVar

import threadpoolctl

import cualex


def describe() -> dict:
    """Return machine, versions and BLAS, as plain values."""
    blas = [pool for pool in threadpoolctl.threadpool_info() if pool["user_api"] == "blas"]
    packages = ("numpy", "pillow", "safetensors")
    return {
        "cualex": cualex.__version__,
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "processor": processor(),
        "cores": cores(),
        **{name: importlib.metadata.version(name) for name in packages},
        "blas": [f"{pool['internal_api']} {pool['version']} {pool.get('architecture', '')}" for pool in blas],
    }


def processor() -> str:
    """Return the processor's name where the system has it."""
    if os.path.exists("/proc/cpuinfo"):
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:
            for line in file:
                if line.startswith("model name"):
                    return line.partition(":")[2].strip()
    return platform.processor()


Given = TypeVar("Given")
Made = TypeVar("Made")
sharing = 1  # ranks of this machine that may use the same cores; cualex.ranks.mpi finds it


def cores() -> int:
    """Count the cores that this process may use: by affinity, a container's quota, and Slurm's --cpus-per-task.

    Ranks that the launcher has not bound to cores of their own take equal shares.
    """
    counts = [len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1]
    if quota := _quota():
        counts.append(max(1, math.ceil(quota)))
    counts = [max(1, count // sharing) for count in counts]
    if (slurm := os.environ.get("SLURM_CPUS_PER_TASK", "")).isdecimal() and int(slurm):
        counts.append(int(slurm))
    return min(counts)


def in_threads(
    work: Callable[[Given], Made], given: Iterable[Given], progress: Callable[[int, int], None] | None = None
) -> list[Made]:
    """Return work(each) of all that is given, in its order, computed in a thread a core.

    `progress` hears how many are done, of how many. Where one of these raises, or Ctrl-C comes, what has begun is
    waited for and the rest is not begun: leaving `with ThreadPoolExecutor` alone would first do all of it.
    """
    threads = ThreadPoolExecutor(cores())
    try:
        jobs = [threads.submit(work, each) for each in given]
        for done, job in enumerate(as_completed(jobs), 1):
            job.result()
            if progress:
                progress(done, len(jobs))
        return [job.result() for job in jobs]
    finally:
        threads.shutdown(cancel_futures=True)


def _quota(groups: Path = Path("/sys/fs/cgroup"), own: Path = Path("/proc/self/cgroup")) -> float | None:
    """Return the CPUs that control groups allow, the least of this process's group and those above it; None without.

    Version 2 has "QUOTA PERIOD" or "max PERIOD" in cpu.max, version 1 two files of the controller cpu
    (Documentation/admin-guide/cgroup-v2.rst and scheduler/sched-bwc.rst of Linux). In a container the group is often
    mounted as the root.
    """
    found: list[float] = []
    for line in _text(own).splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers and "cpu" not in controllers.split(","):
            continue
        root = groups / controllers if controllers else groups
        group = root / path.lstrip("/")
        for each in (group, *group.parents):
            if not each.is_relative_to(groups):
                break
            quota, _, period = _text(each / "cpu.max").partition(" ")
            if controllers:
                quota, period = _text(each / "cpu.cfs_quota_us"), _text(each / "cpu.cfs_period_us")
            if quota.strip().isdecimal() and period.strip().isdecimal() and int(period):
                found.append(int(quota) / int(period))
    return min(found, default=None)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
