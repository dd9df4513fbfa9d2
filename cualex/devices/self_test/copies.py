"""Compare a copy between two GPUs with one through the host."""

from typing import Any

import numpy as np

from cualex.devices.runtime import Array, Runtime
from cualex.devices.self_test.launches import put_back
from cualex.devices.self_test.trial import PERIOD, poison, repeat, save


def compare_copies(runtime: Runtime, home: Any, device: Any, source: Array, target: Array) -> str:
    """Copy bytes of all kinds from an array of `home` to one of `device`; return what is wrong, or an empty text.

    The source holds what it held again afterwards; the target does not.
    """
    runtime.synchronize()
    before = save(runtime, home.stream, source)
    try:
        repeat(runtime, home.stream, source.reshape(-1).view(np.uint8), np.arange(PERIOD).astype(np.uint8))
        poison(runtime, device.stream, target)
        runtime.synchronize()
        runtime.copy(device.stream, source, target)
        runtime.synchronize()
        ends = (home, source), (device, target)
        sent, arrived = (save(runtime, at.stream, each).view(np.uint8) for at, each in ends)
        wrong = int((sent != arrived).sum())
        return f"change {wrong:,} of {sent.size:,} bytes" if wrong else ""
    finally:
        put_back(runtime, home, source, before)
