"""A device of the CUDA engine: a stream on one GPU, and what the engine's functions ask of it.

The functions describe launches; they do not wait for anything. A plan lets each of them run once while the device
records (`prepare`), has all their kernels compiled together, and from then on repeats what was recorded.
"""

import time
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np

from cualex.devices.clocks import CudaClock
from cualex.devices.control import Control, Ledger
from cualex.devices.fallbacks import Fallbacks, SelfTested, Touched
from cualex.devices.runtime import Array, Event, Runtime, Stream
from cualex.errors import UsageError
from cualex.kernels import Launch
from cualex.kernels.architectures import precisions

STORED = {"fp32": np.float32, "tf32": np.float32, "bf16": np.uint16}  # a value of the maps, by precision
CONTROL_WORDS = 13
FINITE = 12  # the place of that word in struct Control, the last


class CudaDevice(SelfTested):
    """Compute on one GPU with our kernels; `precision` says how (kernels/common/values.cuh), the GPU's best if None."""

    engine = "cuda"
    # Updates queued before the result of the first is asked for, so that the GPU never waits. After a loss that is no
    # number those behind it are still computed, each from weights that were good.
    lag = 4

    def __init__(
        self,
        name: str,
        runtime: Runtime,
        index: int,
        precision: str | None = None,
        ledger: Ledger | None = None,
    ):
        """Make a stream on the GPU of that index."""
        has = precisions(runtime.architecture(index))
        precision = precision or has[0]
        if precision not in has:
            raise UsageError(f"precision {precision!r}: {name} supports {', '.join(has)}")
        self.name, self.runtime, self.index, self.precision = name, runtime, index, precision
        self.dtype, self.master = np.dtype(STORED[precision]), np.dtype(np.float32)
        self.ledger = ledger or Ledger()
        self.stream, self.loading = runtime.stream(index), runtime.stream(index)
        self._read: dict[int, Event] = {}  # by slot, when the last step that reads it is over
        self.control = self.allocate((CONTROL_WORDS,), np.uint32)
        self._scratch: dict[tuple, Array] = {}
        self._origin: tuple[Event, float] | None = None  # of this device's clocks
        self._recorded: list[Launch] | None = None
        self.fallbacks = Fallbacks()

    @property
    def title(self) -> str:
        """Say what kind of GPU it is."""
        return self.runtime.title(self.index)

    def free(self) -> int | None:
        """Return how many bytes can be allocated."""
        return self.runtime.free(self.index)

    @property
    def held(self) -> int | None:
        """Say how many bytes of the GPU's memory this process holds."""
        return self.runtime.held(self.index)

    def allocate(self, shape: tuple[int, ...], dtype=np.float32, zero: bool = False) -> Array:
        """Return a new array on this device; with `zero`, of zeros."""
        array = self.runtime.allocate(self.index, shape, np.dtype(dtype))
        if zero:
            self.upload(array, np.zeros(shape, dtype))
            self._read.clear()  # what is loaded next comes after this, and not only after earlier steps
        return array

    def scratch(self, name: str, shape: tuple[int, ...], dtype=np.float32) -> Array:
        """Return work memory that is free again after the function's last launch: one array for each name and size."""
        key = name, shape, np.dtype(dtype)
        if key not in self._scratch:
            self._scratch[key] = self.allocate(shape, dtype)
        return self._scratch[key]

    def upload(self, target: Array, values: np.ndarray) -> None:
        """Queue a copy from the host; what has 16 bits on the device is bfloat16, and is rounded."""
        self.runtime.upload(self.stream, target, _as_stored(values, target))

    def staging(self, shape: tuple[int, ...], dtype) -> np.ndarray:
        """Return memory of the host that the GPU itself can read."""
        return self.runtime.staging(self.index, shape, dtype)

    def begin_loading(self, slot: int) -> None:
        """Let what is loaded from here on wait until the last step that read this input slot is over.

        Before the first step, that is until the slot's memory has been cleared.
        """
        self.runtime.wait(self.loading, self._read.get(slot) or self.runtime.record(self.stream))

    def load(self, target: Array, values: np.ndarray) -> None:
        """Queue a copy of an input beside the step that runs; the next step waits for it."""
        self.runtime.upload(self.loading, target, _as_stored(values, target))

    def download(self, source: Array) -> np.ndarray:
        """Wait for what is queued, and return a copy on the host; bfloat16 comes as float32."""
        values = self.runtime.download(self.stream, source)
        return from_bf16(values) if values.dtype == np.uint16 else values

    def launch(
        self, name: str, arguments: Sequence, *, grid: Sequence[int], block: int, shared: int = 0, **constants
    ) -> None:
        """Queue a kernel, or note it while a plan is being prepared; the constants go by their names in the .cu."""
        made = Launch.of(name, arguments, grid=grid, block=block, shared=shared, constants=constants)
        if self._recorded is None:
            self.runtime.launch(self.stream, made)
        else:
            self._recorded.append(made)

    def prepare(self, function: Callable[[], None]) -> tuple[Callable[[], None], list[Launch]]:
        """Let an engine function describe its launches, without running them; return what repeats them, and them."""
        self._recorded = []
        try:
            function()
            launches = self._recorded
        finally:
            self._recorded = None
        return partial(self._repeat, launches), launches

    def compile(self, launches: list[Launch], progress: Callable[[int, int], None] | None = None) -> None:
        """Compile all the kernels of a plan together."""
        self.runtime.compile(launches, progress)

    @property
    def scratch_bytes(self) -> int:
        """Say how much memory the engine's own work arrays hold."""
        return sum(array.nbytes for array in self._scratch.values())

    def _repeat(self, launches: list[Launch]) -> None:
        for each in launches:
            self.runtime.launch(self.stream, each)

    def begin(self, control: Control) -> None:
        """Wait for the inputs, and upload this step's numbers: struct Control of kernels/common/control.cuh."""
        self.runtime.wait(self.stream, self.runtime.record(self.loading))
        words = control_words(control)
        if control.part:  # what the loss of the parts before was is for the device to say
            self.upload(self.control[:FINITE], words[:FINITE])
        else:
            self.upload(self.control, words)

    def end(self, control: Control) -> None:
        """Note that the step is queued that reads this input slot."""
        self._read[control.slot] = self.runtime.record(self.stream)

    def synchronize(self) -> None:
        """Wait until nothing is queued on any GPU."""
        self.runtime.synchronize()

    def clock(self) -> CudaClock:
        """Make a clock for work of this device."""
        if self._origin is None:
            self.runtime.synchronize()  # else the host's clock would be read late, after other GPUs' work
            mark = self.runtime.mark(self.stream)
            self.runtime.synchronize()
            self._origin = mark, time.perf_counter()
        return CudaClock(self.runtime, self.stream, *self._origin)

    def fetch(self, source: Array) -> Callable[[], np.ndarray]:
        """Queue a copy to the host; return what waits for it and gives it."""
        return self.runtime.fetch(self.stream, source)

    def capture(
        self, devices: Sequence["CudaDevice"], work: Callable[[], None], touched: Callable[[], Touched] | None = None
    ) -> Callable[[], None] | None:
        """Record what `work` queues on these devices as one graph; return what queues it, None where that cannot be.

        With `touched`, the graph is compared with the work once (`compared`).

        The graph belongs to the first device's stream: the others' streams fork from it and join it, when the graph
        is recorded and again around each launch, so that what they do before and after keeps its order.
        """
        first, *others = streams = [device.stream for device in devices]

        def forked() -> None:
            self._order([first], others)
            work()
            self._order(others, [first])

        graph = self.runtime.capture(streams, forked)
        if graph is None:
            return None

        def replay() -> None:
            self._order(others, [first])
            graph.launch()
            self._order([first], others)

        return self.compared(devices, work, replay, touched)

    def _order(self, before: list[Stream], after: list[Stream]) -> None:
        """Let what is queued on some streams from here on wait for what is queued on others."""
        for one in before:
            for other in after:
                self.runtime.wait(other, self.runtime.record(one))

    def link(self, home: "CudaDevice", source: Array, target: Array, name: str, *, backward: bool) -> None:
        """Copy maps that lie on another place, in the order of both streams, and enter them in the ledger.

        On the way back the word goes along that says whether the loss was finite: this place's updates need it.
        """
        runtime = self.runtime
        runtime.wait(self.stream, runtime.record(home.stream))
        self.copy_from(home, source, target)
        if backward:
            self.copy_from(home, home.control[FINITE : FINITE + 1], self.control[FINITE : FINITE + 1])
        runtime.wait(home.stream, runtime.record(self.stream))  # before that place writes there again
        self.ledger.floats[name] = self.ledger.floats.get(name, 0) + source.size


