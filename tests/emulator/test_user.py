"""Kernels of users: each planted fault is found, at its line, and what is right is left in peace."""

import doctest
import os
import re
import signal
import subprocess
import sys

import numpy as np
import pytest

from cualex import emulator
from cualex.emulator import build
from cualex.errors import KernelError, UsageError

pytestmark = [pytest.mark.emulator, pytest.mark.usefixtures("gxx")]

# One program of many kernels, so that g++ runs once: `which` says which fault. Threads: 64, in two blocks.
FAULTS = """// Each part ends with its name.
__device__ unsigned count = 0;
__global__ void faults(int which, const float* x, float* y, int n, const float* none) {
    __shared__ float tile[64];
    __shared__ unsigned total, last;
    extern __shared__ float more[];
    const int t = threadIdx.x, i = blockIdx.x * blockDim.x + t;
    if (t == 0) total = 0;
    tile[t] = which == 1 && t == 5 ? 0 : x[i];
    more[t] = 1;
    if (which != 2) __syncthreads();
    float sum = tile[63 - t];  // 2 race
    if (which == 3) sum = x[i + 1];  // 3 out of bounds
    if (which == 4 && i == n - 1) y[i + 1] = 0;  // 4 out of bounds
    if (which == 5 && t == 63) tile[t + 1] = sum;  // 5 out of bounds
    if (which == 6) more[t + 1] = sum;  // 6 out of bounds
    if (which == 7 && t < 32)
        __syncthreads();  // 7 divergent barrier
    if (which == 8) {
        if (t < 32) __syncthreads();  // 8 divergent barrier
        else __syncthreads();
    }
    if (which == 9 && t > 40) return;
    __syncthreads();  // 9 divergent barrier
    if (which == 10) sum += none[t];  // 10 null pointer
    if (which == 11) y[1 << 30] = 1;  // 11 out of bounds
    if (which == 12) sum += reinterpret_cast<const float2*>(x + 1)->x;  // 12 misaligned address
    if (which == 13) y[0] = sum;  // 13 race
    if (which == 14) sum = __shfl_xor_sync(0xffffffffu, t < 32 ? sum : 1.0f, 1);
    if (which == 25 && t < 16) sum = __shfl_xor_sync(0xffffu, sum, 16);  // 25 uninitialised read
    if (which == 15) while (n) y[i] = sum;  // 15 endless loop
    if (which == 16) {
        if (t == 0) total = 1;
        atomicAdd(&total, 1u);  // 16 race
    }
    if (which == 17) atomicAdd(&total, 1u);
    if (which == 18) {
        float local[4] = {};
        for (int k = 0; k <= n / 32; ++k) local[k] += sum;  // 18 out of bounds
        sum = local[t % 4];
    }
    if (which == 19 || which == 20) {
        if (t == 0) {
            y[i] = sum;
            if (which == 20) __threadfence();
            last = atomicAdd(&count, 1u) % 2;
        }
        __syncthreads();
        if (t == 0 && last) sum = y[0] + y[64];  // 19 race
    } else {
        y[i] = sum;
    }
    if (which == 24 && t == 0) {
        __threadfence();
        sum = y[64 - 64 * blockIdx.x];  // 24 race
    }
    if (which == 21) atomicAdd(&y[0], 1.0f);  // 21 race
    if (which == 22) atomicAdd(&y[n], 1.0f);  // 22 out of bounds
    __syncthreads();
    if (which == 17 && t == 0) y[i] = total;
    if (which == 23 && t == 1) printf("%d of %d: %s %.1f\\n", i, n, "sum", sum);
}
"""
KINDS = {
    int(number): (line, kind)
    for line, text in enumerate(FAULTS.split("\n"), 1)
    for number, _, kind in [text.partition("  // ")[2].partition(" ")]
    if number.isdigit()
}
SEVERAL = [2, 7, 8, 9, 13, 16, 19, 21, 24]  # barriers and races have two sides, and either comes first
SCHEDULES = [3, *(pytest.param(each, marks=pytest.mark.slow) for each in ("ascending", "descending"))]
CLEAN = [0, 14, 17, 20, 23]


