"""The twins of common/primitives.cuh: the same declarations, and the meaning that PTX gives the instructions."""

import re
from pathlib import Path

import numpy as np
import pytest

from cualex import kernels
from cualex.emulator import build
from tests.emulator import EmulationError, run_text

KERNELS = Path(kernels.__file__).parent
TWIN = build.FOLDER / "primitives.cuh"
INCLUDE = '#include "common/primitives.cuh"\n'
LANE = np.arange(32)
GROUP, INSIDE = LANE // 4, LANE % 4  # g and t of the PTX manual


def declarations(path):
    """List what a header declares: the whole text of each declaration, its white space made one."""
    text = path.read_text()
    found = re.findall(r"(?:template <[^>]*>\s*)?__device__ __forceinline__ [^{]*|#define \w+\([^)]*\)", text)
    own = re.findall(r"^#undef (\w+)$", text, re.MULTILINE)  # macros that no other file sees
    shared = (each for each in found if not any(each.startswith(f"#define {name}(") for name in own))
    return sorted(" ".join(each.split()) for each in shared)


def test_the_twin_declares_the_same():
    assert declarations(TWIN) == declarations(KERNELS / "common/primitives.cuh")
    assert len(declarations(TWIN)) >= 21


MMA = (
    INCLUDE
    + """// choices: OPERATION
extern "C" __global__ void mma(const unsigned* a, const unsigned* b, float* d) {
    const int lane = threadIdx.x;
    unsigned mine[4], other[2];
    float sum[4];
    for (int i = 0; i < 4; ++i) mine[i] = a[lane * 4 + i];
    for (int i = 0; i < 2; ++i) other[i] = b[lane * 2 + i];
    for (int i = 0; i < 4; ++i) sum[i] = d[lane * 4 + i];
    OPERATION(sum, mine, other);
    OPERATION(sum, mine, other);
    for (int i = 0; i < 4; ++i) d[lane * 4 + i] = sum[i];
}"""
)


def places_of_d():
    """Say at which row and column of d a lane's four values are."""
    rows = np.stack([GROUP, GROUP, GROUP + 8, GROUP + 8], 1)
    columns = np.stack([2 * INSIDE, 2 * INSIDE + 1] * 2, 1)
    return rows, columns


def multiply(emulated, operation, a, b, d, **options):
    """Let a warp add a * b twice to d, given and returned as a matrix."""
    spread = d[places_of_d()].astype(np.float32)
    _, _, sums = run_text(emulated(**options), MMA, a, b, spread, OPERATION=operation)
    made = np.full((16, 8), np.nan, np.float32)
    made[places_of_d()] = sums
    return made


def bf16(values):
    """Return the bits of numbers that bfloat16 can hold."""
    bits = values.astype(np.float32).view(np.uint32)
    assert not (bits & 0xFFFF).any()
    return bits >> 16


@pytest.mark.parametrize("schedule", ["ascending", "descending", 5])
def test_mma_tf32(emulated, rng, schedule):
    a, b, d = (rng.integers(-9, 10, shape) for shape in ((16, 8), (8, 8), (16, 8)))
    rows, columns = np.array([0, 8, 0, 8]), np.array([0, 0, 4, 4])
    spread_a = a[GROUP[:, None] + rows, INSIDE[:, None] + columns].astype(np.float32)
    spread_b = b[INSIDE[:, None] + np.array([0, 4]), GROUP[:, None]].astype(np.float32)
    # What lies below the 10 bits behind the point must not be looked at.
    below = rng.integers(0, 1 << 13, (32, 4)).astype(np.uint32)
    bits = spread_a.view(np.uint32) | below, spread_b.view(np.uint32) | below[:, :2]
    made = multiply(emulated, "mma_tf32", *bits, d, schedule=schedule)
    assert np.array_equal(made, d + 2 * a @ b)


