"""Which tower goes on which device: placements, and the devices that they name."""

from dataclasses import dataclass

from cualex.devices.control import Ledger
from cualex.devices.cuda import CudaDevice
from cualex.devices.cupy_runtime import CupyRuntime
from cualex.devices.host import HostDevice
from cualex.devices.runtime import Runtime
from cualex.errors import DeviceError, UsageError


@dataclass(frozen=True)
class Placement:
    """Say which towers each place has: `((0, 1),)` or `((0,), (1,))`, and the name of each place's device."""

    names: tuple[str, ...]
    towers: tuple[tuple[int, ...], ...]

    def __str__(self) -> str:
        return ",".join(self.names)

    @property
    def cuda(self) -> bool:
        """Say whether the places are GPUs."""
        return self.names[0] != "cpu"


def placement(text: str, towers: int) -> Placement:
    """Read a placement for a network with that many towers.

    cpu              all towers side by side on one place, on the CPU
    cpu,cpu          a place a tower, with copies between them
    cuda:0           all towers on the first GPU, each kernel launched once for both
    cuda:0,cuda:1    a tower a GPU, as in 2012
    cuda:0,cuda:0    the program for two GPUs on one
    auto             cuda:0 where CuPy finds a GPU, else cpu
    """
    names = tuple(_device(name.strip(), text) for name in text.split(","))
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
    """Start the device of each place; precision is by default fp32 on the CPU, and on GPUs tf32 where they have it.

    Raise DeviceError where a GPU cannot be had. `runtime` runs the kernels in place of CuPy.
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
    return [
        CudaDevice(name, runtime, index, precision, ledger) for name, index in zip(placed.names, indices, strict=True)
    ]


def _device(name: str, text: str) -> str:
    """Return the full name of one place's device."""
    if name == "auto":
        return "cuda:0" if CupyRuntime.usable() else "cpu"
    kind, _, index = name.partition(":")
    if name == "cpu" or (kind == "cuda" and (index.isdecimal() or name == "cuda")):
        return "cuda:0" if name == "cuda" else name
    raise UsageError(f"device {name!r} in {text!r}: expected cpu, cuda:0, cuda:1, ... or auto")