def faults(which, **options):
    x = np.arange(128, dtype=np.float32)
    given = (which, x, "zeros(128)", 128, None)
    return emulator.run(FAULTS, *given, grid=2, block=64, shared=256, **{"steps": 100_000, **options})


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("which", sorted(KINDS))
def test_a_planted_fault_is_found_at_its_line(which, schedule):
    line, kind = KINDS[which]
    found = faults(which, schedule=schedule).findings
    sides = {(each.kind, at) for each in found for at in (each.line, each.other_line)}
    sides |= {(each.kind, int(at)) for each in found for at in re.findall(r"at line (\d+)", each.text)}
    assert (kind, line) in sides, [str(each) for each in found]
    assert {each.file for each in found} == {"kernel.cu"}
    if which not in SEVERAL:
        assert [(each.kind, each.line) for each in found] == [(kind, line)], [str(each) for each in found]


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("which", CLEAN)
def test_what_is_right_is_left_in_peace(which, schedule):
    report = faults(which, schedule=schedule)
    assert [str(each) for each in report.findings] == []
    assert report.complete
    x = np.arange(128, dtype=np.float32)
    wanted = x.reshape(2, 64)[:, ::-1].ravel().copy()
    if which == 14:
        wanted = x.reshape(2, 64)[:, ::-1].ravel()[np.arange(128) ^ 1]
        wanted.reshape(2, 64)[:, 32:] = 1
    if which == 17:
        wanted[::64] = 64
    if which != 20:
        assert np.array_equal(report.arrays["y"], wanted)
    assert np.array_equal(report.arrays["x"], x)
    printed = ["1 of 128: sum 62.0", "65 of 128: sum 126.0"] if which == 23 else []
    assert sorted(report.printed.splitlines()) == printed
    assert (report.static_shared, report.dynamic_shared) == (264, 256)


def test_a_finding_tells_what_and_who():
    (found,) = faults(3).findings
    assert str(found) == f"kernel.cu:{KINDS[3][0]}: out of bounds: reads x[128], which has 128 elements"
    assert (found.block, found.thread, found.count) == ((1, 0, 0), (63, 0, 0), 1)
    assert found.source == FAULTS.split("\n")[KINDS[3][0] - 1].strip()
    (found,) = faults(13).findings[:1]
    assert "the other access is in line" in found.text
    assert found.other_line == KINDS[13][0]


def test_every_run_begins_with_variables_as_they_are_declared():
    text = "__device__ int runs = 7;\n__global__ void k(int* y) { y[0] = ++runs; }"
    assert [emulator.run(text, "zeros(1)", block=1).arrays["y"].tolist() for _ in range(3)] == [[8]] * 3


def test_the_example_of_the_docstring_runs():
    (test,) = doctest.DocTestFinder(recurse=False).find(emulator.run, "run", globs={"np": np})
    assert len(test.examples) == 4
    told = []
    doctest.DocTestRunner().run(test, out=told.append)
    assert told == []


def test_a_race_of_an_atomic_function_and_of_a_fence_that_nobody_waits_for():
    """In ascending order these sides come last: a fence alone brings nothing into order."""
    (found,) = faults(21).findings
    assert (found.line, found.other_line) == (KINDS[21][0], KINDS[21][0] - 6)
    assert found.text.startswith(
        "an atomic function changes what another thread has written since the last barrier, y[0]"
    )
    texts = [each.text for each in faults(24).findings if each.line == KINDS[24][0]]
    assert [text.partition(", y[0]")[0] for text in texts] == ["reads what another block of this launch has written"]


COSTS = """__global__ void costs(const float* x, float* y) {
    __shared__ float tile[32][STRIDE];
    const int lane = threadIdx.x;
    for (int row = 0; row < 32; ++row) tile[row][lane] = x[32 * row + lane];
    __syncthreads();
    float sum = 0;
    for (int column = 0; column < 32; ++column) sum += tile[lane][column];  // conflicts
    y[8 * lane] = sum;  // sectors
}
"""


@pytest.mark.parametrize(("stride", "turns"), [(32, 32), (33, 1)])
def test_bank_conflicts_and_sectors_by_line(stride, turns):
    report = emulator.run(COSTS, "random(1024)", "zeros(256)", defines={"STRIDE": stride})
    counted = {
        (each.line, each.memory, each.access): (each.requests, each.cost, each.ideal) for each in report.requests
    }
    assert counted == {
        (4, "global", "read"): (32, 128, 128),
        (4, "shared", "write"): (32, 32, 32),
        (7, "shared", "read"): (32, 32 * turns, 32),
        (8, "global", "write"): (1, 32, 4),
    }
    assert [each.line for each in report.conflicts] == ([7] if turns > 1 else [])
    assert report.requests[-1].note == "12 % of the sectors used"
    assert np.allclose(report.arrays["y"][::8], report.arrays["x"].reshape(32, 32).sum(1))


