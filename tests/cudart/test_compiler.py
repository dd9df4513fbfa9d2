"""NVRTC's rules: errors and where they are, options, headers, architectures, and the names of what was compiled."""

import re
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from tests.support.real_cupy import Code, refused

INVALID_OPTION, COMPILATION = 5, 6  # nvrtcResult
PLAIN = 'extern "C" __global__ void fill(int* y) { y[threadIdx.x] = VALUE; }\n'


def compiled(cupy, source, *options, name="kernel.cu"):
    """Compile by NVRTC's own functions; return the log and the binary, or PTX where no sm_ is asked for."""
    nvrtc = cupy.cuda.nvrtc
    program = nvrtc.createProgram(source, name, (), ())
    try:
        nvrtc.compileProgram(program, options)
        real = any("=sm_" in option for option in options)
        return nvrtc.getProgramLog(program), nvrtc.getCUBIN(program) if real else nvrtc.getPTX(program)
    finally:
        nvrtc.destroyProgram(program)


def complaint(cupy, source, *options, name="kernel.cu"):
    """Compile what does not compile; return the log."""
    nvrtc = cupy.cuda.nvrtc
    program = nvrtc.createProgram(source, name, (), ())
    try:
        with pytest.raises(nvrtc.NVRTCError) as caught:
            nvrtc.compileProgram(program, (architecture(cupy), *options))
        assert caught.value.status == COMPILATION
        return nvrtc.getProgramLog(program)
    finally:
        nvrtc.destroyProgram(program)


def architecture(cupy):
    return f"-arch=sm_{cupy.cuda.Device(0).compute_capability}"


def fill(cupy, source, name="fill", **options):
    """Run a kernel that fills three ints."""
    y = cupy.zeros(3, np.int32)
    cupy.RawModule(code=source, **options).get_function(name)((1,), (3,), (y,))
    return y.get().tolist()


# --- errors


def test_an_error_says_where_and_what(cupy):
    log = complaint(cupy, '\nextern "C" __global__ void fill(int* y) {\n    y[0] = nonsense;\n}\n')
    assert re.search(r"kernel\.cu\(3\): error: .*\bnonsense\b", log)


def test_an_error_is_where_a_line_mark_says(cupy):
    log = complaint(cupy, '#line 70 "other.cuh"\nint wrong = nonsense;\n')
    assert re.search(r"other\.cuh\(70\): error", log)


def test_a_file_without_kernels_or_sense_is_an_error(cupy):
    assert "error" in complaint(cupy, "this is no CUDA C++")


def test_a_false_static_assertion_says_its_text(cupy):
    assert "tiles must fit" in complaint(cupy, 'static_assert(sizeof(int) == 5, "tiles must fit");\n')


def test_a_stated_error_is_one(cupy):
    assert "say VALUE" in complaint(cupy, '#ifndef VALUE\n#error "say VALUE"\n#endif\n')


def test_cupy_hands_the_log_on(cupy):
    with pytest.raises(cupy.cuda.compiler.CompileException) as caught:
        cupy.RawModule(code="\n\nint wrong = nonsense;\n").get_function("fill").kernel  # noqa: B018
    assert re.search(r"\(3\): error: .*nonsense", str(caught.value))


def test_a_good_program_has_no_error_in_its_log(cupy):
    log, binary = compiled(cupy, PLAIN, architecture(cupy), "-DVALUE=1")
    assert "error" not in log
    assert len(binary) > 100


def test_compiling_goes_on_after_an_error(cupy):
    complaint(cupy, "int wrong = nonsense;")
    assert fill(cupy, PLAIN, options=("-DVALUE=4",)) == [4, 4, 4]


# --- options


@pytest.mark.parametrize(
    ("options", "value"),
    [
        (("-DVALUE=7",), 7),
        (("--define-macro=VALUE=-8",), -8),
        (("-DVALUE=(A+B)", "-DA=2", "-DB=3"), 5),
        (("-DVALUE",), 1),
    ],
)
def test_macros_are_defined(cupy, options, value):
    assert fill(cupy, PLAIN, options=options) == [value] * 3


