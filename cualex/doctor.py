"""Describe the GPUs of this machine, for `cualex doctor`, which runs this in a separate process.

python -m cualex.doctor       one JSON object, or one line of error
"""

import json
import sys
from functools import partial
from typing import Any

import numpy as np

from cualex.devices.cuda import CudaDevice
from cualex.devices.cupy_runtime import CupyRuntime
from cualex.engine.cuda import dropout
from cualex.errors import CualexError
from cualex.kernels.architectures import precisions
from cualex.kernels.binaries import compiler_version


def describe() -> dict[str, Any]:
    """Return NVRTC's version, the compile cache, and all GPUs; raise DeviceError when there is none."""
    runtime = CupyRuntime()
    count = runtime.count()
    return {
        "nvrtc": ".".join(map(str, compiler_version())),
        "cache": str(runtime.binaries.folder),
        "cache_writable": runtime.binaries.writable,
        "gpus": [_gpu(runtime, device, count) for device in range(count)],
        "graphs": _captures(runtime) if count else "",
    }


def _gpu(runtime: CupyRuntime, device: int, count: int) -> dict[str, Any]:
    """Describe one GPU: name, architecture, precisions, free bytes, and the GPUs whose memory it can access."""
    architecture = runtime.architecture(device)
    return {
        "name": runtime.title(device),
        "architecture": architecture,
        "precisions": precisions(architecture),
        "free": runtime.free(device),
        "peers": [other for other in range(count) if other != device and runtime.peers(device, other)],
    }


def _captures(runtime: CupyRuntime) -> str:
    """Compile a kernel, capture a launch of it and run the graph; return why it failed, or an empty text."""
    device = CudaDevice("cuda:0", runtime, 0)
    x, y = (device.allocate((1, 32)) for _ in range(2))
    device.upload(x, np.arange(32))
    work, launches = device.prepare(partial(dropout.infer, device, x, y, factor=2))
    device.compile(launches)
    graph = device.capture([device], work)
    if graph is None:
        return runtime.uncaptured
    graph()
    return "" if (device.download(y)[0] == 2 * np.arange(32)).all() else "a captured kernel gave wrong numbers"


if __name__ == "__main__":
    try:
        print(json.dumps(describe()))
    except CualexError as error:
        sys.exit(str(error))