TEMPLATE = """#include "scale.cuh"
template <typename T, int N>
__global__ void __launch_bounds__(N) move(const T* __restrict__ x, T* y, T by, float4 v) {
    __shared__ T tile[N];  // of each type its own
    tile[threadIdx.x] = x[threadIdx.x + N * blockIdx.x];
    __syncthreads();
    y[threadIdx.x + N * blockIdx.x] = scale(tile[N - 1 - threadIdx.x], by) + T(v.w);
}
"""


@pytest.mark.parametrize(
    ("word", "dtype"), [("float", np.float32), ("half", np.float16), ("__nv_bfloat16", np.float32), ("int", np.int32)]
)
def test_templates_headers_and_small_types(tmp_path, word, dtype):
    (tmp_path / "scale.cuh").write_text(
        "#pragma once\n#include <cuda_fp16.h>\n#include <cuda_bf16.h>\n"
        "template <class T> __device__ T scale(T a, T by) { return a * by; }\n"
    )
    (tmp_path / "move.cu").write_text(TEMPLATE)
    x = np.arange(64).astype(dtype)
    options = {"kernel": f"move<{word}, 32>", "grid": 2, "block": 32}
    report = emulator.run(tmp_path / "move.cu", x, "zeros(64)", 3, (0, 0, 0, 7), **options)
    assert report.findings == []
    assert np.array_equal(report.arrays["y"], 3 * x.reshape(2, 32)[:, ::-1].ravel() + dtype(7))
    assert report.kernel == f"move<{word}, 32>"
    if word == "int":
        with pytest.raises(UsageError, match=r"^argument `T\* y` is a pointer, and 3 is no array"):
            emulator.run(tmp_path / "move.cu", x, 3, 3, (0, 0, 0, 7), **options)


HALVES = """#include <cuda_fp16.h>
__global__ void halves(const float* x, half* y, half* sums, const unsigned short* bits, float* wide) {
    const int i = blockIdx.x * 1024 + threadIdx.x;
    y[i] = __float2half(x[i]);
    wide[i] = __half2float(reinterpret_cast<const half*>(bits)[i]);
    sums[i] = reinterpret_cast<const half*>(bits)[i] * y[i] + __hfma(y[i], y[i], y[i]);
}
"""


def test_half_has_the_bits_of_ieee(rng):
    bits = np.arange(1 << 16, dtype=np.uint16)
    x = (rng.standard_normal(1 << 16) * 2.0 ** rng.integers(-28, 18, 1 << 16)).astype(np.float32)
    ties = bits.view(np.float16)[:30000:7].astype(np.float32) * np.float32(1 + 2**-11)
    x[: ties.size] = ties
    report = emulator.run(HALVES, x, "zeros(65536)", "zeros(65536)", bits, "zeros(65536)", grid=64, block=1024)
    assert report.findings == []
    with np.errstate(over="ignore", invalid="ignore"):
        y = x.astype(np.float16)
        wide = y.astype(np.float64)
        added = (bits.view(np.float16) * y) + (wide * wide + wide).astype(np.float16)
    assert np.array_equal(report.arrays["y"].view(np.uint16), y.view(np.uint16))
    assert np.array_equal(report.arrays["wide"], bits.view(np.float16).astype(np.float32), equal_nan=True)
    assert np.array_equal(report.arrays["sums"], added, equal_nan=True)


def test_what_nobody_has_written_is_found():
    text = "__global__ void k(const float* x, float* y) {\n    y[threadIdx.x] = x[threadIdx.x];\n}"
    (found,) = emulator.run(text, "empty(32)", "empty(32)").findings
    assert str(found) == "kernel.cu:2: uninitialised read: reads what nobody has written, x[0]"
    assert found.count == 32


SPIN = """__global__ void spin(int* lock, int* y) {
    if (threadIdx.x % 32 == 0) {
        while (atomicCAS(lock, 0, 1) != 0) {}
        atomicAdd(y, 1);
        __syncwarp(1u);
        atomicExch(lock, 0);
    } else if (threadIdx.x == 1) {
        atomicExch(lock, 0);
    }
}
"""


