"""CUDA's rules of launches: arguments, indices, limits of blocks and shared memory, modules and names."""

import gc

import numpy as np
import pytest

from tests.support.real_cupy import SIZE, Code, add, empty, kernel, put, refused, values

KIB = 1 << 10
ARGUMENTS = r"""
struct Pair { int first; double second; };

extern "C" __global__ void take(signed char i8, unsigned char u8, short i16, unsigned short u16, int i32,
                                unsigned u32, long long i64, unsigned long long u64, float f32, double f64, bool truth,
                                Pair pair, const float* there, const float* nowhere, double* y) {
    y[0] = i8; y[1] = u8; y[2] = i16; y[3] = u16; y[4] = i32; y[5] = u32;
    y[6] = (double)i64; y[7] = (double)u64; y[8] = f32; y[9] = f64; y[10] = truth;
    y[11] = pair.first; y[12] = pair.second; y[13] = there[0]; y[14] = nowhere == nullptr;
}

extern "C" __global__ void take_numbers(long long whole, double real, bool truth, double* y) {
    y[0] = (double)whole; y[1] = real; y[2] = truth;
}

extern "C" __global__ void nothing() {}
extern "C" __global__ void without_asking() {}
extern "C" __global__ void asking() {}
extern "C" __global__ void asking_for_all() {}
extern "C" __global__ void asking_on_each() {}

extern "C" __global__ void where(int* y) {
    const unsigned block = blockIdx.x + gridDim.x * (blockIdx.y + gridDim.y * blockIdx.z);
    const unsigned thread = threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z);
    int* mine = y + 12 * (block * blockDim.x * blockDim.y * blockDim.z + thread);
    mine[0] = blockIdx.x; mine[1] = blockIdx.y; mine[2] = blockIdx.z;
    mine[3] = threadIdx.x; mine[4] = threadIdx.y; mine[5] = threadIdx.z;
    mine[6] = gridDim.x; mine[7] = gridDim.y; mine[8] = gridDim.z;
    mine[9] = blockDim.x; mine[10] = blockDim.y; mine[11] = blockDim.z;
}

extern "C" __global__ void count(unsigned* y) {
    if (threadIdx.x + threadIdx.y + threadIdx.z == 0) atomicAdd(y, 1u);
}

extern "C" __global__ void __launch_bounds__(64) bounded(unsigned* y) { atomicAdd(y, 1u); }
"""


@pytest.fixture
def functions(cupy):
    """Return a module's functions by name, on the current GPU."""
    return cupy.RawModule(code=ARGUMENTS).get_function


# --- arguments


def test_arguments_of_every_type_arrive(cupy, functions):
    pair = np.dtype([("first", np.int32), ("second", np.float64)], align=True)
    numbers = [
        np.int8(-7),
        np.uint8(250),
        np.int16(-30000),
        np.uint16(65000),
        np.int32(-(2**31)),
        np.uint32(2**32 - 1),
        np.int64(-(2**52)),
        np.uint64(2**53),
        np.float32(0.1),
        np.float64(0.1),
        np.bool_(True),
    ]
    y = cupy.zeros(15, np.float64)
    there = put(values(42))
    functions("take")((1,), (1,), (*numbers, np.array((-5, 2.5), pair), there, None, y))
    assert y.get().tolist() == [*map(float, numbers), -5, 2.5, 42, 1]


def test_numbers_of_python_are_long_double_and_bool(cupy, functions):
    y = cupy.zeros(3, np.float64)
    functions("take_numbers")((1,), (1,), (-(2**40), 0.1, True, y))
    assert y.get().tolist() == [-(2.0**40), 0.1, 1]


def test_arguments_are_taken_at_the_call(cupy):
    """A number that the host changes later has gone along already."""
    x, y = put(values()), empty()
    number = np.array(5, np.float32)
    kernel("add")((1,), (SIZE,), (x, y, number))
    number[...] = 9
    assert (y.get() == values(5)).all()


def test_a_view_begins_where_it_begins(cupy):
    x, y = put(values()), empty()
    kernel("add")((1,), (8,), (x[16:], y[3:], np.float32(0)))
    wanted = np.full(SIZE, -1, np.float32)
    wanted[3:11] = values()[16:24]
    assert (y.get() == wanted).all()


