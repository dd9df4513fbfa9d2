"""The CPU as a device.

A *device* is a place that computes: `cpu` here, `cuda:0` in cuda.py. It allocates arrays, brings values in and out,
prepares and runs an engine's functions, and copies maps that come from another place; those copies are entered in
the ledger (control.py), and nowhere else.
"""

from collections.abc import Callable

import numpy as np

from cualex.devices.clocks import HostClock
from cualex.devices.control import Control, Ledger
from cualex.devices.workers import Scratch, Workers
from cualex.errors import UsageError

PRECISIONS = {"fp32": np.float32, "fp64": np.float64}


class HostDevice:
    """Compute on the CPU with NumPy, a worker a core."""

    engine = "host"
    lag = 0  # updates queued before the result of the first is asked for
    title = "CPU"  # what kind of machine it is

    def __init__(
        self,
        name: str = "cpu",
        workers: int | None = None,
        ledger: Ledger | None = None,
        precision: str = "fp32",
    ) -> None:
        if precision not in PRECISIONS:
            raise UsageError(f"precision {precision!r}: the CPU supports {', '.join(PRECISIONS)}")
        self.name, self.precision = name, precision
        self.dtype = self.master = np.dtype(PRECISIONS[precision])
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

    def free(self) -> int | None:
        """Return how many bytes can be allocated; None where only trying tells."""
        return None

    @property
    def held(self) -> int | None:
        """Say how many bytes of the device's own memory this process holds; None: it has none of its own."""
        return None

    def upload(self, target: np.ndarray, values: np.ndarray) -> None:
        """Fill an array of this device."""
        np.copyto(target, values)

    def download(self, source: np.ndarray) -> np.ndarray:
        """Return a copy of an array of this device."""
        return np.array(source)

    def staging(self, shape: tuple[int, ...], dtype) -> np.ndarray:
        """Return memory of the host from which this device takes inputs without a further copy."""
        return np.empty(shape, dtype)

    def begin_loading(self, slot: int) -> None:
        """Wait until an input slot may be written: there is one, and no step runs meanwhile."""

    def load(self, target: np.ndarray, values: np.ndarray) -> None:
        """Fill an input."""
        np.copyto(target, values)

    def fetch(self, source: np.ndarray) -> Callable[[], np.ndarray]:
        """Return what gives the values that an array has now."""
        return source.copy().view

    def capture(self, devices: list["HostDevice"], work: Callable[[], None]) -> None:
        """Record steps as one graph: there is no such thing here."""

    def prepare(self, function: Callable[[], None]) -> tuple[Callable[[], None], list]:
        """Return what runs an engine's function, and the kernels that it launches: none here."""
        return function, []

    def compile(self, launches: list, progress: Callable[[int, int], None] | None = None) -> None:
        """Compile kernels: there are none."""

    def begin(self, control: Control) -> None:
        """Start a step: its numbers are read from `control` itself."""

    def end(self, control: Control) -> None:
        """End a step."""

    def synchronize(self) -> None:
        """Wait until nothing is queued: nothing ever is."""

    def clock(self) -> HostClock:
        """Make a clock for work of this device."""
        return HostClock()

    def link(self, home: "HostDevice", source: np.ndarray, target: np.ndarray, name: str, *, backward: bool) -> None:
        """Copy maps that lie on another place, its `home`, and enter them in the ledger."""
        np.copyto(target, source)
        self.ledger.floats[name] = self.ledger.floats.get(name, 0) + source.size

    @property
    def scratch_bytes(self) -> int:
        """Say how much memory the engine's own work arrays hold."""
        return self.scratch.bytes + self.workers.bytes
