"""The conditions of a measurement or a run: machine, versions, BLAS."""

import importlib.metadata
import os
import platform

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


def cores() -> int:
    """Count the cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
