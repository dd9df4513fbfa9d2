"""What a GPU's hardware can do: the peaks of known cards, and the call of cuBLAS, on a cuBLAS of a few lines."""

import ctypes
import sys
import types

import numpy as np
import pytest

from cualex.benchmark.matmul_rate import CudaYardstick
from cualex.devices import hardware_rates
from cualex.devices.cuda import CudaDevice
from cualex.devices.stored import from_bf16, to_bf16

CARDS = [  # architecture, name, multiprocessors, MHz, precision, TFLOP/s of the data sheet
    (75, "Tesla T4", 40, 1590, "fp32", 8.1),
    (80, "NVIDIA A100-SXM4-80GB", 108, 1410, "fp32", 19.5),
    (80, "NVIDIA A100-SXM4-80GB", 108, 1410, "tf32", 156),
    (80, "NVIDIA A100-SXM4-80GB", 108, 1410, "bf16", 312),
    (86, "NVIDIA GeForce RTX 3090", 82, 1695, "fp32", 35.6),
    (86, "NVIDIA GeForce RTX 3090", 82, 1695, "bf16", 71),
    (86, "NVIDIA A40", 84, 1740, "bf16", 149.7),
    (89, "NVIDIA GeForce RTX 4090", 128, 2520, "bf16", 165.2),
    (89, "NVIDIA L40S", 142, 2520, "tf32", 183),
    (90, "NVIDIA H100 80GB HBM3", 132, 1830, "tf32", 494.7),
    (90, "NVIDIA H200", 132, 1830, "bf16", 989.4),
    (120, "NVIDIA GeForce RTX 5090", 170, 2407, "bf16", 209.5),
]


def machine(clock, count):
    values = {hardware_rates.CLOCK: 1000 * clock, hardware_rates.MULTIPROCESSORS: count}
    runtime = types.SimpleNamespace(deviceGetAttribute=lambda number, device: values[number])
    return types.SimpleNamespace(cuda=types.SimpleNamespace(runtime=runtime))


@pytest.mark.parametrize("card", CARDS, ids=lambda card: f"{card[1]} {card[4]}")
def test_the_peak_is_that_of_the_data_sheet(card):
    architecture, title, count, clock, precision, tera = card
    found = hardware_rates.peak(machine(clock, count), 0, architecture, title, precision)
    assert found == pytest.approx(1e12 * tera, rel=0.015)


def test_of_a_kind_that_is_not_known_no_peak_is_said():
    assert hardware_rates.peak(machine(1000, 1), 0, 110, "a card of tomorrow", "bf16") is None
    assert hardware_rates.peak(machine(1000, 1), 0, 75, "Tesla T4", "bf16") is None


class FakeBlas(types.ModuleType):
    """cuBLAS on the memory of NumPy's arrays, by columns, as it documents cublasGemmEx."""

    CUBLAS_OP_N, CUBLAS_OP_T, CUBLAS_GEMM_DEFAULT = 0, 1, -1
    CUBLAS_COMPUTE_32F, CUBLAS_COMPUTE_32F_FAST_TF32 = 68, 77

    def __init__(self, fails=False):
        super().__init__("cublas")
        self.called, self.fails = [], fails

    def setStream(self, handle, stream):
        self.called.append((handle, stream))

    def gemmEx(
        self, handle, op_a, op_b, m, n, k, alpha, a, type_a, ld_a, b, type_b, ld_b, beta, c, type_c, ld_c, sums, _
    ):
        if self.fails:
            raise RuntimeError("CUBLAS_STATUS_NOT_SUPPORTED")
        self.called.append((type_a, type_b, type_c, sums))
        assert (scalar(alpha), scalar(beta)) == (1, 0)
        first = by_columns(a, type_a, ld_a, k if op_a else m, m if op_a else k)
        second = by_columns(b, type_b, ld_b, n if op_b else k, k if op_b else n)
        product = (first.T if op_a else first) @ (second.T if op_b else second)
        columns = np.ascontiguousarray(product.T)
        stored = columns if type_c == 0 else to_bf16(columns)
        assert (stored.shape, ld_c) == ((n, m), m)
        ctypes.memmove(c, stored.ctypes.data, stored.nbytes)


def scalar(address):
    return ctypes.c_float.from_address(address).value


def by_columns(address, kind, leading, rows, columns):
    """Read a matrix that lies by columns."""
    word = ctypes.c_float if kind == 0 else ctypes.c_uint16
    flat = np.ctypeslib.as_array((word * (leading * columns)).from_address(address))
    values = flat if kind == 0 else from_bf16(flat)
    return values.reshape(columns, leading)[:, :rows].T


def on_gpu(values):
    return types.SimpleNamespace(shape=values.shape, data=types.SimpleNamespace(ptr=values.ctypes.data), values=values)


CUPY = types.SimpleNamespace(
    cuda=types.SimpleNamespace(
        device=types.SimpleNamespace(get_cublas_handle=lambda: 7),
        runtime=types.SimpleNamespace(CUDA_R_32F=0, CUDA_R_16BF=14),
    )
)
STREAM = types.SimpleNamespace(ptr=5)


@pytest.mark.parametrize(("precision", "kind", "sums"), [("fp32", 0, 68), ("tf32", 0, 77), ("bf16", 14, 68)])
def test_cublas_computes_what_our_kernel_would(monkeypatch, rng, precision, kind, sums):
    blas = FakeBlas()
    monkeypatch.setitem(sys.modules, "cupy_backends.cuda.libs", types.SimpleNamespace(cublas=blas))
    x, weight = rng.integers(-8, 9, (2, 16, 16)).astype(np.float32)
    stored = [each if kind == 0 else to_bf16(each) for each in (x, weight, np.zeros((16, 16), np.float32))]
    queue = hardware_rates.matmul(CUPY, STREAM, precision, *map(on_gpu, stored))
    queue()
    assert blas.called == [(7, 5), (kind, kind, kind, sums)] * 2
    y = stored[2] if kind == 0 else from_bf16(stored[2])
    np.testing.assert_array_equal(y, x @ weight.T)


@pytest.mark.parametrize("missing", [True, False])
def test_without_a_cublas_that_works_there_is_none(monkeypatch, missing):
    home = types.SimpleNamespace() if missing else types.SimpleNamespace(cublas=FakeBlas(fails=True))
    monkeypatch.setitem(sys.modules, "cupy_backends.cuda.libs", home)
    values = on_gpu(np.zeros((4, 4), np.float32))
    assert hardware_rates.matmul(CUPY, STREAM, "fp32", values, values, values) is None


def test_the_yardstick_of_a_gpu_is_never_our_kernel_where_the_hardware_is_known(emulated):
    """Finding the roof by the kernels below it would flatter them."""
    runtime = emulated()
    runtime.matmul, runtime.peak = lambda *_: None, lambda device, precision: 5e12
    device = CudaDevice("cuda:0", runtime, 0, "fp32")
    made = CudaYardstick(device, 64)
    assert made.rate() == 5e12
    assert "fp32 peak of the hardware" in made.how
    calls = []
    runtime.matmul = lambda stream, precision, x, weight, y: lambda: calls.append(precision)
    made = CudaYardstick(device, 64)
    assert made.rate() > 0
    assert calls == ["fp32"] * 6
    assert made.how == "a fp32 matmul of 64 x 64 by cuBLAS"
