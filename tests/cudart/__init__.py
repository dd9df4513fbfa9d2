"""A CUDA that runs on the CPU, under the real CuPy: a library in the place of NVIDIA's driver, runtime and compiler.

    python tests/cudart [options] COMMAND ...       any command: python tests/cudart cualex doctor
    pytest --gpu=cpu                                every GPU test; what has several streams, in three orders
    cudart.activate()                               in this process, before CuPy is imported, and in its children

Device memory is the host's, kernels are compiled by g++ and run in the emulator (cualex/emulator). What CUDA refuses is
refused with its code, and stderr says why. What CUDA would not notice is a *finding*: two accesses that nothing brings
into order, pinned memory that the host changes while it is read, a kernel captured before it has run once (CUDA loads
it then). `cudart.left()` says what has not been freed.

Environment; where devices differ, a list with commas:

    CUDART_DEVICES       2       how many; 0: none (CUDA_VISIBLE_DEVICES chooses among them)
    CUDART_ARCHITECTURE  90      compute capability, as in sm_90
    CUDART_MEMORY        4 GiB   bytes
    CUDART_PEERS         1       whether they read each other's memory
    CUDART_ORDER         late    when queued work runs: late (once somebody waits for it), eager (at once), random
    CUDART_SEED          1       of random
    CUDART_BROKEN        0       an error that devices answer with: 46 busy, 2 full, 35 the driver is too old
    CUDART_FAIL          0       N: the N-th kernel fails, and its device is lost
    CUDART_NO_CAPTURE    0       1: no stream can be captured
    CUDART_IDLE          0       1: kernels, and copies to GPUs, do nothing: what is left is the host's own time
    CUDART_FINDINGS      -       file that findings are appended to

Not there: CuPy's own kernels (their headers want more of CUDA C++), textures, memory pools of the driver, managed
memory, other processes' memory, host functions, child graphs, speed.
"""

import ctypes
import os
from pathlib import Path

from tests.cudart import activation, build

__all__ = ["ORDERS", "Missing", "activate", "environment", "findings", "left", "set_order"]

HERE = Path(__file__).resolve().parent
ORDERS = ("late", "eager", "random")
Missing = build.Missing
_library: ctypes.CDLL | None = None


def environment() -> dict[str, str]:
    """Return the variables that bring the stand-in into a child process; build it where it is missing."""
    names = "CUDART_LIBRARIES", "CUPY_CACHE_DIR", "PYTHONPATH"
    if os.environ.get(names[0]):
        return {name: os.environ[name] for name in names}
    libraries = build.libraries()
    paths = [str(HERE / "site"), os.environ.get("PYTHONPATH", "")]
    # What CuPy compiles for the stand-in is of no use to a GPU.
    cached = os.environ.get("CUPY_CACHE_DIR") or str(libraries[0].parent / "cupy")
    joined = os.pathsep.join(map(str, libraries)), cached, os.pathsep.join(path for path in paths if path)
    return dict(zip(names, joined, strict=True))


def activate() -> None:
    """Bring the stand-in into this process and its children; raise Missing where it cannot be built."""
    global _library
    if _library is not None:
        return
    if os.environ.get("CUDART_LIBRARIES"):  # by site/sitecustomize.py
        _library = ctypes.CDLL(os.environ["CUDART_LIBRARIES"].split(os.pathsep)[0])
    else:
        variables = environment()
        _library = activation.load(*variables["CUDART_LIBRARIES"].split(os.pathsep))
        os.environ.update(variables)
    _library.cudart_finding.restype = _library.cudart_left.restype = ctypes.c_char_p
    _library.cudart_set_order.argtypes = [ctypes.c_char_p, ctypes.c_uint]


def set_order(name: str, seed: int = 1) -> None:
    """Finish all that is queued, and let work run in another order from here on; so do new child processes."""
    if _library.cudart_set_order(name.encode(), seed):
        raise ValueError(f"order {name!r}: expected {', '.join(ORDERS)}")
    os.environ.update(CUDART_ORDER=name, CUDART_SEED=str(seed))


def findings() -> list[str]:
    """Return what has been found since the last call."""
    return [text.decode() for text in iter(_library.cudart_finding, None)]


def left() -> str:
    """Say what CUDA holds that has not been freed; empty where nothing is."""
    return _library.cudart_left().decode().strip().rstrip(",")
