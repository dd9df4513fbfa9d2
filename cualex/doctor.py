"""Describe the GPUs of this machine, for `cualex doctor`, which runs this in a separate process.

python -m cualex.doctor       one JSON object; what cannot be used is in it, with the reason
"""

import json
from functools import partial
from typing import Any

import numpy as np

from cualex.devices.cuda import CudaDevice
from cualex.devices.cupy_runtime import CupyRuntime
from cualex.engine.cuda import dropout
from cualex.errors import CualexError, DeviceError, DeviceLost
from cualex.kernels.architectures import precisions
from cualex.kernels.binaries import compiler_version

COPIED = 2**18  # numbers that are copied between two GPUs: many pages


def describe() -> dict[str, Any]:
    """Return NVRTC's version, the compile cache, all GPUs, and what each and each pair can do.

    Where CuPy or CUDA does not start: its `fault`, and `install`, whether an installation is to blame.
    """
    try:
        runtime = CupyRuntime()
        version = ".".join(map(str, compiler_version()))
    except CualexError as error:
        return {"fault": error.what, "install": True}
    try:
        count = runtime.count()
    except CualexError as error:
        return {"fault": error.what, "install": False}
    gpus: list[dict[str, Any]] = []
    for device in range(count):
        lost = next((gpu["fault"] for gpu in gpus if gpu["lost"]), None)
        gpus.append(_gpu(runtime, device, count) if lost is None else _not_tried(runtime, device, lost))
    good = [device for device, gpu in enumerate(gpus) if not gpu["fault"]]
    pairs = [_pair(runtime, good[0], other) for other in good[1:]]
    return {
        "nvrtc": version,
        "cache": str(runtime.binaries.folder),
        "cache_writable": runtime.binaries.writable,
        "gpus": gpus,
        "pairs": pairs,
        "graphs": next((gpus[device]["graph"] for device in good if gpus[device]["graph"]), ""),
    }


def _gpu(runtime: CupyRuntime, device: int, count: int) -> dict[str, Any]:
    """Describe one GPU and try it: name, architecture, precisions, free bytes, whose memory it reads; or its fault."""
    said: dict[str, Any] = {"name": runtime.title(device), "fault": "", "lost": False}
    try:
        architecture = runtime.architecture(device)
        said |= {
            "architecture": architecture,
            "precisions": precisions(architecture),
            "free": runtime.free(device),
            "peers": [other for other in range(count) if other != device and runtime.peers(device, other)],
        }
        said["graph"] = _try([CudaDevice(f"cuda:{device}", runtime, device, "fp32")], 32)
    except CualexError as error:
        said |= {"fault": error.what, "lost": isinstance(error, DeviceLost)}
    return said


def _not_tried(runtime: CupyRuntime, device: int, fault: str) -> dict[str, Any]:
    """Describe a GPU that this process cannot try any more."""
    return {"name": runtime.title(device), "fault": f"not tried, as {fault}", "lost": False}


def _pair(runtime: CupyRuntime, one: int, other: int) -> dict[str, Any]:
    """Copy between two GPUs there and back, as one step and as a graph; return why a graph failed, and the fault."""
    said = {"devices": [one, other], "graph": "", "fault": ""}
    try:
        devices = [CudaDevice(f"cuda:{each}", runtime, each, "fp32") for each in (one, other, one)]
        said["graph"] = _try(devices, COPIED)
    except CualexError as error:
        said["fault"] = error.what
    return said


def _try(devices: list[CudaDevice], size: int) -> str:
    """Double some numbers on each device in turn, with a copy to the next, one by one and as a graph.

    Return why there is no graph, or an empty text; raise DeviceError where numbers came out wrong.
    """
    first, last, names = devices[0], devices[-1], " and ".join(dict.fromkeys(device.name for device in devices))
    arrays = [[device.allocate((1, size), zero=True) for _ in range(2)] for device in devices]
    steps, launches = [], []
    for device, (x, y) in zip(devices, arrays, strict=True):
        step, own = device.prepare(partial(dropout.infer, device, x, y, factor=2))
        steps.append(step)
        launches += own
    first.compile(launches)

    def work() -> None:
        for number, step in enumerate(steps):
            if number:
                target, source = arrays[number][0], arrays[number - 1][1]
                devices[number].link(devices[number - 1], source, target, "doctor", finite=False)
            step()

    def check(start: int, run: Any, what: str) -> None:
        numbers = np.arange(start, start + size, dtype=np.float32)
        first.upload(arrays[0][0], numbers[None])
        run()
        first.synchronize()  # a kernel that failed on another device says so
        if not (last.download(arrays[-1][1])[0] == 2 ** len(devices) * numbers).all():
            raise DeviceError(f"{what} on {names} gave wrong numbers.")

    check(0, work, "kernels and copies" if len(devices) > 1 else "a kernel")
    graph = first.capture(devices, work)
    if graph is None:
        return first.runtime.uncaptured
    check(1, graph, "a graph")
    return ""


if __name__ == "__main__":
    print(json.dumps(describe()))
