"""Devices, what they can do for a plan, and which tower goes where.

A *device* is a place that computes: `cpu` now, `cuda:0` and `cuda:1` with the CUDA engine. A *placement* puts
towers on devices: `cpu` puts both towers side by side on one place, `cpu,cpu` keeps them apart on two places
with copies between them, as on two GPUs. A device allocates arrays, copies between places and runs work;
copies between places are counted here, in the ledger, and nowhere else.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from cualex.errors import DeviceError, UsageError
from cualex.workers import Scratch, Workers


@dataclass
class Control:
    """Hold what changes from step to step; the steps of a plan read it when they run."""

    rate: float = 0.01
    momentum: float = 0.9
    decay: float = 0.0005
    step: int = 0
    seed: int = 0
    finite: bool = True


@dataclass
class Ledger:
    """Count what crosses between places: floats by the name of the link."""

    floats: dict[str, int] = field(default_factory=dict)

    def clear(self) -> None:
        """Forget all counts."""
        self.floats.clear()


class HostDevice:
    """Compute on the CPU with NumPy, a worker a core."""

    engine = "host"

    def __init__(self, name: str = "cpu", workers: int | None = None, ledger: Ledger | None = None) -> None:
        self.name = name
        self.workers = Workers(workers)
        self.scratch = Scratch()
        self.ledger = ledger or Ledger()

    def allocate(self, shape: tuple[int, ...], dtype=np.float32, zero: bool = False) -> np.ndarray:
        """Return a new array on this device; with `zero`, of zeros."""
        return np.zeros(shape, dtype) if zero else np.empty(shape, dtype)

    def run(self, task: Callable[[int, Scratch], None], count: int) -> None:
        """Run `count` tasks on the workers; see `Workers.run`."""
        self.workers.run(task, count)

    def grid(self, task: Callable[..., None], *counts: int) -> None:
        """Run a grid of tasks on the workers; see `Workers.grid`."""
        self.workers.grid(task, *counts)

    def link(self, source: np.ndarray, target: np.ndarray, name: str) -> None:
        """Copy maps that come from another place, and enter them in the ledger."""
        np.copyto(target, source)
        self.ledger.floats[name] = self.ledger.floats.get(name, 0) + source.size

    @property
    def scratch_bytes(self) -> int:
        """Say how much memory the engine's own work arrays hold."""
        return self.scratch.bytes + self.workers.bytes


@dataclass(frozen=True)
class Placement:
    """Say which towers each place has: `((0, 1),)` or `((0,), (1,))`, and the name of each place's device."""

    names: tuple[str, ...]
    towers: tuple[tuple[int, ...], ...]

    def __str__(self) -> str:
        return ",".join(self.names)


def placement(text: str, towers: int) -> Placement:
    """Read a placement such as `cpu` or `cpu,cpu` for a network with that many towers."""
    names = tuple(name.strip() for name in text.split(","))
    if names == ("auto",):
        names = ("cpu",)
    for name in names:
        if name.startswith("cuda"):
            raise DeviceError(
                f"device {name!r}: this version of cualex has no CUDA engine yet. Use --device cpu."
            )
        if name != "cpu":
            raise UsageError(f"device {name!r}: expected cpu, or cpu,cpu for two places, got {text!r}")
    if len(names) == 1:
        return Placement(names, (tuple(range(towers)),))
    if len(names) != towers:
        raise UsageError(
            f"device {text!r} names {len(names)} places; this network has {towers} "
            f"tower{'s' if towers > 1 else ''}. Name one place for all, or one a tower."
        )
    return Placement(names, tuple((tower,) for tower in range(towers)))


def open_device(name: str, ledger: Ledger | None = None, workers: int | None = None) -> HostDevice:
    """Start the device of one place."""
    return HostDevice(name, workers, ledger)