def _as_stored(values: np.ndarray, target: Array) -> np.ndarray:
    """Return values in the type and shape of a device's array."""
    if target.dtype == np.uint16:
        values = to_bf16(np.asarray(values, np.float32))
    return np.ascontiguousarray(np.broadcast_to(np.asarray(values, target.dtype), target.shape))


def control_words(control: Control) -> np.ndarray:
    """Return the bits of struct Control."""
    words = np.zeros(CONTROL_WORDS, np.uint32)
    rates = [rate(bias) for rate in (control.rate_of, control.corrected) for bias in (False, True)]
    reals = [*rates, control.momentum, control.rate * control.decay, control.decay]
    words[:7] = np.array(reals, np.float32).view(np.uint32)
    words[7:] = control.step, control.seed & 0xFFFFFFFF, control.seed >> 32, control.slot, control.part, 1
    return words


def to_bf16(values: np.ndarray) -> np.ndarray:
    """Round float32 to the bits of bfloat16, to nearest, ties to even."""
    bits = np.ascontiguousarray(values, np.float32).view(np.uint32)
    near = ((bits + np.uint32(0x7FFF) + (bits >> 16 & 1)) >> 16).astype(np.uint16)
    return np.where(np.isnan(values), (bits >> 16 | 0x40).astype(np.uint16), near)


def from_bf16(bits: np.ndarray) -> np.ndarray:
    """Return bfloat16 bits as float32."""
    return (bits.astype(np.uint32) << 16).view(np.float32)
