"""CUDA's errors as one line: what is wrong with the GPU, and the way out.

The codes are those of cudaError_t; the driver's CUresult has the same where it has the same error. A code that is not
here is a bug of cualex and keeps its traceback.
"""

import sys
from contextlib import suppress
from typing import Any

from cualex.errors import CualexError, DeviceError, DeviceLost, NoGpu, OutOfMemory

MEMORY = 2
OLD_DRIVER = 35
NO_DEVICE = 100
ANOTHER = "choose another --device, or use --device cpu."
# Nothing can be used: CUDA does not start.
STARTING = {
    802: "NVIDIA's Fabric Manager, which this machine's GPUs need, is not running: start the service "
    "nvidia-fabricmanager.",
    803: "the NVIDIA driver was updated, and the old one is still loaded: restart the machine.",
    804: "the NVIDIA driver is older than CuPy's CUDA, and this kind of GPU needs one as new: install a newer driver.",
}
BUSY = {46}
# "This leaves the process in an inconsistent state and any further CUDA work will return the same error" (CUDA Runtime
# API, enum cudaError), and errors of the hardware.
STICKY = {214, 220, 226, 700, 702, 709, 710, 714, 715, 716, 717, 718, 719, 721}
FAILED = (
    "Run the command again: this process can use no GPU any more. If it fails again, report it with `cualex doctor "
    "--json`; --device cpu works without a GPU."
)


def translate(error: Any, device: int | None = None) -> CualexError | None:
    """Return an error of CUDA, which happened on a GPU, as one that the user can fix; None for a bug of cualex."""
    code, name = getattr(error, "status", None), "the GPU" if device is None else f"cuda:{device}"
    if code in BUSY:
        said = f"{name} is busy: another process has it for itself (`nvidia-smi` lists it)."
        return DeviceError(said, f"Wait until that ends, {ANOTHER}")
    if code == MEMORY:
        said = f"{name} has no memory free: other processes hold it (`nvidia-smi` lists them)."
        return OutOfMemory(said, f"Wait until they end, {ANOTHER}")
    if code in STICKY:
        hide_finalizers()
        return DeviceLost(f"{name} failed: {error}.", FAILED)
    return starting(error, None) if code in {*STARTING, OLD_DRIVER, NO_DEVICE} else None


def starting(error: Any, driver: int | None) -> DeviceError:
    """Return why CUDA does not start. driver: the CUDA that it is for, as 12080 for 12.8; 0: there is none."""
    code, way = getattr(error, "status", None), "`cualex doctor` says more; --device cpu needs none."
    if code == NO_DEVICE:
        return NoGpu("no GPU can be used: the driver sees no GPU.", way)
    if code != OLD_DRIVER:
        return DeviceError(f"no GPU can be used: {STARTING.get(code or 0, f'{error}.')}", way)
    if driver == 0:
        return NoGpu("no GPU can be used: there is no NVIDIA driver.", way)
    has = f", for CUDA {driver // 1000}.{driver % 1000 // 10}," if driver else ""
    of_12 = driver is not None and 12000 <= driver < 13000
    extra = ", or take the extra cualex[cuda12] in place of cualex[cuda13]" if of_12 else ""
    said = f"no GPU can be used: the NVIDIA driver{has} is older than CuPy's CUDA: install a newer driver{extra}."
    return DeviceError(said, way)


def hide_finalizers() -> None:
    """Let Python say nothing of CuPy's events, streams and memory that cannot be freed on a GPU that was lost.

    Each of them would print a traceback behind the line that says what happened.
    """
    before = sys.unraisablehook

    def hook(unraisable: "sys.UnraisableHookArgs") -> None:
        if getattr(unraisable.exc_value, "status", None) not in STICKY:
            before(unraisable)

    sys.unraisablehook = hook


class CudaCalls:
    """Calls into CUDA through CuPy, on one GPU or another.

        with calls.on(1):
            ...

    GPU 1 is current inside, the one before it afterwards, and what CUDA refuses there becomes an error that the user
    can fix, where it is one. Once a kernel has failed, CUDA answers every call with that: `lost` says what happened,
    and is raised without a call.
    """

    def __init__(self, cupy: Any) -> None:
        self.cupy = cupy
        self.lost: DeviceLost | None = None
        self.errors = cupy.cuda.runtime.CUDARuntimeError, cupy.cuda.driver.CUDADriverError

    def on(self, device: int | None = None) -> "_Call":
        """Make a GPU current for some calls; None leaves the one that is."""
        return _Call(self, device)

    def fail(self, error: BaseException, device: int | None) -> None:
        """Raise the error that the user can fix; return where this is none."""
        told = translate(error, device)
        if isinstance(told, DeviceLost):
            self.lost = told
        if told is not None:
            raise told from error


class _Call:
    """What `CudaCalls.on` returns; a class and not a generator, as every launch of a kernel goes through it."""

    __slots__ = ("_before", "_calls", "_device")

    def __init__(self, calls: CudaCalls, device: int | None) -> None:
        self._calls, self._device = calls, device
        self._before: int | None = None  # the GPU that was current, if another

    def __enter__(self) -> None:
        calls = self._calls
        if calls.lost is not None:
            raise DeviceLost(calls.lost.what, FAILED) from calls.lost
        if self._device is None:
            return
        runtime = calls.cupy.cuda.runtime
        try:
            if (before := runtime.getDevice()) != self._device:
                self._before = before
                runtime.setDevice(self._device)
        except calls.errors as error:
            calls.fail(error, self._device)
            raise

    def __exit__(self, kind: type | None, error: BaseException | None, *_: object) -> None:
        if self._before is not None:
            # To make a GPU current is to use it, and that one may be busy; nobody has asked for it.
            with suppress(*self._calls.errors):
                self._calls.cupy.cuda.runtime.setDevice(self._before)
        if isinstance(error, self._calls.errors):
            self._calls.fail(error, self._device)
