"""What `cualex doctor` finds out about driver, CuPy and GPUs."""

import os
import sys
from dataclasses import dataclass

from cualex.cli import _output

PATIENCE = 300.0  # seconds for the GPUs


@dataclass(frozen=True)
class Check:
    """One finding; `advice` is empty where all is well, and a `problem` must be fixed."""

    what: str
    found: str
    advice: str = ""
    problem: bool = False


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
    said = _ask()
    if fault := said.get("fault"):
        to_install = said.get("install", False)
        advice = f"{fault} ({install})" if to_install else fault
        return [*checks, Check("cupy", found, advice, problem=to_install or _gpu_wanted())]
    return [*checks, Check("cupy", found), *_described(said)]


def _gpu_wanted() -> bool:
    """Return whether the user has asked for a GPU in every command."""
    return os.environ.get("CUALEX_DEVICE", "").startswith("cuda")


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


def _ask() -> dict:
    """Return what cualex.doctor says; where it comes to no end, its fault."""
    import json
    import signal
    import subprocess

    command = [sys.executable, "-m", "cualex.doctor"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
    except subprocess.TimeoutExpired:
        return {"fault": f"a GPU or its driver gave no answer in {PATIENCE:.0f} s: see `nvidia-smi`, or restart it"}
    if done.returncode < 0:
        name = signal.Signals(-done.returncode).name
        return {"fault": f"a test of the GPUs ended by {name}: CuPy or the driver crashed"}
    if done.returncode:
        *_, last = [f"exit code {done.returncode}", *done.stderr.strip().splitlines()]
        return {"fault": f"a test of the GPUs failed: {last}"}
    return json.loads(done.stdout)


def _described(said: dict) -> list[Check]:
    """List NVRTC, the compile cache, each GPU, and whether a step can be captured on one and over two."""
    advice = (
        "" if said["cache_writable"] else "cannot be written, so kernels are compiled anew each time: set CUALEX_CACHE"
    )
    checks = [Check("NVRTC", said["nvrtc"]), Check("compile cache", said["cache"], advice)]
    for index, gpu in enumerate(said["gpus"]):
        if gpu["fault"]:
            fault = gpu["fault"].removeprefix(f"cuda:{index} ")
            checks.append(Check(f"cuda:{index}", gpu["name"], fault, problem=_gpu_wanted()))
            continue
        peers = ", ".join(f"cuda:{other}" for other in gpu["peers"])
        reads = f"; reads the memory of {peers}" if peers else ""
        free, has = _output.size(gpu["free"]), " ".join(gpu["precisions"])
        found = f"{gpu['name']}, sm_{gpu['architecture']}, {free} free, {has}{reads}"
        lonely = len(said["gpus"]) > 1 and not peers
        advice = (
            "what crosses to another GPU goes through the host, which is slow: try --device cuda:0" if lonely else ""
        )
        checks.append(Check(f"cuda:{index}", found, advice))
    for pair in said["pairs"]:
        if pair["fault"]:
            names = ",".join(f"cuda:{device}" for device in pair["devices"])
            checks.append(Check(names, "do not work together", pair["fault"], problem=_gpu_wanted()))
    if all(gpu["fault"] for gpu in said["gpus"]):
        return checks
    if said["graphs"]:
        return [*checks, Check("CUDA graphs", "none", f"steps run kernel by kernel, slower: {said['graphs']}")]
    found, slow = "a step can be captured", [pair["graph"] for pair in said["pairs"] if pair["graph"]]
    if slow:
        found += " on one GPU"
    elif any(not pair["fault"] for pair in said["pairs"]):
        found += ", over two GPUs too"
    advice = f"over two GPUs steps run kernel by kernel: {slow[0]}" if slow else ""
    return [*checks, Check("CUDA graphs", found, advice)]
