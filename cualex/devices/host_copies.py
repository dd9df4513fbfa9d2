"""Copies between the host and a GPU, through pinned memory, which a GPU reads and writes by itself."""

import weakref
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from cualex.devices import cuda_errors
from cualex.devices.cuda_errors import CudaCalls
from cualex.devices.stored import as_stored
from cualex.errors import OutOfMemory
from cualex.system.amounts import size

PIECE = 2**25  # bytes of a piece of an upload; CuPy's pool of pinned memory never gives any back,
PIECES = 4  # so that no more pieces than these are on their way
SMALL = 2**16  # bytes of an upload that need no event of their own
UNMARKED = 16  # copies without an event


class HostCopies:
    """Queue copies on streams; `record` makes an event on a stream, and hands it to `marked`."""

    def __init__(self, cupy: Any, calls: CudaCalls, record: Callable[[Any], Any]) -> None:
        self.cupy, self._calls, self._record = cupy, calls, record
        self._flying: deque[tuple[Any, Any]] = deque()  # events of copies, with their pinned memory
        # By stream, pinned memory of copies since its last event. It holds the stream, as CUDA gives the address of one
        # that is destroyed to the next.
        self._unmarked: dict[int, tuple[Any, list[Any]]] = {}
        self._staged: set[int] = set()  # the ids of the arrays of `staging`, of which callers have views

    def staging(self, device: int, shape: tuple[int, ...], dtype) -> np.ndarray:
        """Return an array in pinned memory."""
        count = int(np.prod(shape))
        with self._calls.on(device):
            pinned = self._pinned(count * np.dtype(dtype).itemsize)
        flat = np.frombuffer(pinned, dtype, count)
        self._staged.add(id(flat))
        weakref.finalize(flat, self._staged.discard, id(flat))  # all views of it hold it
        return flat.reshape(shape)

    def load(self, stream, target, values: np.ndarray) -> None:
        """Copy from memory of `staging` without another copy on the host; from other memory as `upload` does."""
        if not self._is_staged(values):
            self.upload(stream, target, values)
            return
        runtime = self.cupy.cuda.runtime
        with self._calls.on(stream.device_id):
            source, kind = values.ctypes.data, runtime.memcpyHostToDevice
            runtime.memcpyAsync(target.data.ptr, source, values.nbytes, kind, stream.ptr)
            self._keep_unmarked(stream, values)

    def _is_staged(self, values: np.ndarray) -> bool:
        """Return whether values lie in memory of `staging`; NumPy's base of a view of a view is the first array."""
        return id(values.base) in self._staged

    def gather(self, stream, block, inputs: Sequence[tuple[Any, np.ndarray]]) -> None:
        """Copy values for several arrays of a block through pinned memory, at once.

        What is large, or in memory of `staging`, is not copied on the host first: then each array has its own copy.
        """
        if block.nbytes > PIECE or any(self._is_staged(values) for _, values in inputs):
            for target, values in inputs:
                self.load(stream, target, as_stored(values, target))
            return
        runtime, start, nbytes = self.cupy.cuda.runtime, block.data.ptr, block.nbytes
        with self._calls.on(stream.device_id):
            pinned = self._pinned(nbytes)
            for target, values in inputs:
                held = np.frombuffer(pinned, target.dtype, target.size, target.data.ptr - start)
                held.reshape(target.shape)[...] = values
            runtime.memcpyAsync(start, pinned.ptr, nbytes, runtime.memcpyHostToDevice, stream.ptr)
            self._keep_unmarked(stream, pinned)

    def upload(self, stream, target, values: np.ndarray) -> None:
        """Copy through pinned memory, which is kept until the copy has arrived; what is large goes in pieces."""
        runtime, flat = self.cupy.cuda.runtime, values.reshape(-1).view(np.uint8)
        flying: list[Any] = []
        for start in range(0, len(flat), PIECE):
            piece = flat[start : start + PIECE]
            with self._calls.on(stream.device_id):
                if len(flying) == PIECES:
                    flying.pop(0).synchronize()
                pinned = self._pinned(len(piece))
                np.frombuffer(pinned, np.uint8, len(piece))[:] = piece
                where, kind = target.data.ptr + start, runtime.memcpyHostToDevice
                runtime.memcpyAsync(where, pinned.ptr, len(piece), kind, stream.ptr)
                if len(flat) <= SMALL:
                    self._keep_unmarked(stream, pinned)
                else:
                    flying.append(self._keep(stream, pinned))

    def fetch(self, stream, source) -> Callable[[], np.ndarray]:
        """Copy a few words to pinned memory; return what waits for them and gives them."""
        runtime, nbytes = self.cupy.cuda.runtime, source.nbytes
        with self._calls.on(stream.device_id):
            pinned = self._pinned(nbytes)
            runtime.memcpyAsync(pinned.ptr, source.data.ptr, nbytes, runtime.memcpyDeviceToHost, stream.ptr)
            arrived, shape, dtype = self._keep(stream, pinned), source.shape, source.dtype

        def values() -> np.ndarray:
            with self._calls.on(stream.device_id):
                arrived.synchronize()
            return np.frombuffer(pinned, np.uint8, nbytes).view(dtype).reshape(shape).copy()

        return values

    def _keep_unmarked(self, stream, pinned) -> None:
        """Keep pinned memory until the stream's next event, which may serve several copies, is done."""
        _, unmarked = self._unmarked.setdefault(stream.ptr, (stream, []))
        unmarked.append(pinned)
        if len(unmarked) >= UNMARKED:
            self._record(stream)

    def _keep(self, stream, pinned):
        """Keep pinned memory until the copies queued so far are done, and return that event.

        CuPy would give it to the next copy as soon as nobody holds it, arrived or not.
        """
        self._unmarked.setdefault(stream.ptr, (stream, []))[1].append(pinned)
        return self._record(stream)

    def marked(self, stream, event) -> None:
        """Take an event that `record` has made: once it is done, the memory of earlier copies is free."""
        if unmarked := self._unmarked.pop(stream.ptr, None):
            self._flying.append((event, unmarked[1]))
            while self._flying and self._flying[0][0].done:
                self._flying.popleft()

    def _pinned(self, nbytes: int):
        """Return pinned memory of the host; raise OutOfMemory."""
        try:
            return self.cupy.cuda.alloc_pinned_memory(nbytes)
        except self._calls.errors as error:
            if getattr(error, "status", None) != cuda_errors.MEMORY:
                raise
            raise OutOfMemory(
                f"the host has no {size(nbytes)} of memory that can be pinned for the GPU.",
                "Choose a smaller --batch-size, or raise the limit of locked memory (ulimit -l).",
            ) from error