def test_a_number_that_was_defined_is_a_constant(cupy):
    source = "#if VALUE > 2\n__device__ int table[VALUE] = {5};\n#endif\n" + PLAIN.replace("= VALUE", "= table[0]")
    assert fill(cupy, source, options=("-DVALUE=3",)) == [5, 5, 5]


@pytest.mark.parametrize(
    "option",
    [
        "--no-such-option",
        "-std=c++99",
        *("-arch=sm_11", "-arch=sm_9", "-arch=ninety"),
    ],
)
def test_an_option_that_is_none_is_refused(cupy, option):
    nvrtc = cupy.cuda.nvrtc
    program = nvrtc.createProgram(PLAIN, "kernel.cu", (), ())
    with pytest.raises(nvrtc.NVRTCError) as caught:
        nvrtc.compileProgram(program, ("-DVALUE=1", option))
    assert caught.value.status == INVALID_OPTION
    nvrtc.destroyProgram(program)


def test_what_is_compiled_for_knows_its_architecture(cupy):
    source = PLAIN.replace("VALUE", "__CUDA_ARCH__")
    assert fill(cupy, source) == [10 * int(cupy.cuda.Device(0).compute_capability)] * 3


@pytest.mark.parametrize("number", ["75", "80", "90"])
def test_architectures_that_no_gpu_here_has(cupy, number):
    source = f"#if __CUDA_ARCH__ != {number}0\n#error wrong\n#endif\n" + PLAIN
    for kind in ("compute", "sm"):
        _, made = compiled(cupy, source, f"-arch={kind}_{number}", "-DVALUE=1")
        assert made


def test_a_binary_for_a_later_architecture_is_not_loaded(cupy, tmp_path):
    later = [each for each in (80, 90, 100, 120) if each > int(cupy.cuda.Device(0).compute_capability)]
    if not later:
        pytest.skip("the compiler knows no later one")
    _, binary = compiled(cupy, PLAIN, f"-arch=sm_{later[-1]}", "-DVALUE=1")
    file = tmp_path / "later.cubin"
    file.write_bytes(binary + b"\0")  # CuPy leaves out the last byte
    with pytest.raises(cupy.cuda.driver.CUDADriverError) as caught:
        cupy.RawModule(path=str(file)).get_function("fill")
    assert caught.value.status in (200, 209)  # invalid image, no binary for this GPU


def test_a_binary_is_an_elf_file_and_ptx_is_text(cupy):
    _, binary = compiled(cupy, PLAIN, architecture(cupy), "-DVALUE=1")
    assert binary[:4] == b"\x7fELF"
    _, text = compiled(cupy, PLAIN, architecture(cupy).replace("sm_", "compute_"), "-DVALUE=1")
    assert b".version" in (text if isinstance(text, bytes) else text.encode())


def test_nvrtc_says_what_it_is_and_what_it_knows(cupy):
    nvrtc = cupy.cuda.nvrtc
    assert nvrtc.getVersion() >= (12, 0)
    known = nvrtc.getSupportedArchs()
    assert list(known) == sorted(known)
    assert int(cupy.cuda.Device(0).compute_capability) in known
    major = nvrtc.getVersion()[0]
    source = f"#if !defined(__CUDACC_RTC__) || __CUDACC_VER_MAJOR__ != {major}\n#error wrong\n#endif\n"
    compiled(cupy, source + PLAIN, architecture(cupy), "-DVALUE=1")


def test_it_is_cpp17(cupy):
    source = "static_assert(__cplusplus == 201703L);\n" + PLAIN
    assert fill(cupy, source, options=("-std=c++17", "-DVALUE=2")) == [2, 2, 2]


def test_warnings_are_no_errors(cupy):
    source = '#warning "look"\n' + PLAIN.replace("{", "{ int unused; ")
    log, _ = compiled(cupy, source, architecture(cupy), "-DVALUE=1")
    assert "error" not in log


# --- headers


def test_headers_are_found_where_an_option_says(cupy, tmp_path):
    (tmp_path / "value.cuh").write_text("#pragma once\n#define VALUE 11\n")
    for option in (f"-I{tmp_path}", f"--include-path={tmp_path}"):
        assert fill(cupy, '#include "value.cuh"\n' + PLAIN, options=(option,)) == [11] * 3


