"""The roofline of a device, measured without our own kernels, and a step's share of it.

    attainable seconds = max(operations / (operations a second), bytes / (bytes a second))

A step with a larger first term is bound by operations, else by memory (Williams, Waterman and Patterson, 2009). A share
above 1 means that its maps came from a cache.
"""

import statistics
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from cualex.benchmark.matmul_rate import SIDES, CudaYardstick, Yardstick
from cualex.devices.cuda import CudaDevice
from cualex.devices.host import HostDevice
from cualex.plan.step import Step
from cualex.weights.parameters import Parameters

COPIED = 2**28  # bytes of the array that is copied: more than most caches hold
TIMES = 5  # timed; the median counts
SLOTTED = {"pictures", "views", "colours", "labels"}  # inputs with a buffer for every batch in flight


@dataclass(frozen=True)
class Roofline:
    """The two rates of a device. measured: how, as a text."""

    operations_per_s: float
    bytes_per_s: float
    measured: str

    def attainable(self, operations: int, moved: int) -> float:
        """Return the least seconds of a step with these operations and bytes."""
        return max(operations / self.operations_per_s, moved / self.bytes_per_s)

    def bound(self, operations: int, moved: int) -> str:
        """Return what bounds a step: "operations" or "bytes"."""
        return "operations" if operations / self.operations_per_s > moved / self.bytes_per_s else "bytes"

    def or_better(self, other: "Roofline") -> "Roofline":
        """Return the larger rates of two measurements of one device: a roofline is the most that was reached."""
        rates = max(self.operations_per_s, other.operations_per_s), max(self.bytes_per_s, other.bytes_per_s)
        return Roofline(*rates, self.measured)


def measure(device: HostDevice | CudaDevice, side: int | None = None, copied: int = COPIED) -> Roofline:
    """Measure a device's rates with its engine. side: of the matrices.  copied: bytes of the copy."""
    side = side or SIDES[device.engine]
    return _cuda(device, side, copied) if isinstance(device, CudaDevice) else _host(device, side, copied)


def moved(step: Step, parameters: Parameters) -> int:
    """Return the bytes that a step must move: what it reads and writes, once, with what its gradient sinks update.

    The momentum update reads and writes weights and velocities, and writes the weights' copy of lower precision, if
    there is one; weights that the step reads in any case count once. Of an input's slots one is read.
    """
    inputs = [operand for name, operand in step.reads.items() if name in SLOTTED]
    unread = (operand.bytes - operand.bytes // (operand.buffer.slots or 1) for operand in inputs)
    total = step.bytes - sum(unread)
    for last in step.sinks.values():
        key = f"{step.layers[0]}.{last}", step.place
        weight, copy = parameters.arrays[key], parameters.copies.get(key)
        read = any(array is weight for array in step.reads.values())
        total += (3 if read else 4) * weight.nbytes + (0 if copy is None else copy.nbytes)
    return total


def _host(device: HostDevice, side: int, copied: int) -> Roofline:
    """Measure a float32 matmul, and a copy of an array, on all workers."""
    source, target = (np.ones(copied // 4, np.float32) for _ in range(2))
    count = device.workers.count
    edges = [len(source) * part // count for part in range(count + 1)]

    def copy(part: int, scratch: object) -> None:
        block = slice(edges[part], edges[part + 1])
        np.copyto(target[block], source[block])

    seconds = _seconds(device, lambda: device.run(copy, count))
    workers = f"{count} worker{'s' if count > 1 else ''}"
    measured = f"a float32 matmul of {side} x {side} and a copy of {source.nbytes:,} bytes, each on {workers}"
    return Roofline(Yardstick(device.workers, side).rate(), 2 * source.nbytes / seconds, measured)


def _cuda(device: CudaDevice, side: int, copied: int) -> Roofline:
    """Measure a matmul by cuBLAS, or take the peak of the hardware, and measure a copy within the device."""
    source, target = (device.allocate((copied // 4,), np.float32, zero=True) for _ in range(2))
    copying = _seconds(device, lambda: device.runtime.copy(device.stream, source, target))
    matmul = CudaYardstick(device, side)
    measured = f"{matmul.how} and a copy of {source.nbytes:,} bytes"
    return Roofline(matmul.rate(), 2 * source.nbytes / copying, measured)


def _seconds(device: HostDevice | CudaDevice, work: Callable[[], None]) -> float:
    """Return the median time of some work on a device, after a run for warming up."""
    times = []
    for _ in range(1 + TIMES):
        clock = device.clock()
        clock.start()
        work()
        clock.stop()
        times.append(clock.seconds)
    return statistics.median(times[1:])
