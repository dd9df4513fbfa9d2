"""Placements: which tower is on which device, and opening those devices."""

import warnings
from collections.abc import Iterable
from dataclasses import dataclass

from cualex.devices.control import Ledger
from cualex.devices.cuda import CudaDevice
from cualex.devices.cupy_runtime import CupyRuntime
from cualex.devices.host import HostDevice
from cualex.devices.runtime import Runtime
from cualex.errors import CualexError, DeviceError, GpuNotUsed, NoGpu, UsageError
from cualex.kernels.architectures import precisions
from cualex.system.amounts import size

LEAST = 2**28  # bytes free on a GPU that `auto` chooses: a context, the kernels, and a small network


@dataclass(frozen=True)
class Placement:
    """Names of devices, and the towers on each of them: `((0, 1),)` or `((0,), (1,))`."""

    names: tuple[str, ...]
    towers: tuple[tuple[int, ...], ...]

    def __str__(self) -> str:
        return ",".join(self.names)

    def of(self, towers: Iterable[int]) -> list[str]:
        """Return the devices of towers, which are counted from 1."""
        wanted = {tower - 1 for tower in towers}
        return [name for name, own in zip(self.names, self.towers, strict=True) if wanted & set(own)]

    @property
    def cuda(self) -> bool:
        """Whether the devices are GPUs."""
        return self.names[0] != "cpu"


def placement(text: str, towers: int) -> Placement:
    """Parse a placement for a network of `towers` towers.

    cpu              all towers side by side on the CPU
    cpu,cpu          one tower a device, both the CPU, with copies between them
    cuda:0           all towers on the first GPU; a kernel is launched once for both
    cuda:0,cuda:1    one tower a GPU, as in 2012
    cuda:0,cuda:0    the program for two GPUs on one
    auto             cuda:0 where CuPy finds a GPU, else cpu; a GPU that is there and fails is warned of (GpuNotUsed)

    Raise UsageError for a text of another form, and where devices and towers do not match.
    """
    names = tuple(named(text).split(","))
    if len({name == "cpu" for name in names}) > 1:
        raise UsageError(f"device {text!r}: expected only CPUs, or only GPUs")
    if len(names) == 1:
        return Placement(names, (tuple(range(towers)),))
    if len(names) != towers:
        raise UsageError(
            f"device {text!r} names {len(names)} devices; this network has {towers} "
            f"tower{'s' if towers > 1 else ''}. Give one device for all towers, or one for each."
        )
    return Placement(names, tuple((tower,) for tower in range(towers)))


def open_devices(
    placed: Placement,
    precision: str | None = None,
    ledger: Ledger | None = None,
    workers: int | None = None,
    runtime: Runtime | None = None,
) -> list[HostDevice] | list[CudaDevice]:
    """Open the devices of a placement.

    precision: by default fp32 on the CPU, and on GPUs tf32 where all of them have it, else fp32.  runtime: runs the
    kernels instead of CuPy.  Raise DeviceError where there is no such GPU, or it is too old, or busy.
    """
    if not placed.cuda:
        return [HostDevice(name, workers, ledger, precision or "fp32") for name in placed.names]
    runtime = runtime or CupyRuntime()
    indices = [int(name.partition(":")[2]) for name in placed.names]
    for name, index in zip(placed.names, indices, strict=True):
        if index >= runtime.count():
            raise DeviceError(
                f"device {name!r} not found: the number of GPUs is {runtime.count()}. `cualex doctor` lists them; "
                "--device cpu needs none."
            )
    if precision is None:  # one for all
        has = [precisions(runtime.architecture(index)) for index in indices]
        precision = next(each for each in has[0] if all(each in other for other in has))
    return [
        CudaDevice(name, runtime, index, precision, ledger) for name, index in zip(placed.names, indices, strict=True)
    ]


def automatic() -> str:
    """Return cuda:0 where it can be used, else cpu; warn where there is a GPU all the same."""
    try:
        runtime = CupyRuntime()
        if not runtime.count():
            return "cpu"
        precisions(runtime.architecture(0))
        runtime.try_out(0)
        if (free := runtime.free(0)) >= LEAST:
            return "cuda:0"
        reason = f"cuda:0 has only {size(free)} of memory free."
    except NoGpu:
        return "cpu"
    except CualexError as error:
        reason = error.what
    except RuntimeError as error:  # of CUDA, and unknown
        reason = f"cuda:0 does not work: {error}."
    warnings.warn(f"computing on the CPU: {reason}", GpuNotUsed, stacklevel=2)
    return "cpu"


def named(text: str) -> str:
    """Return a placement with the devices' full names: `auto` is decided here, `cuda` is cuda:0; raise UsageError."""
    return ",".join(_device(name.strip(), text) for name in text.split(","))


def _device(name: str, text: str) -> str:
    """Return the full name of a device."""
    if name == "auto":
        return automatic()
    kind, _, index = name.partition(":")
    if name == "cpu" or (kind == "cuda" and (index.isdecimal() or name == "cuda")):
        return "cuda:0" if name == "cuda" else name
    raise UsageError(f"device {name!r} in {text!r}: expected cpu, cuda:0, cuda:1, ... or auto")