def test_a_kernel_may_have_no_arguments(cupy, functions):
    functions("nothing")((3,), (5,), ())
    cupy.cuda.runtime.deviceSynchronize()


def test_an_array_of_numpy_is_refused_by_cupy(cupy):
    with pytest.raises(TypeError, match="pass a numpy"):
        kernel("add")((1,), (SIZE,), (values(), empty(), np.float32(0)))


# --- indices and limits


def test_every_thread_knows_where_it_is(cupy, functions):
    grid, block = (3, 2, 4), (5, 3, 2)
    y = cupy.zeros((24 * 30, 12), np.int32)
    functions("where")(grid, block, (y,))
    found = {tuple(row) for row in y.get().tolist()}
    wanted = {(*position, *thread, *grid, *block) for position in np.ndindex(*grid) for thread in np.ndindex(*block)}
    assert found == wanted


@pytest.mark.parametrize("block", [(1024,), (1, 1024), (1, 1, 64), (16, 8, 8), (32, 32)])
def test_blocks_up_to_the_limit_run(cupy, functions, block):
    y = cupy.zeros(1, np.uint32)
    functions("count")((3,), block, (y,))
    assert y.get() == 3


@pytest.mark.parametrize("block", [(1025,), (1, 1025), (1, 1, 65), (32, 32, 2)])
def test_blocks_over_the_limit_are_refused(cupy, functions, block):
    y = cupy.zeros(1, np.uint32)
    with refused(Code.INVALID_VALUE):
        functions("count")((1,), block, (y,))
    assert y.get() == 0


@pytest.mark.parametrize("grid", [(70000,), (1, 65535), (1, 1, 65535)])
def test_grids_up_to_the_limit_run(cupy, functions, grid):
    y = cupy.zeros(1, np.uint32)
    functions("count")(grid, (1,), (y,))
    assert y.get() == np.prod(grid)


@pytest.mark.parametrize("grid", [(1, 65536), (1, 1, 65536)])
def test_grids_over_the_limit_are_refused(cupy, functions, grid):
    y = cupy.zeros(1, np.uint32)
    with refused(Code.INVALID_VALUE):
        functions("count")(grid, (1,), (y,))
    assert y.get() == 0


def test_a_block_over_its_launch_bounds_is_refused(cupy, functions):
    """Which of two codes it is, no page says."""
    y = cupy.zeros(1, np.uint32)
    assert functions("bounded").max_threads_per_block == 64
    functions("bounded")((1,), (64,), (y,))
    with refused(Code.INVALID_VALUE, Code.OUT_OF_RESOURCES):
        functions("bounded")((1,), (96,), (y,))
    assert y.get() == 64


def test_a_kernel_runs_after_one_that_was_refused(cupy, functions):
    y = cupy.zeros(1, np.uint32)
    with refused(Code.INVALID_VALUE):
        functions("count")((1,), (1025,), (y,))
    functions("count")((2,), (1024,), (y,))
    assert y.get() == 2


# --- shared memory


# Each test takes a kernel of its own: what is set of one stays set.


def test_shared_memory_up_to_48_kib_is_there_for_all(cupy, functions):
    function = functions("without_asking")
    function((1,), (1,), (), shared_mem=48 * KIB)
    cupy.cuda.runtime.deviceSynchronize()


def test_more_shared_memory_must_be_asked_for(cupy, functions):
    function = functions("asking")
    with refused(Code.INVALID_VALUE):
        function((1,), (1,), (), shared_mem=48 * KIB + 4)
    function.max_dynamic_shared_size_bytes = 64 * KIB
    assert function.max_dynamic_shared_size_bytes == 64 * KIB
    function((1,), (1,), (), shared_mem=64 * KIB)
    with refused(Code.INVALID_VALUE):
        function((1,), (1,), (), shared_mem=64 * KIB + 4)
    cupy.cuda.runtime.deviceSynchronize()
    function.max_dynamic_shared_size_bytes = 0  # the module is kept, and has to be asked again


