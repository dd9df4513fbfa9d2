"""Which kernels run on which GPUs: the table that the tests compile without a GPU.

                      sm_75   80   86   89   90   100   120
gemms in fp32           x     x    x    x    x     x     x      plain multiply-adds
gemms in tf32                 x    x    x    x     x     x      mma.sync, cp.async
gemms in bf16                 x    x    x    x     x     x      mma.sync, cp.async
some of these                                x                  wgmma, cp.async (sm_90a)
everything else         x     x    x    x    x     x     x      memory-bound, in either storage
"""

from collections.abc import Mapping

from cualex.errors import DeviceError
from cualex.kernels.source import Kernel

ARCHITECTURES = (75, 80, 86, 89, 90, 100, 120)
WGMMA = 90  # the only one with it
TENSOR_CORES = 80  # the first with TF32, bfloat16 and asynchronous copies
PRECISIONS = ("fp32", "tf32", "bf16")


def row(kernel: Kernel, constants: Mapping) -> tuple[int, ...]:
    """Return the architectures that a kernel with these constants is made for: its row of the table."""
    if kernel.needs:
        return (kernel.needs,)
    tensor = constants.get("TENSOR_CORES", False)
    return tuple(found for found in ARCHITECTURES if found >= TENSOR_CORES or not tensor)


def precisions(architecture: int) -> tuple[str, ...]:
    """Return the precisions that a GPU has, the default first; raise DeviceError for one that is too old."""
    if architecture < ARCHITECTURES[0]:
        raise DeviceError(
            f"the GPU is sm_{architecture}, and the kernels need sm_{ARCHITECTURES[0]} or newer.", "Use --device cpu."
        )
    return ("tf32", "fp32", "bf16") if architecture >= TENSOR_CORES else ("fp32",)
