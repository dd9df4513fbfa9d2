"""What `cualex doctor` finds out about GPUs: the driver without CuPy, all else in a process of its own."""

import sys
from dataclasses import dataclass

from cualex.cli import _output


@dataclass(frozen=True)
class Check:
    """Hold one finding; `advice` is empty where all is well, and `problem` says that it must be put right."""

    what: str
    found: str
    advice: str = ""
    problem: bool = False


def checks() -> list[Check]:
    """See the driver without CuPy, and CuPy in a process of its own, where it may fail as it likes."""
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
