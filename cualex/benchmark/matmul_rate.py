"""The matmul rate of a device, which benchmarks are relative to."""

import statistics
import time
from functools import partial

import numpy as np

from cualex import engine
from cualex.devices.cuda import CudaDevice
from cualex.devices.host import HostDevice
from cualex.devices.workers import Workers

SIDES = {"host": 2048, "cuda": 8192}  # of the square matrices
PRODUCTS = 5  # timed; the median counts


class Yardstick:
    """Matmul of two square float32 matrices on all workers, a block of rows and one BLAS thread a worker."""

    def __init__(self, workers: Workers, side: int) -> None:
        rng = np.random.default_rng(0)
        self.workers, self.side = workers, side
        self.left, self.right = (rng.standard_normal((side, side), np.float32) for _ in range(2))
        self.product = np.empty((side, side), np.float32)

    def rate(self) -> float:
        """Return floating-point operations a second: the median of several products."""
        self._multiply()
        return 2 * self.side**3 / statistics.median(self._multiply() for _ in range(PRODUCTS))

    def _multiply(self) -> float:
        """Compute the product once; return the seconds."""
        count = self.workers.count
        edges = [self.side * part // count for part in range(count + 1)]

        def block(part: int, scratch: object) -> None:
            rows = slice(edges[part], edges[part + 1])
            np.matmul(self.left[rows], self.right, out=self.product[rows])

        began = time.perf_counter()
        self.workers.run(block, count)
        return time.perf_counter() - began


class CudaYardstick:
    """Matmul of two square matrices on a GPU in the device's precision: by cuBLAS; without it, the peak on paper.

    Only where neither is known, as on a GPU that is emulated, by the engine's own kernel. `how` says which.
    """

    def __init__(self, device: CudaDevice, side: int) -> None:
        self.device, self.side = device, side
        runtime, precision = device.runtime, device.precision
        shapes = (side, side), (1, side, side), (1, side, side)
        x, weight, y = (device.allocate(shape, device.dtype) for shape in shapes)
        self.peak = None
        matmul = f"a {precision} matmul of {side} x {side}"
        if multiply := runtime.matmul(device.stream, precision, x, weight, y):
            self.multiply, self.how = multiply, f"{matmul} by cuBLAS"
        elif peak := runtime.peak(device.index, precision):
            self.peak, self.how = peak, f"the {precision} peak of the hardware on paper (cuBLAS is not there)"
        else:
            bias, dense = device.allocate((1, side), device.master, zero=True), engine.find("cuda").dense
            self.multiply, launches = device.prepare(partial(dense.forward, device, [x], weight, bias, y))
            device.compile(launches)
            self.how = f"{matmul} with our own kernel"
        if self.peak is None:
            rng = np.random.default_rng(0)
            for array in (x, weight):
                device.upload(array, rng.standard_normal(array.shape, np.float32))

    def rate(self) -> float:
        """Return floating-point operations a second: the median of several products, or the peak."""
        if self.peak is not None:
            return self.peak
        times = []
        for _ in range(1 + PRODUCTS):
            clock = self.device.clock()
            clock.start()
            self.multiply()
            clock.stop()
            times.append(clock.seconds)
        return 2 * self.side**3 / statistics.median(times[1:])


def yardstick(device: HostDevice | CudaDevice, side: int | None = None) -> Yardstick | CudaYardstick:
    """Return the yardstick of a device."""
    side = side or SIDES[device.engine]
    return CudaYardstick(device, side) if isinstance(device, CudaDevice) else Yardstick(device.workers, side)
