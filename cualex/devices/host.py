"""The CPU as a device.

A device allocates arrays, copies values from and to the host, prepares and runs an engine's functions, and copies maps
from other devices; the ledger (control.py) counts those copies, and nothing else.
"""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import DTypeLike

from cualex.devices.clocks import HostClock
from cualex.devices.control import Control, Ledger
from cualex.devices.fallbacks import Touched
from cualex.devices.workers import Scratch, Workers
from cualex.errors import UsageError

PRECISIONS = {"fp32": np.float32, "fp64": np.float64}


class HostDevice:
    """The CPU: NumPy on one worker a core."""

    engine = "host"
    lag = 0  # updates in flight before the first result is read
    title = "CPU"

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

    def allocate(self, shape: tuple[int, ...], dtype: DTypeLike = np.float32, zero: bool = False) -> np.ndarray:
        """Return a new array on this device, uninitialised or, with `zero`, of zeros."""
        return np.zeros(shape, dtype) if zero else np.empty(shape, dtype)

    def hold(self, values: np.ndarray) -> np.ndarray:
        """Return an array of the master type with these values: their own memory where it can be."""
        return np.require(values, self.master, ["C", "W"])

    def run(self, task: Callable[[int, Scratch], None], count: int) -> None:
        """Run `count` tasks on the workers; see `Workers.run`."""
        self.workers.run(task, count)

    def grid(self, task: Callable[..., None], *counts: int) -> None:
        """Run a grid of tasks on the workers; see `Workers.grid`."""
        self.workers.grid(task, *counts)

    def free(self) -> int | None:
        """Return the bytes that can be allocated; None: not known."""
        return None

    @property
    def held(self) -> int | None:
        """Bytes of device memory that this process holds; None: a CPU has none."""
        return None

    def upload(self, target: np.ndarray, values: np.ndarray) -> None:
        """Fill an array of this device."""
        np.copyto(target, values)

    upload_rounded = upload  # a CPU has no TF32

    def copies(self, dimensions: int) -> bool:
        """Return False: weights are read as they are."""
        return False

    def zero(self, target: np.ndarray) -> None:
        """Set all of an array to zero."""
        target.fill(0)

    def download(self, source: np.ndarray) -> np.ndarray:
        """Return a copy of an array of this device."""
        return np.array(source)

    def staging(self, shape: tuple[int, ...], dtype: DTypeLike) -> np.ndarray:
        """Return a host array from which inputs are copied to the device (pinned, on a GPU)."""
        return np.empty(shape, dtype)

    def begin_loading(self, slot: int) -> None:
        """Wait until an input slot may be written: at once, as no step runs meanwhile."""

    def load(self, inputs: Sequence[tuple[np.ndarray, np.ndarray]], block: np.ndarray | None) -> None:
        """Fill inputs."""
        for target, values in inputs:
            np.copyto(target, values)

    def loaded(self) -> Callable[[], None]:
        """Return a function that waits for inputs to be loaded: they are."""
        return lambda: None

    def fetch(self, source: np.ndarray) -> Callable[[], np.ndarray]:
        """Copy an array now; return a function that waits for the copy and returns it."""
        return source.copy().view

    def capture(
        self, devices: Sequence["HostDevice"], work: Callable[[], None], touched: Callable[[], Touched] | None = None
    ) -> None:
        """Capture steps as a graph: nothing to do on a CPU."""

    def prepare(self, function: Callable[[], None], rounds: bool = False) -> tuple[Callable[[], None], list]:
        """Return the function to run, and the kernels that it launches: none on a CPU, which has no TF32."""
        return function, []

    def compile(self, launches: list, progress: Callable[[int, int], None] | None = None) -> None:
        """Compile kernels: nothing to do on a CPU."""

    def self_test(self, launches: list, disposable: Sequence[np.ndarray]) -> bool:
        """Test kernels: there are none on a CPU."""
        return True

    def begin(self, control: Control, training: bool) -> None:
        """Start a step: nothing to copy, as it reads `control` itself."""

    def end(self, control: Control, training: bool) -> None:
        """End a step: nothing to do on a CPU."""

    def synchronize(self) -> None:
        """Wait for queued work: there is none on a CPU."""

    def clock(self) -> HostClock:
        """Return a clock for work of this device."""
        return HostClock()

    def link(self, home: "HostDevice", source: np.ndarray, target: np.ndarray, name: str, *, finite: bool) -> None:
        """Copy maps from another device, `home`, and count them in the ledger."""
        np.copyto(target, source)
        self.ledger.floats[name] = self.ledger.floats.get(name, 0) + source.size

    @property
    def scratch_bytes(self) -> int:
        """Bytes of the engine's work arrays."""
        return self.scratch.bytes + self.workers.bytes
