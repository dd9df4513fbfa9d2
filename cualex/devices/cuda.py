"""A device of the CUDA engine: a stream on one GPU, and what the engine's functions ask of it.

The functions describe launches; they do not wait for anything. A plan lets each of them run once while the device
records (`prepare`), has all their kernels compiled together, and from then on repeats what was recorded.
"""

import time
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np

from cualex.devices import cuda_graphs
from cualex.devices.clocks import CudaClock
from cualex.devices.control import Control, Ledger
from cualex.devices.fallbacks import Fallbacks, SelfTested, Touched
from cualex.devices.input_copies import InputCopies
from cualex.devices.runtime import Array, Event, Runtime, Stream
from cualex.devices.stored import CONTROL_WORDS, FINITE, STORED, Stores, control_words
from cualex.errors import UsageError
from cualex.kernels import Launch
from cualex.kernels.architectures import precisions


class CudaDevice(SelfTested, Stores):
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
        self.dtype = np.dtype(STORED[precision])
        self.ledger = ledger or Ledger()
        self._stream, self._inputs = runtime.stream(index), InputCopies(runtime, index)
        self.linking: Stream | None = None  # of copies from other devices, once there are any
        self.links: list[Event] = []  # copies to or from this device that its stream has not waited for yet
        self._sent: tuple | None = None  # the numbers that the last step began with
        self.rounds = False  # whether, in tf32, the maps that functions write are rounded for gemms
        self.control = self.allocate((CONTROL_WORDS,), np.uint32)
        self._scratch: dict[tuple, Array] = {}
        self._origin: tuple[Event, float] | None = None  # of this device's clocks
        self._recorded: list[Launch] | None = None
        self.fallbacks = Fallbacks()

    @property
    def stream(self) -> Stream:
        """Return the stream of this device's work; what is queued there comes after all links."""
        while self.links:
            self.runtime.wait(self._stream, self.links.pop())
        return self._stream

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
            self.zero(array)
            self._inputs.forget()
        return array

    def scratch(self, name: str, shape: tuple[int, ...], dtype=np.float32) -> Array:
        """Return work memory that is free again after the function's last launch: one array for each name and size."""
        key = name, shape, np.dtype(dtype)
        if key not in self._scratch:
            self._scratch[key] = self.allocate(shape, dtype)
        return self._scratch[key]

    def zero(self, target: Array) -> None:
        """Queue that all of an array becomes zero."""
        self.runtime.zero(self.stream, target)

    def staging(self, shape: tuple[int, ...], dtype) -> np.ndarray:
        """Return memory of the host that the GPU itself can read."""
        return self.runtime.staging(self.index, shape, dtype)

    def begin_loading(self, slot: int) -> None:
        """Let what is loaded from here on wait until the last step that read this input slot is over."""
        self._inputs.begin(slot, self.stream)

    def load(self, inputs: Sequence[tuple[Array, np.ndarray]], block: Array | None) -> None:
        """Queue copies of inputs beside the step that runs; the next step waits for them.

        Values in memory of `staging` must stay as they are until what `loaded` returns has been called, or with `block`
        until a result of the step is there.
        """
        if block is None:
            self._inputs.load(inputs)
        else:
            self.runtime.gather(self.stream, block, inputs)

    def loaded(self) -> Callable[[], None]:
        """Return what waits until all that has been loaded so far is there."""
        return self._inputs.loaded()

    def launch(
        self, name: str, arguments: Sequence, *, grid: Sequence[int], block: int, shared: int = 0, **constants
    ) -> None:
        """Queue a kernel, or note it while a plan is being prepared; the constants go by their names in the .cu."""
        made = Launch.of(name, arguments, grid=grid, block=block, shared=shared, constants=constants)
        if self._recorded is None:
            self.runtime.launch(self.stream, made)
        else:
            self._recorded.append(made)

    def prepare(self, function: Callable[[], None], rounds: bool = False) -> tuple[Callable[[], None], list[Launch]]:
        """Let an engine function describe its launches, without running them; return what repeats them, and them.

        With `rounds` gemms read the maps that it writes, which in tf32 are rounded.
        """
        self._recorded, self.rounds = [], rounds
        try:
            function()
            launches = self._recorded
        finally:
            self._recorded, self.rounds = None, False
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

    def begin(self, control: Control, training: bool) -> None:
        """Wait for the inputs, and upload this step's numbers: struct Control of kernels/common/control.cuh.

        Inference changes none of them: those that are there already are not sent again.
        """
        self._inputs.await_by(self.stream)
        numbers = tuple(vars(control).values())
        if numbers == self._sent and not training:
            return
        words = control_words(control)
        if control.part:  # what the loss of the parts before was is for the device to say
            self.upload(self.control[:FINITE], words[:FINITE])
        else:
            self.upload(self.control, words)
        self._sent = numbers

    def end(self, control: Control, training: bool) -> None:
        """Note that the step is queued that reads this input slot; inference has one, and loads it behind the step."""
        if training:
            self._inputs.read(control.slot, self.stream)

    def synchronize(self) -> None:
        """Wait until nothing is queued on any GPU."""
        self.runtime.synchronize()

    @property
    def loading(self) -> Stream:
        """Return the stream of inputs that are loaded beside the steps."""
        return self._inputs.stream

    def clock(self, stream: Stream | None = None) -> CudaClock:
        """Make a clock for work of this device, or of one of its other streams."""
        if self._origin is None:
            self.runtime.synchronize()  # else the host's clock would be read late, after other GPUs' work
            mark = self.runtime.mark(self.stream)
            self.runtime.synchronize()
            self._origin = mark, time.perf_counter()
        return CudaClock(self.runtime, lambda: stream or self.stream, *self._origin)

    def fetch(self, source: Array) -> Callable[[], np.ndarray]:
        """Queue a copy to the host; return what waits for it and gives it."""
        return self.runtime.fetch(self.stream, source)

    def capture(
        self, devices: Sequence["CudaDevice"], work: Callable[[], None], touched: Callable[[], Touched] | None = None
    ) -> Callable[[], None] | None:
        """Record what `work` queues on these devices as one graph; return what queues it, None where that cannot be.

        With `touched`, the graph is compared with the work once (`compared`).
        """
        replay = cuda_graphs.capture_steps(devices, work)
        return replay and self.compared(devices, work, replay, touched)

    def link(self, home: "CudaDevice", source: Array, target: Array, name: str, *, finite: bool) -> None:
        """Copy maps that lie on another place, and enter them in the ledger.

        The copy is queued on a stream of its own, after what both devices have queued before, and comes before what
        they queue next. So links that follow each other run at once, one in each direction, as none waits for another.
        Where `finite`, the word goes along that says whether the loss was finite: this place's updates need it.
        """
        linking = self.begin_link(home)
        self.copy_from(home, source, target, linking)
        if finite:
            word = slice(FINITE, FINITE + 1)
            self.copy_from(home, home.control[word], self.control[word], linking)
        for device in (self, home):
            device.links.append(self.runtime.record(linking))
        self.ledger.floats[name] = self.ledger.floats.get(name, 0) + source.size

    def begin_link(self, home: "CudaDevice") -> Stream:
        """Return the stream of links to this place, which waits for what both places have queued."""
        runtime = self.runtime
        if self.linking is None:
            self.linking = runtime.stream(self.index)
        for before in (home._stream, self._stream):
            runtime.wait(self.linking, runtime.record(before))
        return self.linking
