"""What a function that CuPy has loaded is asked for: shared memory."""

from contextlib import nullcontext
from types import SimpleNamespace

import numpy as np
import pytest

from cualex.devices.cuda import CudaDevice
from cualex.devices.cupy_runtime import CupyRuntime
from cualex.engine.cuda import dense
from cualex.kernels import STATIC_SHARED, Launch, find, functions

CARVEOUT = 9  # CU_FUNC_ATTRIBUTE_PREFERRED_SHARED_MEMORY_CARVEOUT


class Raw:
    """A function that notes what it is asked for."""

    kernel = "loaded"

    def __init__(self, name):
        self.name = name


@pytest.mark.parametrize(("shared", "asked"), [(STATIC_SHARED - 16, None), (STATIC_SHARED, STATIC_SHARED)])
def test_48_kib_of_shared_memory_are_asked_for(monkeypatch, tmp_path, shared, asked):
    """As CUTLASS does: where CUDA keeps some of them for itself, a kernel cannot have so much without asking."""
    loaded = []
    module = SimpleNamespace(get_function=lambda name: loaded.append(Raw(name)) or loaded[-1])
    binaries = SimpleNamespace(make=lambda *_: tmp_path / "a.cubin")
    found = functions.Functions(SimpleNamespace(RawModule=lambda path: module), binaries, lambda _: nullcontext())
    monkeypatch.setattr(functions, "architecture", lambda cupy, device: 90)
    found.find(
        Launch(find("relu_forward"), (), (1, 1, 1), 32, shared, {"COUNT": 1, "VECTOR": 1, "PRECISION": "FP32"}), 0
    )
    assert getattr(loaded[0], "max_dynamic_shared_size_bytes", None) == asked
    assert not hasattr(loaded[0], "preferred_shared_memory_carveout")


def test_gemms_prefer_shared_memory_to_a_cache(cupy):
    gpu = CudaDevice("cuda:0", CupyRuntime(), 0, "fp32")
    x, weight, y = gpu.allocate((4, 64)), gpu.allocate((1, 64, 64)), gpu.allocate((1, 4, 64))
    bias = gpu.allocate((1, 64), zero=True)
    gpu.upload(x, np.ones((4, 64)))
    gpu.upload(weight, np.ones((1, 64, 64)))
    run, launches = gpu.prepare(lambda: dense.forward(gpu, [x], weight, bias, y))
    run()
    assert (gpu.download(y) == 64).all()
    (gemm,) = [launch for launch in launches if launch.kernel.gemm]
    function = gpu.runtime._functions.find(gemm, 0)
    assert cupy.cuda.driver.funcGetAttribute(CARVEOUT, function.ptr) == 100
