"""The emulator as a runtime of the CUDA engine (cualex/devices/runtime.py)."""

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from cualex.emulator import binding
from cualex.kernels import Launch
from tests.emulator import library, programs, streams
from tests.emulator.graphs import Capture, CaptureError, EmulatedGraph
from tests.emulator.hazards import Hazards, Touch
from tests.emulator.streams import Event, Item, Record, Stream, Transfer, Wait, Work


@dataclass(frozen=True)
class Requests:
    """Count the requests that warps make to memory at one line: what they cost, and what they would at best.

    The unit is the wavefront in shared memory (bank conflicts make more of them) and the sector in global memory.
    """

    requests: int = 0
    cost: int = 0
    ideal: int = 0

    def __add__(self, other) -> "Requests":
        return Requests(self.requests + other.requests, self.cost + other.cost, self.ideal + other.ideal)


class EmulatedRuntime:
    """Run kernels on emulated devices; see the package for what the options mean."""

    name = "emulator"
    uncaptured = ""

    def __init__(
        self,
        devices: int = 2,
        schedule: str | int = "ascending",
        checked: bool = False,
        streams: str = "eager",
        seed: int = 0,
        lint: bool = False,
        events: bool = False,
        partly: Iterable[str] = (),
    ):
        self.partly = frozenset(partly)
        self.hazards = Hazards() if events else None
        self.lint = lint
        self.requests: dict[tuple[str, str, str], Requests] = {}
        self.devices, self.schedule, self.checked = devices, schedule, checked or lint
        self.order = _order(streams, seed)
        self._streams: list[Stream] = []
        self._staged: list[np.ndarray] = []
        self._branches: list[Stream] = []  # of graphs that have been launched
        self._libraries: dict[tuple, library.Library] = {}
        self._capture: Capture | None = None
        self._launched = 0
        self._moments: dict[Event, float] = {}  # of marks

    def count(self) -> int:
        """Return how many devices there are."""
        return self.devices

    def peers(self, one: int, other: int) -> bool:
        """Return whether one device can read another's memory."""
        return True

    def architecture(self, device: int) -> int:
        """Return the compute capability whose kernels it runs."""
        return 90

    def title(self, device: int) -> str:
        """Return the name of a device's kind."""
        return "emulated"

    def peak(self, device: int, precision: str) -> float | None:
        """Return the operations a second of the hardware, which is not there."""
        return None

    def free(self, device: int) -> int:
        """Return how many bytes can still be allocated on a device: as many as on a large GPU."""
        return 80 << 30

    def held(self, device: int) -> int:
        """Return how many bytes of a device are allocated: this is not counted here."""
        return 0

    def allocate(self, device: int, shape: tuple[int, ...], dtype) -> np.ndarray:
        """Return an array full of poison."""
        if not 0 <= device < self.devices:
            raise ValueError(f"there is no device {device}")
        return binding.allocate(device, tuple(shape), dtype)

    def staging(self, device: int, shape: tuple[int, ...], dtype) -> np.ndarray:
        """Return memory of the host: all of it is as good, but this is read when a copy runs."""
        self._staged.append(np.empty(shape, dtype))
        return self._staged[-1]

    def stream(self, device: int) -> Stream:
        """Make a stream on a device."""
        made = Stream(device)
        self._streams.append(made)
        return made

    def record(self, stream: Stream) -> Event:
        """Return an event that happens when all that is queued on a stream so far is done."""
        event = Event(stream, self._capture)
        self._queue(stream, Record(event))
        return event

    def wait(self, stream: Stream, event: Event) -> None:
        """Let what is queued on a stream from here on wait for an event."""
        if self._capture is None and event.capture is not None:
            raise CaptureError("an event that was captured never happens outside of its graph")
        self._queue(stream, Wait(event))

    def mark(self, stream: Stream) -> Event:
        """Return an event that remembers when it happened."""
        event = self.record(stream)
        self._queue(stream, Work(lambda device: self._moments.__setitem__(event, time.perf_counter())))
        return event

    def elapsed(self, first: Event, last: Event) -> float:
        """Return the seconds between two marks of one device."""
        self._finish([first.stream, last.stream])
        return self._moments[last] - self._moments[first]

    def upload(self, stream: Stream, target: np.ndarray, values: np.ndarray) -> None:
        """Queue a copy of the values that are there now."""
        self._transfer(stream, np.array(values, target.dtype), target)

    def load(self, stream: Stream, target: np.ndarray, values: np.ndarray) -> None:
        """Queue a copy from memory of `staging` as it will be then, and of other values as they are now."""
        if any(np.may_share_memory(values, staged) for staged in self._staged):
            self._transfer(stream, values, target)
        else:
            self.upload(stream, target, values)

    def gather(self, stream: Stream, block: np.ndarray, inputs) -> None:
        """Queue a copy of the values that are there now to arrays of a block."""
        for target, values in inputs:
            self._transfer(stream, np.array(np.broadcast_to(values, target.shape), target.dtype), target)

    def finish(self, event: Event) -> None:
        """Wait for an event."""
        if not event.happened:
            self._finish([event.stream])

    def zero(self, stream: Stream, target: np.ndarray) -> None:
        """Queue that all bytes of an array become zero."""
        self._transfer(stream, np.zeros(target.shape, target.dtype), target)

    def download(self, stream: Stream, source: np.ndarray) -> np.ndarray:
        """Wait for a stream, and return a copy on the host."""
        self._finish([stream])
        return source.copy()

    def fetch(self, stream: Stream, source: np.ndarray) -> Callable[[], np.ndarray]:
        """Queue a copy to the host; return what waits for it and gives it."""
        arrived = np.empty(source.shape, source.dtype)
        self._transfer(stream, source, arrived)
        event = self.record(stream)

        def values() -> np.ndarray:
            if not event.happened:
                self._finish([stream])
            return arrived

        return values

    def copy(self, stream: Stream, source: np.ndarray, target: np.ndarray) -> None:
        """Queue a copy of an array."""
        self._transfer(stream, source, target)

    def compile(self, launches: Iterable[Launch], progress: Callable[[int, int], None] | None = None) -> None:
        """Build what these launches need and is not there yet."""
        programs.build(dict.fromkeys(self._program(launch) for launch in launches), progress)

    def launch(self, stream: Stream, launch: Launch) -> None:
        """Queue a kernel."""
        library = self._library(launch)
        touches = []
        if self.hazards is not None:
            arguments = zip(library.arguments, launch.arguments, strict=True)
            touches = [
                Touch(given, not constant, f"{launch.kernel.name} {'reads' if constant else 'writes'} {name}")
                for (name, constant), given in arguments
                if isinstance(given, np.ndarray) and f"{launch.kernel.name}.{name}" not in self.partly
            ]
        self._queue(stream, Work(partial(self._run, launch), touches))

    def matmul(self, stream: Stream, precision: str, x, weight, y) -> Callable[[], None] | None:
        """Return what queues a product by the maker's own library: there is none."""
        return None

    def synchronize(self) -> None:
        """Wait until nothing is queued anywhere."""
        self._finish(self._streams)

    def capture(self, streams: Sequence[Stream], work: Callable[[], None]) -> EmulatedGraph:
        """Record what `work` queues, without running it."""
        self._capture = capture = Capture(streams)
        try:
            work()
        finally:
            self._capture = None
        capture.check()
        return EmulatedGraph(capture, self._queue)

    def _transfer(self, stream: Stream, source: np.ndarray, target: np.ndarray) -> None:
        if source.shape != target.shape or source.dtype != target.dtype:
            raise ValueError(f"{source.dtype} {source.shape} cannot be copied to {target.dtype} {target.shape}")
        touches = (
            Touch(source, False, "a copy reads its source"),
            Touch(target, True, "a copy writes its target"),
        )
        self._queue(stream, Transfer(source, target, self.order.early, touches))

    def _queue(self, stream: Stream, item: Item) -> None:
        if self._capture is not None:
            self._capture.add(stream, item)
            return
        if stream not in self._streams and stream not in self._branches:
            self._branches.append(stream)
        if self.hazards is not None:
            self.hazards.queued(stream, item)
        stream.queue.append(item)
        self.order.queued(stream)

    def _finish(self, needed: list[Stream]) -> None:
        if self._capture is not None:
            raise CaptureError("nobody can wait for work that is captured")
        for stream in needed:
            self.order.finish(stream, [*self._streams, *self._branches])
            if self.hazards is not None:
                self.hazards.waited(stream)
        self._branches = [stream for stream in self._branches if stream.queue]

    def _run(self, launch: Launch, device: int) -> None:
        """Run a kernel now; with a seed, every launch has a schedule of its own."""
        self._launched += 1
        schedule = self.schedule
        if not isinstance(schedule, str):
            schedule = schedule * 1_000_003 + self._launched
        library = self._library(launch)
        library.run(launch, device, schedule, count=self.lint)
        if self.lint:
            for line, total in library.requests():
                key = line, "shared" if total.in_shared else "global", "write" if total.write else "read"
                self.requests[key] = self.requests.get(key, Requests()) + total

    def _program(self, launch: Launch) -> programs.Program:
        return programs.program(launch.kernel, launch.constants, self.checked)

    def _library(self, launch: Launch) -> library.Library:
        program = self._program(launch)
        if program not in self._libraries:
            self._libraries[program] = library.Library(program)
        return self._libraries[program]


_order = streams.order  # the class has an argument of that name
