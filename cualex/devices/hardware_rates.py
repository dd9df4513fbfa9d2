"""What a GPU's hardware can do, which rooflines and benchmarks are relative to: cuBLAS, and the peak on paper.

Our own kernels are no measure of themselves: at half of the peak they would seem to reach all of it.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

# Operations that a multiprocessor does in a clock, two a multiply-add, dense and with sums in float32: NVIDIA's white
# papers on Turing, Ampere (GA100, GA102), Ada, Hopper and Blackwell. GeForce cards do half as many on tensor cores.
PER_CLOCK = {
    75: {"fp32": 128},
    80: {"fp32": 128, "tf32": 1024, "bf16": 2048},
    86: {"fp32": 256, "tf32": 512, "bf16": 1024},
    89: {"fp32": 256, "tf32": 512, "bf16": 1024},
    90: {"fp32": 256, "tf32": 2048, "bf16": 4096},
    100: {"fp32": 256, "tf32": 4096, "bf16": 8192},
    120: {"fp32": 256, "tf32": 512, "bf16": 1024},
}
CLOCK, MULTIPROCESSORS = 13, 16  # cudaDevAttrClockRate, in kHz, and cudaDevAttrMultiProcessorCount


def peak(cupy: Any, device: int, architecture: int, title: str, precision: str) -> float | None:
    """Return the operations a second at a GPU's highest clock; None for a kind that is not in the table."""
    operations = PER_CLOCK.get(architecture, {}).get(precision)
    if operations is None:
        return None
    if "GeForce" in title and precision != "fp32":
        operations //= 2
    clock, count = (cupy.cuda.runtime.deviceGetAttribute(number, device) for number in (CLOCK, MULTIPROCESSORS))
    return 1000.0 * clock * count * operations


def matmul(cupy: Any, stream: Any, precision: str, x: Any, weight: Any, y: Any) -> Callable[[], None] | None:
    """Return what queues y = x weight^T, square matrices, by cuBLAS on a stream; None where that cannot be used.

    It is queued once here, so that all is loaded. Never while a graph is captured.
    """
    try:
        from cupy_backends.cuda.libs import cublas

        handle, runtime = cupy.cuda.device.get_cublas_handle(), cupy.cuda.runtime
    except (ImportError, RuntimeError, OSError):
        return None
    kind = runtime.CUDA_R_16BF if precision == "bf16" else runtime.CUDA_R_32F
    sums = cublas.CUBLAS_COMPUTE_32F_FAST_TF32 if precision == "tf32" else cublas.CUBLAS_COMPUTE_32F
    one, zero, side = np.ones(1, np.float32), np.zeros(1, np.float32), x.shape[-1]

    def queue() -> None:
        # cuBLAS reads the arrays by columns: it computes y^T = weight x^T.
        cublas.setStream(handle, stream.ptr)
        cublas.gemmEx(
            *(handle, cublas.CUBLAS_OP_T, cublas.CUBLAS_OP_N, side, side, side, one.ctypes.data),
            *(weight.data.ptr, kind, side, x.data.ptr, kind, side, zero.ctypes.data, y.data.ptr, kind, side),
            *(sums, cublas.CUBLAS_GEMM_DEFAULT),
        )

    try:
        queue()
    except RuntimeError:
        return None
    return queue
