"""The CPU's thread pool: one worker a core, one BLAS thread a worker, tasks in any order.

How an operation is divided into tasks depends on the operation alone, never on the number of workers, and no task
reads what another writes. So the result has the same bits on one core and on sixty-four. BLAS gets one thread because
more would compete with the workers for the cores, and because another number of threads gives other bits.
"""

import itertools
import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from threadpoolctl import ThreadpoolController

from cualex.system.environment import cores

# What NumPy gathers of an array that has gaps before it computes, in numbers; its own 8,192 takes up to three times
# as long for runs of channels.
GATHERED = 2048


class Scratch:
    """Named work arrays of one worker; the memory of a name is reused and only grows."""

    def __init__(self) -> None:
        self._memory: dict[tuple, np.ndarray] = {}
        self._shaped: dict[tuple, np.ndarray] = {}

    def __call__(self, name: str, shape: tuple[int, ...], dtype: np.dtype | type) -> np.ndarray:
        """Return an uninitialised array."""
        shaped = self._shaped.get((name, shape, dtype))
        return self._make(name, shape, dtype) if shaped is None else shaped

    def _make(self, name: str, shape: tuple[int, ...], dtype: np.dtype | type) -> np.ndarray:
        size, key = math.prod(shape), (name, np.dtype(dtype))
        memory = self._memory.get(key)
        if memory is None or memory.size < size:
            memory = self._memory[key] = np.empty(size, dtype)
            self._shaped = {kept: array for kept, array in self._shaped.items() if kept[0] != name}
        self._shaped[name, shape, dtype] = memory[:size].reshape(shape)
        return self._shaped[name, shape, dtype]

    def constant(self, name: str, shape: tuple[int, ...], dtype: np.dtype | type, value: float) -> np.ndarray:
        """Return an array that was filled with `value` once, at the first call."""
        key = (name, np.dtype(dtype), shape)
        if key not in self._memory:
            self._memory[key] = np.full(shape, value, dtype)
        return self._memory[key]

    @property
    def bytes(self) -> int:
        """Bytes held."""
        return sum(memory.nbytes for memory in self._memory.values())


class Workers:
    """A pool of `count` threads, the caller's among them, that runs one operation at a time."""

    def __init__(self, count: int | None = None) -> None:
        self.count = count or cores()
        self.scratch = [Scratch() for _ in range(self.count)]
        self._threads = ThreadPoolExecutor(max(1, self.count - 1), thread_name_prefix="cualex")
        self._blas = ThreadpoolController().select(user_api="blas")

    def run(self, task: Callable[[int, Scratch], None], count: int) -> None:
        """Call `task(i, scratch)` for every i below `count`, and wait; the first exception is raised here."""
        claims = iter(range(count))  # shared: the interpreter lock lets no two workers take the same i

        def work(scratch: Scratch) -> None:
            try:
                with np.errstate(all="ignore"):  # an overflow shows in the loss, which is checked
                    np.setbufsize(GATHERED)  # until the end of this `with`
                    for i in claims:
                        task(i, scratch)
            except BaseException:
                for _ in claims:  # nobody starts another task
                    pass
                raise

        with self._blas.limit(limits=1):
            others = [self._threads.submit(work, scratch) for scratch in self.scratch[1 : min(self.count, count)]]
            try:
                work(self.scratch[0])
            finally:
                for other in others:
                    other.exception()  # waits
            for other in others:
                other.result()

    def grid(self, task: Callable[..., None], *counts: int) -> None:
        """Call `task(i, j, ..., scratch)` for every combination of indices below `counts`."""
        indices = list(itertools.product(*map(range, counts)))
        self.run(lambda i, scratch: task(*indices[i], scratch), len(indices))

    @property
    def bytes(self) -> int:
        """Bytes of all work arrays."""
        return sum(scratch.bytes for scratch in self.scratch)