def test_mma_bf16(emulated, rng):
    a, b, d = (rng.integers(-9, 10, shape) for shape in ((16, 16), (16, 8), (16, 8)))
    packed_a, packed_b = np.zeros((32, 4), np.uint32), np.zeros((32, 2), np.uint32)
    for half in (0, 1):  # the lower index in the lower half of the register
        for i, (row, column) in enumerate([(0, 0), (8, 0), (0, 8), (8, 8)]):
            packed_a[:, i] |= bf16(a[GROUP + row, 2 * INSIDE + column + half]) << 16 * half
        for i in (0, 1):
            packed_b[:, i] |= bf16(b[2 * INSIDE + 8 * i + half, GROUP]) << 16 * half
    assert np.array_equal(multiply(emulated, "mma_bf16", packed_a, packed_b, d), d + 2 * a @ b)


@pytest.mark.emulator
def test_mma_needs_a_whole_warp(emulated):
    with pytest.raises(EmulationError, match="a matrix instruction needs all 32 lanes"):
        run_text(
            emulated(),
            MMA,
            *(np.zeros(128, t) for t in (np.uint32, np.uint32, np.float32)),
            OPERATION="mma_tf32",
            block=31,
        )


MATRICES = (
    INCLUDE
    + """// choices: OPERATION
extern "C" __global__ void matrices(const unsigned short* x, unsigned* y) {
    SHARED(unsigned short, tile);
    const int lane = threadIdx.x;
    for (int i = 0; i < 8; ++i) tile[lane * 16 + i] = x[lane * 8 + i];
    __syncwarp();
    unsigned values[4];
    OPERATION(values, tile + lane * 16);
    for (int i = 0; i < 4; ++i) y[lane * 4 + i] = values[i];
}"""
)


@pytest.mark.parametrize("checked", [False, True])
def test_load_matrix(emulated, rng, checked):
    x = rng.integers(0, 1 << 16, (4, 8, 8)).astype(np.uint16)  # matrix, row, column
    for operation, turned in (("load_matrix_x4", x), ("load_matrix_x4_transposed", x.transpose(0, 2, 1))):
        y = np.zeros((32, 4), np.uint32)
        _, y = run_text(emulated(checked=checked, schedule=4), MATRICES, x, y, OPERATION=operation, shared=1024)
        low, high = turned[:, GROUP, 2 * INSIDE].T, turned[:, GROUP, 2 * INSIDE + 1].T
        assert np.array_equal(y, low | high.astype(np.uint32) << 16)


@pytest.mark.emulator
def test_rows_of_matrices_must_be_aligned(emulated):
    text = MATRICES.replace("tile + lane * 16)", "tile + lane * 15)")
    with pytest.raises(EmulationError, match="address of a matrix row is misaligned") as error:
        run_text(
            emulated(),
            text,
            np.zeros(256, np.uint16),
            np.zeros(128, np.uint32),
            OPERATION="load_matrix_x4",
            shared=1024,
        )
    assert "matrices.cu:9" in str(error.value)


def test_round_tf32_is_to_nearest_with_ties_away_from_zero(emulated, rng):
    text = INCLUDE + (
        'extern "C" __global__ void round(const float* x, unsigned* y) { y[threadIdx.x] = round_tf32(x[threadIdx.x]); }'
    )
    tie = 1 + 2**-11
    x = np.array([0, 1, tie, -tie, tie - 2**-23, tie + 2**-23, 1 + 3 * 2**-11, 3.4028e38, np.inf, -np.inf], np.float32)
    x = np.concatenate([x, (rng.standard_normal(90) * 2.0 ** rng.integers(-40, 40, 90)).astype(np.float32)])
    _, y = run_text(emulated(), text, x, np.zeros(100, np.uint32), block=100)
    mantissa, exponent = np.frexp(x.astype(np.float64))
    with np.errstate(invalid="ignore"):
        wanted = np.copysign(np.floor(np.abs(mantissa) * 2**11 + 0.5), x) * 2.0 ** (exponent - 11.0)
    wanted[np.isinf(x)] = x[np.isinf(x)]
    wanted[7] = np.inf  # above the largest of TF32
    assert np.array_equal(y.view(np.float32).astype(np.float64), wanted)
    nan = np.array(
        [0x7F800001, 0xFF800001, 0x7FFFFFFF, 0xFFFFFFFF], np.uint32
    )  # the first are Inf where bits are cut off
    _, y = run_text(emulated(), text, nan.view(np.float32), np.zeros(4, np.uint32), block=4)
    assert np.isnan((y & np.uint32(0xFFFFE000)).view(np.float32)).all()