def test_headers_include_their_neighbours_and_errors_name_them(cupy, tmp_path):
    (tmp_path / "outer.cuh").write_text('#include "inner.cuh"\n')
    (tmp_path / "inner.cuh").write_text("\n\nint wrong = nonsense;\n")
    log = complaint(cupy, '#include "outer.cuh"\n' + PLAIN, f"-I{tmp_path}", "-DVALUE=1")
    assert re.search(r"inner\.cuh\(3\): error", log)


def test_a_header_that_has_changed_is_read_again(cupy, tmp_path):
    binaries = []
    for value in (1, 2):
        (tmp_path / "value.cuh").write_text(f"#define VALUE {value}\n")
        source = '#include "value.cuh"\n' + PLAIN
        binaries.append(compiled(cupy, source, architecture(cupy), f"-I{tmp_path}")[1])
    assert binaries[0] != binaries[1]


def test_a_header_that_is_not_there_is_named(cupy):
    assert "no_such.cuh" in complaint(cupy, '#include "no_such.cuh"\n' + PLAIN, "-DVALUE=1")


def test_headers_are_given_as_text(cupy):
    nvrtc = cupy.cuda.nvrtc
    source = '#include "value.cuh"\n' + PLAIN
    program = nvrtc.createProgram(source, "kernel.cu", (b"#define VALUE 3\n",), (b"value.cuh",))
    nvrtc.compileProgram(program, (architecture(cupy),))
    nvrtc.destroyProgram(program)


# --- names

TEMPLATES = """
namespace tools {
template <typename T, int N>
__global__ void fill(T* y) { y[threadIdx.x] = T(N) / 2; }
}
__global__ void overloaded(int* y) { y[threadIdx.x] = 1; }
__global__ void overloaded(float* y) { y[threadIdx.x] = 2; }
template <typename T>
__global__ void one(T* y) { y[threadIdx.x] = sizeof(T); }
"""


def test_instances_of_templates_go_by_their_expressions(cupy):
    names = ["tools::fill<float, 7>", "tools::fill<int, 7>", "one<double>", "one<short>"]
    module = cupy.RawModule(code=TEMPLATES, options=("-std=c++17",), name_expressions=names)
    for name, dtype, wanted in zip(names, (np.float32, np.int32, np.float64, np.int16), (3.5, 3, 8, 2), strict=True):
        y = cupy.zeros(3, dtype)
        module.get_function(name)((1,), (3,), (y,))
        assert y.get().tolist() == [wanted] * 3, name


def test_overloads_are_told_apart(cupy):
    names = ["(void(*)(int*))overloaded", "(void(*)(float*))overloaded"]
    module = cupy.RawModule(code=TEMPLATES, options=("-std=c++17",), name_expressions=names)
    for name, dtype, wanted in zip(names, (np.int32, np.float32), (1, 2), strict=True):
        y = cupy.zeros(3, dtype)
        module.get_function(name)((1,), (3,), (y,))
        assert y.get().tolist() == [wanted] * 3


@pytest.mark.lacking("mangled names")
def test_a_name_without_extern_c_is_mangled(cupy):
    source = "__global__ void fill(int* y) { y[threadIdx.x] = 6; }"
    module = cupy.RawModule(code=source)
    with refused(Code.NOT_FOUND):
        module.get_function("fill").kernel  # noqa: B018
    assert fill(cupy, source, name="_Z4fillPi") == [6, 6, 6]


def test_a_module_has_many_kernels(cupy):
    source = "".join(PLAIN.replace("fill", f"fill_{i}").replace("VALUE", str(i)) for i in range(5))
    module = cupy.RawModule(code=source)
    y = cupy.zeros(3, np.int32)
    for i in range(5):
        module.get_function(f"fill_{i}")((1,), (3,), (y,))
        assert y.get().tolist() == [i] * 3


def test_threads_compile_at_once(cupy):
    with ThreadPoolExecutor(4) as threads:
        jobs = [threads.submit(compiled, cupy, PLAIN, architecture(cupy), f"-DVALUE={i}") for i in range(4)]
        binaries = [job.result()[1] for job in jobs]
    assert len({bytes(binary) for binary in binaries}) == 4
