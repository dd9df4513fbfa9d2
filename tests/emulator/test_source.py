"""A user's .cu: what is the host's goes, lines stay, and what is not emulated is refused by its name and line."""

import pytest

from cualex.emulator import source
from cualex.errors import KernelError, UsageError

PROGRAM = """#include <cuda_runtime.h>
#include <vector>
#include <cuda_fp16.h>
#define CHECK(call) do { cudaError_t e = (call); if (e) printf("}"); } while (0)
/* a comment with { and
   __global__ void not_this(int n) */
struct Pair { float a, b; __device__ float sum() const { return a + b; } };
struct Host { std::vector<float> x; void grow() { x.push_back(1); } };
std::vector<int> list;
constexpr int twice(int n) { return 2 * n; }
__device__ inline float square(float a) { return a * a; }
static void host(std::vector<float>& x) { x.push_back('{'); }
namespace inner {
template <typename T, int N = 4>
__global__ void __launch_bounds__(N * twice(2), 2) first(const T* __restrict__ x, T* y, int n = 3) {
    extern __shared__ T tile[];
    static __shared__ float other[N];
}
}  // namespace inner
extern "C" __global__ void __launch_bounds__(128)
second(float4 v,
       unsigned long long count) {}
int main() {
    inner::first<float><<<1, 2>>>(nullptr, nullptr);
    CHECK(cudaDeviceSynchronize());
}
"""


@pytest.fixture
def program(tmp_path):
    return source.read("program.cu", PROGRAM, tmp_path)


def test_kernels_are_found(program):
    first, second = program.kernels
    assert first == source.UserKernel(
        "inner::first",
        ("x", "y", "n"),
        ("const T* __restrict__ x", "T* y", "int n = 3"),
        "typename T, int N = 4",
        "",
        14,
    )
    assert second == source.UserKernel(
        "second", ("v", "count"), ("float4 v", "unsigned long long count"), "", "128", 20
    )


def test_what_is_the_hosts_goes_and_lines_stay(program):
    assert program.host == {"Host": 8, "host": 12, "main": 23}
    kept = program.text
    assert "<<<" not in kept
    assert "vector" not in kept
    for word in ("Pair", "twice", "square", "CHECK", '#include "half.h"'):
        assert word in kept
    assert 'extern T tile[] __asm__("cualex_dynamic")' in kept
    assert "    __shared__ float other[N];" in kept
    for part in kept.split("#line ")[1:]:
        number, _, rest = part.partition(" ")
        for offset, line in enumerate(rest.split("\n")[1:-1]):
            if "square(float" in line:
                assert int(number) + offset == 11


def test_headers_of_the_user_are_put_in_once(tmp_path):
    (tmp_path / "a.cuh").write_text('#pragma once\n#include "sub/b.cuh"\n__device__ int a() { return b(); }\n')
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub/b.cuh").write_text('#pragma once\n#include "../a.cuh"\n__device__ int b() { return 1; }\n')
    read = source.read(
        "k.cu", '#include "a.cuh"\n#include "a.cuh"\n__global__ void k(int* y) { *y = a(); }\n', tmp_path
    )
    assert read.text.count("int a()") == read.text.count("int b()") == 1
    assert set(read.files) == {"k.cu", "a.cuh", "b.cuh"}
    assert read.line("b.cuh", 3) == "__device__ int b() { return 1; }"
    assert '\n#line 2 "k.cu"' in read.text


@pytest.mark.parametrize(
    ("name", "said"),
    [
        (None, "there are 2 kernels: choose one with --kernel: inner::first, second."),
        ("third", "there is no kernel 'third'; there are inner::first, second."),
        ("first", "inner::first is a template of <typename T, int N = 4>: say which is meant, as in"),
    ],
)
def test_a_kernel_must_be_meant(program, name, said):
    with pytest.raises(UsageError) as error:
        program.kernel(name)
    assert said in str(error.value)
    assert program.kernel("second") is program.kernels[1]
    assert program.kernel("first<float, 8>") is program.kernels[0]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('asm volatile("bar.sync 0;");', "inline PTX (asm) is not emulated"),
        ("auto g = cooperative_groups::this_grid();", "cooperative groups are not emulated"),
        ("nvcuda::wmma::fill_fragment(f, 0);", "tensor cores by wmma are not emulated"),
        ("k<<<1, 2>>>(y);", "a launch from a kernel is not emulated"),
        ("y[0] = tex2D<float>(t, 0, 0);", "textures are not emulated"),
        ("y[0] = clock64();", "the emulator has no time of a GPU"),
        ("y[0] = __activemask();", "no program may rely on __activemask()"),
        ("float* p = new float[3];", "memory is not allocated in kernels here"),
        ("float* p = (float*)malloc(3);", "memory is not allocated in kernels here"),
    ],
)
def test_what_is_not_emulated_is_refused_by_line(tmp_path, line, said):
    text = f"__global__ void k(float* y) {{\n    // {line}\n    {line}\n}}\n"
    with pytest.raises(KernelError) as error:
        source.read("k.cu", text, tmp_path)
    assert str(error.value).startswith(f"k.cu:3: {said}")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("#include <mma.h>\n", "k.cu:1: the emulator has no header mma.h."),
        ('int a;\n#include "lost.cuh"\n', "k.cu:2: the emulator has no header lost.cuh."),
        ("__global__ void k(float* y) {\n if (y) {\n}\n", "k.cu:1: the brace that opens here is not closed."),
    ],
)
def test_a_file_that_is_not_whole_is_refused(tmp_path, text, said):
    with pytest.raises(KernelError) as error:
        source.read("k.cu", text, tmp_path)
    assert str(error.value) == said


def test_a_file_without_a_kernel_is_refused(tmp_path):
    with pytest.raises(KernelError, match=r"^there is no kernel here: a function marked __global__ void is one\.$"):
        source.read("k.cu", "int main() { return 0; }", tmp_path).kernel(None)


def test_marks_behind_macros_are_read(tmp_path):
    """`#define HD __host__ __device__` is in most headers that host and device share."""
    (tmp_path / "common.h").write_text('#define KERNEL extern "C" __global__ void\n')
    text = """#include "common.h"
#define HD __host__ \\
    __device__
#define SIZE 4
HD float twice(float x) { return 2 * x; }
float of_the_host(float x) { return x; }
KERNEL k(float* y) { y[threadIdx.x] = twice(SIZE); }
"""
    read = source.read("k.cu", text, tmp_path)
    assert [(each.name, each.line) for each in read.kernels] == [("k", 7)]
    assert list(read.host) == ["of_the_host"]
    assert "twice(float x)" in read.text


def test_a_deleted_function_takes_no_memory(tmp_path):
    text = "struct P { P() = default; P(const P&) = delete; P(P&&) =delete; };\n__global__ void k(int* y) { *y = 1; }\n"
    assert source.read("k.cu", text, tmp_path).kernels
    with pytest.raises(KernelError, match=r"k\.cu:1: memory is not allocated in kernels"):
        source.read("k.cu", "__global__ void k(int* y) { delete y; }\n", tmp_path)