def test_round_bf16_pair_is_to_nearest_even(emulated, rng):
    text = INCLUDE + (
        'extern "C" __global__ void pairs(const float* x, unsigned* y) {\n'
        "    y[threadIdx.x] = round_bf16_pair(x[2 * threadIdx.x], x[2 * threadIdx.x + 1]);\n}"
    )
    tie = 1 + 2**-8
    x = np.array([tie, -tie, 1 + 3 * 2**-8, tie + 2**-23, np.inf, 3.4e38], np.float32)
    x = np.concatenate([x, rng.standard_normal(58).astype(np.float32)])
    _, y = run_text(emulated(), text, x, np.zeros(32, np.uint32))
    mantissa, exponent = np.frexp(x.astype(np.float64))
    wanted = np.rint(mantissa * 2**8) * 2.0 ** (exponent - 8.0)
    wanted[4:6] = np.inf
    assert np.array_equal((y.view(np.uint16).astype(np.uint32) << 16).view(np.float32), wanted.astype(np.float32))


def test_reciprocal_root(emulated):
    text = INCLUDE + (
        'extern "C" __global__ void root(const float* x, float* y) {\n'
        "    y[threadIdx.x] = reciprocal_root(x[threadIdx.x]);\n}"
    )
    x = np.array([1, 2, 1e-30, 1e30, np.inf, 0, 1e-40, -1], np.float32)
    _, y = run_text(emulated(), text, x, np.zeros(8, np.float32), block=8)
    assert np.allclose(y[:5], 1 / np.sqrt(x[:5].astype(np.float64)), rtol=2.0**-22, atol=0)
    assert np.isposinf(y[5:7]).all()  # what is smaller than a normal number counts as zero
    assert np.isnan(y[7])


COPIES = (
    INCLUDE
    + """// choices: WAIT
extern "C" __global__ void copies(const float* x, float* y) {
    SHARED(float, tile);
    const int lane = threadIdx.x;
    copy_async_16(tile + lane * 4, x + lane * 4, lane != 3);
    copy_commit();
    copy_async_4(tile + 128 + lane, x + 128 + lane, lane != 5);
    copy_commit();
    copy_wait<WAIT>();
    __syncthreads();
    for (int i = lane; i < 160; i += 32) y[i] = tile[i];
    __syncthreads();
    copy_wait<0>();
}"""
)


@pytest.mark.emulator
@pytest.mark.parametrize("schedule", ["ascending", "descending", 5])
def test_copies_arrive_only_when_they_are_waited_for(emulated, rng, schedule):
    x = rng.standard_normal(160).astype(np.float32)
    wanted = x.copy()
    wanted[12:16] = wanted[133] = 0  # what is outside
    for wait, arrived in ((0, 160), (1, 128), (2, 0)):
        runtime = emulated(schedule=schedule)
        _, y = run_text(runtime, COPIES, x, np.zeros(160, np.float32), WAIT=wait, shared=640)
        assert np.array_equal(y[:arrived], wanted[:arrived])
        assert np.isnan(y[arrived:]).all()


def test_copies_bring_what_is_inside_and_zeros_for_the_rest(emulated, rng):
    x = rng.standard_normal(160).astype(np.float32)
    wanted = x.copy()
    wanted[12:16] = wanted[133] = 0
    _, y = run_text(emulated(), COPIES, x, np.full(160, np.nan, np.float32), WAIT=0, shared=640)
    assert np.array_equal(y, wanted)


def test_loads_of_16_bytes_bring_zeros_for_what_is_outside(emulated, rng):
    text = INCLUDE + (
        'extern "C" __global__ void load(const unsigned* x, unsigned* y) {\n'
        "    const unsigned* place = threadIdx.x == 3 ? nullptr : x + 4 * threadIdx.x;\n"
        "    store_global_16(y + 4 * threadIdx.x, load_global_16(place, threadIdx.x != 3));\n}"
    )
    x = rng.integers(0, 2**32, 128, np.uint32)
    wanted = x.copy()
    wanted[12:16] = 0
    _, y = run_text(emulated(), text, x, np.ones(128, np.uint32))
    assert np.array_equal(y, wanted)
