"""Compare a captured graph with the work that it was captured from: from the same state, to the bit.

What the work writes before it reads is poisoned before either, so that a node that is missing cannot pass by what the
other run has left in its place.
"""

import hashlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from cualex.devices.fallbacks import Touched
from cualex.devices.runtime import Array, Runtime
from cualex.devices.self_test.launches import put_back
from cualex.devices.self_test.trial import poison, save
from cualex.devices.stored import FINITE


class Comparison:
    """The state that some work starts from, and how it is brought back."""

    def __init__(self, runtime: Runtime, devices: Sequence[Any], touched: Touched) -> None:
        """Save the state."""
        self.runtime, self.devices = runtime, devices
        self._kept = [(place, array) for place, array in touched.kept if array is not None]
        self._kept += [(place, device.control) for place, device in enumerate(devices)]
        finite = slice(FINITE, FINITE + 1)
        self._fresh = [*touched.fresh, *((place, devices[place].control[finite]) for place in touched.told)]
        self._scratch = [(place, each) for place, device in enumerate(devices) for each in device.scratch_arrays]
        self._compared = [*self._kept, *touched.results]
        runtime.synchronize()
        self._before = [self._values(place, array) for place, array in self._kept]

    def run(self, work: Callable[[], None]) -> list[str]:
        """Run work on the state that was saved, whatever has changed since; return a digest of each array it leaves."""
        self.put_back()
        for place, array in (*self._fresh, *self._scratch):
            poison(self.runtime, self.devices[place].stream, array)
        self.runtime.synchronize()
        work()
        self.runtime.synchronize()
        return [hashlib.sha256(self._values(*each).data).hexdigest() for each in self._compared]

    def put_back(self) -> None:
        """Bring the state back."""
        for (place, array), values in zip(self._kept, self._before, strict=True):
            put_back(self.runtime, self.devices[place], array, values)

    def _values(self, place: int, array: Array) -> np.ndarray:
        return save(self.runtime, self.devices[place].stream, array)


def compare(
    runtime: Runtime, devices: Sequence[Any], work: Callable[[], None], graph: Callable[[], None], touched: Touched
) -> str:
    """Run work, then its graph, from the same state; return an empty text where both leave the same bits.

    The work is then done, by the graph. Else return how they differ, with the state brought back. What the ledger has
    is that of no run.
    """
    ledger, state, same = devices[0].ledger.floats, Comparison(runtime, devices, touched), False
    entries = dict(ledger)
    try:
        wanted = state.run(work)
        try:
            same = state.run(graph) == wanted
        except RuntimeError as error:  # CUDA's errors are
            return f"it fails: {error}"
        return "" if same else "it does not give the bits of its kernels one by one"
    finally:
        ledger.clear()
        ledger.update(entries)
        if not same:
            state.put_back()


def after_first(graph: Callable[[], None]) -> Callable[[], None]:
    """Return what does nothing when it is called first, and launches the graph from then on."""
    done = [False]

    def replay() -> None:
        if done[0]:
            graph()
        done[0] = True

    return replay
