"""The runtime on real GPUs: CuPy's arrays, streams, events, copies and graphs. Only this file and kernels/ know CuPy.

Without CuPy, a driver or a GPU, whatever asks for one gets a DeviceError that says what is missing.
"""

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from functools import cache

import numpy as np

from cualex.devices.runtime import address
from cualex.errors import CualexError, DeviceError, OutOfMemory
from cualex.kernels import Launch
from cualex.kernels.binaries import Binaries
from cualex.kernels.functions import Functions, architecture
from cualex.system.cache import place

WAYS = {
    "cudaErrorInsufficientDriver": "there is no NVIDIA driver, or it is older than CuPy's CUDA: install a newer "
    "driver, or the wheel for its CUDA (pip install 'cualex[cuda12]')",
    "cudaErrorNoDevice": "the driver sees no GPU",
    "cudaErrorSystemDriverMismatch": "driver and CUDA do not belong together: restart the machine",
}


class CupyRuntime:
    """Run kernels on the GPUs that CuPy sees."""

    name = "cupy"

    def __init__(self):
        """Load CuPy; raise DeviceError where it cannot be used."""
        self.cupy = _cupy()
        self.uncaptured = ""  # why the last capture failed
        self.binaries = Binaries(place() / "kernels")
        self._functions = Functions(self.cupy, self.binaries)
        self._used: set[int] = set()  # the GPUs that have streams
        self._flying: deque = deque()  # pinned memory of copies that may not have arrived, with their events

    @staticmethod
    def usable() -> bool:
        """Say whether there is a GPU that can be used."""
        try:
            return CupyRuntime().count() > 0
        except DeviceError:
            return False

    def count(self) -> int:
        """Return how many GPUs there are; raise DeviceError where CUDA does not start."""
        try:
            return self.cupy.cuda.runtime.getDeviceCount()
        except self.cupy.cuda.runtime.CUDARuntimeError as error:
            raise _broken(error) from error

    def architecture(self, device: int) -> int:
        """Return a GPU's compute capability, 90 for sm_90."""
        return architecture(self.cupy, device)

    def title(self, device: int) -> str:
        """Return the name that a GPU was sold by."""
        return self.cupy.cuda.runtime.getDeviceProperties(device)["name"].decode()

    def free(self, device: int) -> int:
        """Return how many bytes of a GPU's memory can be allocated."""
        with self.cupy.cuda.Device(device) as here:
            return here.mem_info[0] + self.cupy.get_default_memory_pool().free_bytes()

    def held(self, device: int) -> int:
        """Return how many bytes of a GPU CuPy's pool holds."""
        with self.cupy.cuda.Device(device):
            return self.cupy.get_default_memory_pool().total_bytes()

    def allocate(self, device: int, shape: tuple[int, ...], dtype):
        """Return an array on a GPU; raise OutOfMemory."""
        try:
            with self.cupy.cuda.Device(device) as here:
                here.synchronize()  # CuPy gives away what was freed a moment ago: work in flight may still use it
                return self.cupy.empty(shape, dtype)
        except self.cupy.cuda.memory.OutOfMemoryError as error:
            wanted = np.dtype(dtype).itemsize * int(np.prod(shape, dtype=np.int64))
            raise OutOfMemory(
                f"cuda:{device} has {self.free(device) / 1e9:.2f} GB free, {wanted / 1e9:.2f} GB are needed: "
                "choose a smaller --batch-size"
            ) from error

    def staging(self, device: int, shape: tuple[int, ...], dtype) -> np.ndarray:
        """Return an array in pinned memory."""
        nbytes = int(np.prod(shape)) * np.dtype(dtype).itemsize
        with self.cupy.cuda.Device(device):
            pinned = self.cupy.cuda.alloc_pinned_memory(nbytes)
        return np.frombuffer(pinned, np.uint8, nbytes).view(dtype).reshape(shape)

    def stream(self, device: int):
        """Make a stream that does not wait for the default one."""
        self._used.add(device)
        with self.cupy.cuda.Device(device):
            return self.cupy.cuda.Stream(non_blocking=True)

    def record(self, stream):
        """Return an event after what is queued on a stream."""
        return self._event(stream, timed=False)

    def mark(self, stream):
        """Return an event that remembers when it happened."""
        return self._event(stream, timed=True)

    def _event(self, stream, timed: bool):
        with self.cupy.cuda.Device(stream.device_id):
            event = self.cupy.cuda.Event(block=False, disable_timing=not timed)
            event.record(stream)
            return event

    def elapsed(self, first, last) -> float:
        """Return the seconds between two marks of one GPU."""
        last.synchronize()
        return self.cupy.cuda.get_elapsed_time(first, last) / 1000

    def wait(self, stream, event) -> None:
        """Let a stream wait for an event."""
        with self.cupy.cuda.Device(stream.device_id):
            stream.wait_event(event)

    def upload(self, stream, target, values: np.ndarray) -> None:
        """Copy through pinned memory, which is kept until the copy has arrived."""
        runtime, nbytes = self.cupy.cuda.runtime, values.nbytes
        with self.cupy.cuda.Device(stream.device_id):
            pinned = self.cupy.cuda.alloc_pinned_memory(nbytes)
            np.frombuffer(pinned, np.uint8, nbytes)[:] = values.reshape(-1).view(np.uint8)
            runtime.memcpyAsync(target.data.ptr, pinned.ptr, nbytes, runtime.memcpyHostToDevice, stream.ptr)
        self._keep(stream, pinned)

    def download(self, stream, source) -> np.ndarray:
        """Wait for a stream, and copy to the host."""
        with self.cupy.cuda.Device(stream.device_id):
            return source.get(stream=stream)

    def fetch(self, stream, source) -> Callable[[], np.ndarray]:
        """Copy a few words to pinned memory; return what waits for them and gives them."""
        runtime, nbytes = self.cupy.cuda.runtime, source.nbytes
        with self.cupy.cuda.Device(stream.device_id):
            pinned = self.cupy.cuda.alloc_pinned_memory(nbytes)
            runtime.memcpyAsync(pinned.ptr, source.data.ptr, nbytes, runtime.memcpyDeviceToHost, stream.ptr)
        arrived, shape, dtype = self._keep(stream, pinned), source.shape, source.dtype

        def values() -> np.ndarray:
            arrived.synchronize()
            return np.frombuffer(pinned, np.uint8, nbytes).view(dtype).reshape(shape).copy()

        return values

    def copy(self, stream, source, target) -> None:
        """Copy inside a GPU, from or to pinned memory, or between GPUs: where these are no peers, through the host."""
        runtime, ends = self.cupy.cuda.runtime, [getattr(each.device, "id", None) for each in (source, target)]
        if None not in ends and ends[0] != ends[1]:
            self._befriend(*ends)
        with self.cupy.cuda.Device(stream.device_id):  # CUDA's own call for two GPUs cannot be part of a graph
            runtime.memcpyAsync(address(target), address(source), source.nbytes, runtime.memcpyDefault, stream.ptr)

    def peers(self, one: int, other: int) -> bool:
        """Say whether one GPU can read another's memory."""
        return bool(self.cupy.cuda.runtime.deviceCanAccessPeer(one, other))

    def compile(self, launches: Iterable[Launch], progress: Callable[[int, int], None] | None = None) -> None:
        """Compile and load all that these launches need."""
        self._functions.compile(launches, progress)

    def launch(self, stream, launch: Launch) -> None:
        """Queue a kernel on a stream; None among its arguments is a null pointer."""
        function = self._functions.find(launch, stream.device_id)
        arguments = tuple(0 if argument is None else argument for argument in launch.arguments)
        with self.cupy.cuda.Device(stream.device_id):
            function(launch.grid, (launch.block, 1, 1), arguments, launch.shared, stream)

    def synchronize(self) -> None:
        """Wait for all GPUs that have streams: touching another would take memory there."""
        for device in sorted(self._used):
            self.cupy.cuda.Device(device).synchronize()

    def capture(self, streams: Sequence, work: Callable[[], None]):
        """Record work into a graph of the first stream; where CUDA refuses, None: `uncaptured` says why."""
        origin = streams[0]
        try:
            with self.cupy.cuda.Device(origin.device_id), origin:
                origin.begin_capture()
                try:
                    work()
                except BaseException:
                    with suppress(RuntimeError):  # the capture cannot be ended well: say what came first
                        origin.end_capture()
                    raise
                graph = origin.end_capture()
        except (RuntimeError, NotImplementedError) as error:
            self.uncaptured = str(error)
            return None
        return CupyGraph(self.cupy, graph, origin)

    def _keep(self, stream, pinned):
        """Keep pinned memory until the copies queued so far are done, and return that event.

        CuPy would give it to the next copy as soon as nobody holds it, arrived or not.
        """
        arrived = self.record(stream)
        self._flying.append((arrived, pinned))
        while self._flying and self._flying[0][0].done:
            self._flying.popleft()
        return arrived

    @cache  # noqa: B019  (a runtime lives as long as the process)
    def _befriend(self, here: int, there: int) -> None:
        """Let two GPUs read each other's memory, once, where they can."""
        for one, other in ((here, there), (there, here)):
            if self.peers(one, other):
                with self.cupy.cuda.Device(one):
                    self.cupy.cuda.runtime._deviceEnsurePeerAccess(other)


class CupyGraph:
    """Be a captured step, ready to be queued on the stream it belongs to."""

    def __init__(self, cupy, graph, stream):
        """Keep the graph with its stream."""
        self.cupy, self.graph, self.stream = cupy, graph, stream

    def launch(self) -> None:
        """Queue the whole step."""
        with self.cupy.cuda.Device(self.stream.device_id):
            self.graph.launch(self.stream)


def _cupy():
    """Import CuPy, or say how to get it."""
    try:
        import cupy
    except ImportError as error:
        raise DeviceError(
            f"GPUs need CuPy ({str(error).strip().splitlines()[0]}): pip install 'cualex[cuda13]' (or cuda12 for an "
            "older driver; there is no wheel called cupy); --device cpu needs none."
        ) from error
    return cupy


def _broken(error: Exception) -> CualexError:
    """Say in one line why CUDA does not start."""
    name, _, text = str(error).partition(":")
    way = WAYS.get(name, f"{name}: {text.strip()}")
    return DeviceError(f"no GPU can be used: {way}. `cualex doctor` says more; --device cpu needs none.")
