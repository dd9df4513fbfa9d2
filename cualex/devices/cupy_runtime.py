"""The runtime on real GPUs: CuPy's arrays, streams, events, copies and graphs. Only this file and kernels/ know CuPy.

Without CuPy, a driver or a GPU, whatever asks for one gets a DeviceError that says what is missing. Every call into
CUDA is made inside `_on`, which translates its errors, and lets none through after a GPU was lost.
"""

from collections.abc import Callable, Iterable, Sequence
from functools import cache

import numpy as np

from cualex.devices import cuda_errors, cuda_graphs, hardware_rates
from cualex.devices.cuda_errors import CudaCalls
from cualex.devices.host_copies import HostCopies
from cualex.devices.runtime import address
from cualex.errors import OutOfMemory
from cualex.kernels import Launch
from cualex.kernels.binaries import Binaries, import_cupy
from cualex.kernels.functions import Functions, architecture
from cualex.system.amounts import size
from cualex.system.cache import place

PEERS_ALREADY = 704  # cudaErrorPeerAccessAlreadyEnabled


class CupyRuntime:
    """Run kernels on the GPUs that CuPy sees."""

    name = "cupy"

    def __init__(self):
        """Load CuPy; raise DeviceError where it cannot be used."""
        self.cupy = import_cupy()
        self.uncaptured = ""  # why the last capture failed
        self.binaries = Binaries(place() / "kernels")
        self._used: set[int] = set()  # the GPUs that have streams
        self._capturing = False
        self._calls = CudaCalls(self.cupy)
        self._on = self._calls.on
        self._copies = HostCopies(self.cupy, self._calls, self.record)
        self._functions = Functions(self.cupy, self.binaries, self._on)

    def count(self) -> int:
        """Return how many GPUs there are; raise DeviceError where CUDA does not start."""
        runtime = self.cupy.cuda.runtime
        try:
            return runtime.getDeviceCount()
        except self._calls.errors as error:
            raise cuda_errors.starting(error, runtime.driverGetVersion()) from error

    def try_out(self, device: int) -> None:
        """Make a stream and an array on a GPU; raise DeviceError or OutOfMemory where that fails."""
        self.stream(device)
        self.allocate(device, (1,), np.float32)

    def architecture(self, device: int) -> int:
        """Return a GPU's compute capability, 90 for sm_90."""
        with self._on():
            return architecture(self.cupy, device)

    def title(self, device: int) -> str:
        """Return the name that a GPU was sold by."""
        return self.cupy.cuda.runtime.getDeviceProperties(device)["name"].decode()

    def peak(self, device: int, precision: str) -> float | None:
        """Return the operations a second of a GPU's hardware; None where they are not known."""
        return hardware_rates.peak(self.cupy, device, self.architecture(device), self.title(device), precision)

    def free(self, device: int) -> int:
        """Return how many bytes of a GPU's memory can be allocated."""
        with self._on(device):
            return self.cupy.cuda.runtime.memGetInfo()[0] + self.cupy.get_default_memory_pool().free_bytes()

    def held(self, device: int) -> int:
        """Return how many bytes of a GPU CuPy's pool holds."""
        with self._on(device):
            return self.cupy.get_default_memory_pool().total_bytes()

    def allocate(self, device: int, shape: tuple[int, ...], dtype):
        """Return an array on a GPU; raise OutOfMemory."""
        try:
            with self._on(device):
                # CuPy gives away what was freed a moment ago: work in flight may still use it.
                self.cupy.cuda.runtime.deviceSynchronize()
                return self.cupy.empty(shape, dtype)
        except self.cupy.cuda.memory.OutOfMemoryError as error:
            wanted = np.dtype(dtype).itemsize * int(np.prod(shape, dtype=np.int64))
            raise OutOfMemory(
                f"cuda:{device} has {size(self.free(device), 3)} free, {size(wanted, 3)} more are needed.",
                "Choose a smaller --batch-size, or free memory that other processes hold (`nvidia-smi` lists them).",
            ) from error

    def shared(self, array):
        """Return an array of CuPy, or of another library by DLPack, as CuPy's, once no GPU's stream writes it."""
        with self._on(array.__dlpack_device__()[1]):
            own = array if isinstance(array, self.cupy.ndarray) else self.cupy.from_dlpack(array)
            self.cupy.cuda.runtime.deviceSynchronize()
        return own

    def staging(self, device: int, shape: tuple[int, ...], dtype) -> np.ndarray:
        """Return an array in pinned memory."""
        return self._copies.staging(device, shape, dtype)

    def stream(self, device: int):
        """Make a stream that does not wait for the default one."""
        with self._on(device):
            self.cupy.cuda.runtime.free(0)  # a busy or full GPU says so here; CuPy's Stream prints a traceback then
            stream = self.cupy.cuda.Stream(non_blocking=True)
        self._used.add(device)
        return stream

    def record(self, stream):
        """Return an event after what is queued on a stream."""
        event = self._event(stream, timed=False)
        if not self._capturing:  # what is captured has not happened, and cannot be asked
            self._copies.marked(stream, event)
        return event

    def mark(self, stream):
        """Return an event that remembers when it happened."""
        return self._event(stream, timed=True)

    def _event(self, stream, timed: bool):
        with self._on(stream.device_id):
            event = self.cupy.cuda.Event(block=False, disable_timing=not timed)
            event.record(stream)
            return event

    def elapsed(self, first, last) -> float:
        """Return the seconds between two marks of one GPU."""
        with self._on():
            last.synchronize()
            return self.cupy.cuda.get_elapsed_time(first, last) / 1000

    def wait(self, stream, event) -> None:
        """Let a stream wait for an event."""
        with self._on(stream.device_id):
            stream.wait_event(event)

    def upload(self, stream, target, values: np.ndarray) -> None:
        """Queue a copy from the host."""
        self._copies.upload(stream, target, values)

    def load(self, stream, target, values: np.ndarray) -> None:
        """Queue a copy from memory of `staging` itself, or from other memory as `upload` does."""
        self._copies.load(stream, target, values)

    def gather(self, stream, block, inputs) -> None:
        """Queue one copy of several arrays that lie in a block."""
        self._copies.gather(stream, block, inputs)

    def finish(self, event) -> None:
        """Wait for an event."""
        with self._on():
            event.synchronize()

    def zero(self, stream, target) -> None:
        """Set all bytes of an array to zero."""
        with self._on(stream.device_id):
            self.cupy.cuda.runtime.memsetAsync(target.data.ptr, 0, target.nbytes, stream.ptr)

    def download(self, stream, source) -> np.ndarray:
        """Wait for a stream, and copy to the host."""
        with self._on(stream.device_id):
            return source.get(stream=stream)

    def fetch(self, stream, source) -> Callable[[], np.ndarray]:
        """Queue a copy of a few words to the host; return what waits for them and gives them."""
        return self._copies.fetch(stream, source)

    def copy(self, stream, source, target) -> None:
        """Copy inside a GPU, from or to pinned memory, or between GPUs: where these are no peers, through the host.

        The addresses say where the arrays lie: CUDA's own call for copies between GPUs cannot be part of a graph.
        """
        runtime, ends = self.cupy.cuda.runtime, [getattr(each.device, "id", None) for each in (source, target)]
        if None not in ends and ends[0] != ends[1]:
            self._befriend(*ends)
        with self._on(stream.device_id):
            runtime.memcpyAsync(address(target), address(source), source.nbytes, runtime.memcpyDefault, stream.ptr)

    def peers(self, one: int, other: int) -> bool:
        """Return whether one GPU can read another's memory; it can its own."""
        return one == other or bool(self.cupy.cuda.runtime.deviceCanAccessPeer(one, other))

    def compile(self, launches: Iterable[Launch], progress: Callable[[int, int], None] | None = None) -> None:
        """Compile and load all that these launches need."""
        with self._on():
            self._functions.compile(launches, progress)

    def launch(self, stream, launch: Launch) -> None:
        """Queue a kernel on a stream; None among its arguments is a null pointer."""
        arguments = tuple(0 if argument is None else argument for argument in launch.arguments)
        with self._on(stream.device_id):
            function = self._functions.find(launch, stream.device_id)
            function(launch.grid, (launch.block, 1, 1), arguments, launch.shared, stream)

    def matmul(self, stream, precision: str, x, weight, y) -> Callable[[], None] | None:
        """Return what queues y = x weight^T, square matrices, by cuBLAS; None where there is none."""
        with self._on(stream.device_id):
            queue = hardware_rates.matmul(self.cupy, stream, precision, x, weight, y)
        if queue is None:
            return None

        def call() -> None:
            with self._on(stream.device_id):
                queue()

        return call

    def synchronize(self) -> None:
        """Wait for all GPUs that have streams: touching another would take memory there."""
        for device in sorted(self._used):
            with self._on(device):
                self.cupy.cuda.runtime.deviceSynchronize()

    def capture(self, streams: Sequence, work: Callable[[], None]):
        """Record work into a graph of the first stream; None where that cannot be: `uncaptured` says why."""
        self._capturing = True
        try:
            graph, why = cuda_graphs.capture(self._calls, self.peers, streams, work)
        finally:
            self._capturing = False
        self.uncaptured = why or self.uncaptured
        return graph

    @cache  # noqa: B019  (a runtime lives as long as the process)
    def _befriend(self, here: int, there: int) -> None:
        """Let two GPUs read each other's memory, once, where they can."""
        for one, other in ((here, there), (there, here)):
            if self.peers(one, other):
                with self._on(one):
                    try:
                        self.cupy.cuda.runtime.deviceEnablePeerAccess(other)
                    except self._calls.errors as error:  # another library may have been first
                        if getattr(error, "status", None) != PEERS_ALREADY:
                            raise
