"""A device of the CUDA engine: a stream on one GPU, and what the engine's functions ask of it.

The functions describe launches; they do not wait for anything. A plan lets each of them run once while the device
records (`prepare`), has all their kernels compiled together, and from then on repeats what was recorded.
"""

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np

from cualex import kernels
from cualex.devices import Control, Ledger
from cualex.runtime import Array, Runtime

PRECISIONS = {"fp32": np.float32, "tf32": np.float32, "bf16": np.uint16}
CONTROL_WORDS = 8


class CudaDevice:
    """Compute on one GPU with our kernels; `precision` says how (kernels/values.cuh)."""

    engine = "cuda"

    def __init__(self, name: str, runtime: Runtime, index: int, precision: str, ledger: Ledger | None = None):
        """Make a stream on the GPU of that index."""
        self.name, self.runtime, self.index, self.precision = name, runtime, index, precision
        self.dtype = np.dtype(PRECISIONS[precision])
        self.ledger = ledger or Ledger()
        self.stream = runtime.stream(index)
        self.control = self.allocate((CONTROL_WORDS,), np.uint32)
        self._scratch: dict[tuple, Array] = {}
        self._recorded: list[kernels.Launch] | None = None

    def allocate(self, shape: tuple[int, ...], dtype=np.float32, zero: bool = False) -> Array:
        """Return a new array on this device; with `zero`, of zeros."""
        array = self.runtime.allocate(self.index, shape, np.dtype(dtype))
        if zero:
            self.upload(array, np.zeros(shape, dtype))
        return array

    def scratch(self, name: str, shape: tuple[int, ...], dtype=np.float32) -> Array:
        """Return work memory that is free again after the function's last launch: one array for each name and size."""
        key = name, shape, np.dtype(dtype)
        if key not in self._scratch:
            self._scratch[key] = self.allocate(shape, dtype)
        return self._scratch[key]

    def upload(self, target: Array, values: np.ndarray) -> None:
        """Queue a copy from the host."""
        self.runtime.upload(self.stream, target, np.ascontiguousarray(values, target.dtype))

    def download(self, source: Array) -> np.ndarray:
        """Wait for what is queued, and return a copy on the host."""
        return self.runtime.download(self.stream, source)

    def launch(
        self, name: str, arguments: Sequence, *, grid: Sequence[int], block: int, shared: int = 0, **constants
    ) -> None:
        """Queue a kernel, or note it while a plan is being prepared; the constants go by their names in the .cu."""
        made = kernels.launch(name, arguments, grid=grid, block=block, shared=shared, constants=constants)
        if self._recorded is None:
            self.runtime.launch(self.stream, made)
        else:
            self._recorded.append(made)

    def prepare(self, function: Callable[[], None]) -> tuple[Callable[[], None], list[kernels.Launch]]:
        """Let an engine function describe its launches, without running them; return what repeats them, and them."""
        self._recorded = []
        try:
            function()
            launches = self._recorded
        finally:
            self._recorded = None
        return partial(self._repeat, launches), launches

    def _repeat(self, launches: list[kernels.Launch]) -> None:
        for each in launches:
            self.runtime.launch(self.stream, each)

    def begin(self, control: Control) -> None:
        """Hand the numbers of this step to the kernels: struct Control of kernels/control.cuh."""
        self.upload(self.control, control_words(control))

    def link(self, home: "CudaDevice", source: Array, target: Array, name: str) -> None:
        """Copy maps that lie on another device's place, in the order of both streams, and enter them in the ledger."""
        runtime = self.runtime
        runtime.wait(self.stream, runtime.record(home.stream))
        runtime.copy(self.stream, source, target)
        runtime.wait(home.stream, runtime.record(self.stream))  # before that place writes there again
        self.ledger.floats[name] = self.ledger.floats.get(name, 0) + source.size


def control_words(control: Control) -> np.ndarray:
    """Return the bits of struct Control."""
    words = np.zeros(CONTROL_WORDS, np.uint32)
    shrink = control.rate * control.decay
    words[:3] = np.array([control.rate, control.momentum, shrink], np.float32).view(np.uint32)
    words[3:] = control.step, control.seed & 0xFFFFFFFF, control.seed >> 32, 1, 0
    return words


def grid_of(count: int, block: int, *more: int) -> tuple[int, ...]:
    """Return a grid with enough blocks for `count` threads, and further axes."""
    return (-(-count // block), *more)