def test_threads_that_wait_for_others_in_a_loop_let_them_run():
    """The lock is taken at first, and thread 1 frees it; thread 0 comes first."""
    report = emulator.run(SPIN, np.int32([1]), "zeros(1)", block=64)
    assert report.complete
    assert report.arrays["y"] == [2]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_kernel(number):
    """The handler that Python had is called, as soon as the kernel has ended."""
    heard = []

    def stop(given, frame):
        heard.append(given)
        raise KeyboardInterrupt

    before = signal.signal(number, stop)
    code = f"import os, time; time.sleep(0.5); os.kill({os.getpid()}, {int(number)})"
    sender = subprocess.Popen([sys.executable, "-S", "-c", code])
    try:
        with pytest.raises(KeyboardInterrupt):
            faults(15, steps=10**15)
    finally:
        sender.wait()
        signal.signal(number, before)
    assert heard == [number]


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("y[0] = q + 1;", "kernel.cu:3: 'q' was not declared in this scope: y[0] = q + 1;"),
        ("y[0] = helper(1);", "helper (line 1) is the host's: kernels see what is marked __device__."),
        ("y[0] = __vadd4(1, 2);", "The emulator does not have __vadd4."),
        ("float s; for (int i = 0; i < 4; ++i) s += y[i]; y[0] = s;", "kernel.cu:3: 's' is used uninitialized"),
    ],
)
def test_what_the_compiler_refuses_is_told_with_the_line(body, said):
    with pytest.raises(KernelError) as error:
        emulator.run(f"float helper(float a) {{ return a; }}\n__global__ void k(float* y) {{\n{body}\n}}", "zeros(4)")
    assert said in str(error.value)
    assert "error:" in error.value.details


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"block": 1025}, "--block 1025: expected 1 to 3 numbers from 1 to 1024, 1024, 64."),
        ({"block": (32, 64)}, "--block 32,64,1: 2,048 threads, and a block has at most 1,024."),
        ({"grid": 0}, "--grid 0: expected 1 to 3 numbers from 1 to 2147483647, 65535, 65535."),
        ({"grid": 1 << 20, "block": 1024}, "1,073,741,824 threads, and the emulator runs 16,777,216. Choose a smaller"),
        ({"shared": 300_000}, "264 bytes of __shared__ variables and 300,000 of --shared: a block has 49,152 of"),
    ],
)
def test_sizes_that_no_gpu_has_are_refused(options, said):
    given = {"grid": 1, "block": 64, "shared": 256, **options}
    with pytest.raises(UsageError) as error:
        emulator.run(FAULTS, 0, "zeros(64)", "zeros(64)", 64, None, **given)
    assert said in str(error.value)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"schedule": "foo"}, "--schedule 'foo': expected ascending, descending"),
        ({"shared": -4}, "--shared -4: expected"),
    ],
)
def test_options_are_checked_from_python_too(options, said):
    with pytest.raises(UsageError, match=said):
        emulator.run("__global__ void k(float* y) { y[0] = 1; }", "zeros(1)", **options)


def test_a_misaligned_store_is_one_fault_of_that_kind():
    """The machine's signal was told as out of bounds, beside the check's finding."""
    text = "__global__ void k(float* y) { *(float4*)(y + 1) = make_float4(1, 2, 3, 4); }"
    found = emulator.run(text, "zeros(16)", block=1).findings
    assert [each.kind for each in found] == ["misaligned address"]


def test_an_empty_macro_is_empty():
    text = "#define TEXT(x) #x\n__global__ void k(int* y) { y[0] = 1 QUIET + 1; }"
    assert emulator.run(text, "zeros(1)", block=1, defines={"QUIET": ""}).arrays["y"][0] == 2


def test_launch_bounds_are_kept():
    text = "#define MOST 64\n__global__ void __launch_bounds__(MOST) k(float* y) { *y = 1; }"
    with pytest.raises(UsageError, match=r"^--block: 65 threads, and __launch_bounds__ of k says 64\.$"):
        emulator.run(text, "zeros(1)", block=65)


def test_without_a_compiler_it_says_so(monkeypatch):
    monkeypatch.setattr(build, "compiler", lambda: "")
    with pytest.raises(KernelError) as error:
        emulator.run("__global__ void k(float* y) {}", "zeros(1)")
    assert str(error.value) == (
        "the emulator needs Linux and g++, which is not here. Install it, as by: apt install g++"
    )


def test_no_file(tmp_path):
    with pytest.raises(UsageError, match=r"lost\.cu: there is no such file\.$"):
        emulator.run(tmp_path / "lost.cu")
    with pytest.raises(UsageError, match=r"is a directory: name a \.cu file\.$"):
        emulator.run(tmp_path)