def test_no_more_shared_memory_can_be_asked_for_than_there_is(cupy, functions):
    function = functions("asking_for_all")
    most = cupy.cuda.runtime.getDeviceProperties(0)["sharedMemPerBlockOptin"]
    function.max_dynamic_shared_size_bytes = most
    function((1,), (1,), (), shared_mem=most)
    with refused(Code.INVALID_VALUE):
        function.max_dynamic_shared_size_bytes = most + 4
    cupy.cuda.runtime.deviceSynchronize()


def test_shared_memory_is_asked_for_on_each_device(two_gpus, functions):
    function = functions("asking_on_each")
    function.max_dynamic_shared_size_bytes = 64 * KIB
    function((1,), (1,), (), shared_mem=64 * KIB)
    with two_gpus.cuda.Device(1):
        with refused(Code.INVALID_VALUE):
            function((1,), (1,), (), shared_mem=64 * KIB)
        function.max_dynamic_shared_size_bytes = 64 * KIB
        function((1,), (1,), (), shared_mem=64 * KIB)
        two_gpus.cuda.runtime.deviceSynchronize()
        function.max_dynamic_shared_size_bytes = 0


def test_threads_of_a_block_share_memory(cupy):
    x, y = put(values()), empty()
    kernel("through_shared")((1,), (SIZE,), (x, y, np.uint32(SIZE - 1)), shared_mem=4 * SIZE)
    assert (y.get() == 2 * values()).all()


# --- modules


def test_a_function_of_another_device_is_refused(two_gpus):
    """A kernel is a Function of one GPU's module, which CuPy loads for the current one."""
    function = kernel("add").kernel
    with two_gpus.cuda.Device(1):
        x, y = put(values()), empty()
        with refused(Code.INVALID_HANDLE, Code.INVALID_CONTEXT):
            function((1,), (SIZE,), (x, y, np.float32(1)))
        two_gpus.cuda.runtime.deviceSynchronize()
        assert (y.get() == -1).all()


def test_a_raw_kernel_is_loaded_on_every_device(two_gpus):
    made = two_gpus.RawKernel(ARGUMENTS, "count")
    for index in (0, 1):
        with two_gpus.cuda.Device(index):
            y = two_gpus.zeros(1, np.uint32)
            made((7,), (2,), (y,))
            assert y.get() == 7


def test_a_name_that_is_not_there_is_not_found(cupy, functions):
    with refused(Code.NOT_FOUND):
        functions("no_such_kernel").kernel  # noqa: B018  (found at its first use)


def test_a_module_comes_from_a_file(cupy, tmp_path):
    from cupy.cuda import compiler

    architecture = cupy.cuda.Device().compute_capability
    binary, _ = compiler.compile_using_nvrtc(ARGUMENTS, options=("-std=c++17",), arch=architecture)
    file = tmp_path / "kernels.cubin"
    file.write_bytes(binary + b"\0")  # CuPy leaves out the last byte
    y = cupy.zeros(1, np.uint32)
    cupy.RawModule(path=str(file)).get_function("count")((5,), (1,), (y,))
    assert y.get() == 5


def test_a_file_that_is_not_there_is_not_found(cupy, tmp_path):
    with refused(Code.FILE_NOT_FOUND):
        cupy.RawModule(path=str(tmp_path / "none.cubin")).get_function("count").kernel  # noqa: B018


@pytest.mark.parametrize("content", [b"no binary at all\0", b"\x7fELF" + bytes(200)])
def test_a_file_that_is_no_binary_is_refused(cupy, tmp_path, content):
    """As an image, or as PTX that does not parse: 200, 218 and others."""
    file = tmp_path / "kernels.cubin"
    file.write_bytes(content)
    with pytest.raises(cupy.cuda.driver.CUDADriverError) as caught:
        cupy.RawModule(path=str(file)).get_function("count").kernel  # noqa: B018
    assert 200 <= caught.value.status < 300
    add(put(values()), empty())
    cupy.cuda.runtime.deviceSynchronize()


def test_a_loaded_module_stays_while_its_function_does(cupy):
    function = cupy.RawModule(code=ARGUMENTS).get_function("count").kernel
    gc.collect()
    y = cupy.zeros(1, np.uint32)
    function((9,), (1,), (y,))
    assert y.get() == 9
