"""The emulator does what CUDA does: threads, barriers, warps, arithmetic; and builds as the engine needs it."""

import math

import numpy as np
import pytest

from cualex.emulator import build
from tests.emulator import BuildError, EmulationError, available, launch_text, run_text

pytestmark = pytest.mark.emulator

ENTRY = 'extern "C" __global__ void '


def test_threads_know_where_they_are(emulated):
    text = (
        ENTRY
        + """where(int* y) {
    const int block = blockIdx.x + gridDim.x * (blockIdx.y + gridDim.y * blockIdx.z);
    int* mine = y + (block * blockDim.x + threadIdx.x) * 4;
    mine[0] = blockIdx.x; mine[1] = blockIdx.y; mine[2] = blockIdx.z; mine[3] = threadIdx.x + 1000 * gridDim.z;
}"""
    )
    (y,) = run_text(emulated(), text, np.zeros((4, 3, 2, 5, 4), np.int32), grid=(2, 3, 4), block=5)
    z, y_, x, thread = np.indices((4, 3, 2, 5))
    assert np.array_equal(y, np.stack([x, y_, z, thread + 4000], -1))


ORDER = ENTRY + "order(int* next, int* y) { y[atomicAdd(next, 1)] = blockIdx.x * 100 + threadIdx.x; }"


def in_order(emulated, schedule):
    counter, places = np.zeros(1, np.int32), np.zeros(12, np.int32)
    return list(run_text(emulated(schedule=schedule), ORDER, counter, places, grid=(3,), block=4)[1])


def test_schedules(emulated):
    ascending = [100 * block + thread for block in range(3) for thread in range(4)]
    assert in_order(emulated, "ascending") == ascending
    assert in_order(emulated, "descending") == ascending[::-1]
    drawn = [in_order(emulated, seed) for seed in range(6)]
    assert all(sorted(order) == ascending for order in drawn)
    assert len(set(map(tuple, drawn))) == 6
    assert in_order(emulated, 3) == drawn[3]


SHUFFLES = """// choices: TYPE
extern "C" __global__ void shuffles(const TYPE* x, TYPE* y) {
    const int lane = threadIdx.x;
    const TYPE value = x[lane];
    y[lane] = __shfl_sync(0xffffffffu, value, 37);
    y[32 + lane] = __shfl_sync(0xffffffffu, value, lane * 3, 8);
    y[64 + lane] = __shfl_up_sync(0xffffffffu, value, 3);
    y[96 + lane] = __shfl_down_sync(0xffffffffu, value, 5, 16);
    y[128 + lane] = __shfl_xor_sync(0xffffffffu, value, 9);
    y[160 + lane] = lane < 8 ? __shfl_xor_sync(0xffu, value, 1) : __shfl_down_sync(0xffffff00u, value, 2);
}"""


@pytest.mark.parametrize("schedule", ["ascending", "descending", 7])
@pytest.mark.parametrize(
    ("word", "dtype"),
    [("int", np.int32), ("unsigned", np.uint32), ("float", np.float32), ("double", np.float64)],
)
def test_shuffles(emulated, rng, word, dtype, schedule):
    x = rng.integers(0, 1 << 31, 32).astype(dtype)
    _, y = run_text(emulated(schedule=schedule), SHUFFLES, x, np.zeros((6, 32), dtype), TYPE=word)
    lane = np.arange(32)
    down = np.where(lane + 2 < 32, lane + 2, lane)
    sources = [
        np.full(32, 5),
        lane // 8 * 8 + lane * 3 % 8,
        np.where(lane < 3, lane, lane - 3),
        np.where(lane % 16 + 5 < 16, lane + 5, lane),
        lane ^ 9,
        np.where(lane < 8, lane ^ 1, down),
    ]
    assert np.array_equal(y, x[np.stack(sources)])


def test_a_lane_that_takes_no_part_gives_poison(emulated):
    text = ENTRY + "half(float* y) { if (threadIdx.x < 16) y[threadIdx.x] = __shfl_xor_sync(0xffffu, 1.0f, 16); }"
    (y,) = run_text(emulated(), text, np.zeros(16, np.float32))
    assert np.isnan(y).all()


VOTES = (
    ENTRY
    + """votes(int* y) {
    const int thread = threadIdx.x;
    if (thread >= 90) return;
    y[thread] = __syncthreads_count(thread % 3 == 0);
    y[96 + thread] = __syncthreads_and(thread < 89) * 10 + __syncthreads_and(thread < 90);
    y[192 + thread] = __syncthreads_or(thread == 90) * 10 + __syncthreads_or(thread == 89);
    const unsigned lanes = thread < 64 ? 0xffffffffu : 0x03ffffffu;
    y[288 + thread] = __ballot_sync(lanes, thread % 5 == 0);
    y[384 + thread] = __any_sync(lanes, thread == 70) * 10 + __all_sync(lanes, thread < 64);
}"""
)


@pytest.mark.parametrize("schedule", ["ascending", "descending", 3])
def test_votes_among_threads_that_have_not_ended(emulated, schedule):
    (y,) = run_text(emulated(schedule=schedule), VOTES, np.zeros((5, 96), np.int32), block=96)
    thread = np.arange(90)
    words = [sum(1 << lane for lane in range(32) if w * 32 + lane < 90 and (w * 32 + lane) % 5 == 0) for w in range(3)]
    assert (y[0, :90] == 30).all()
    assert (y[1:3, :90] == 1).all()
    assert np.array_equal(y[3, :90].view(np.uint32), np.array(words, np.uint32)[thread // 32])
    assert np.array_equal(y[4, :90], np.array([1, 1, 10])[thread // 32])


ROUNDING = (
    ENTRY
    + """rounding(const float* x, float* y) {
    const float a = x[0], b = x[1], c = x[2];
    y[0] = __fadd_rn(__fmul_rn(a, b), c);
    y[1] = a * b + c;
    y[2] = __fmaf_rn(a, b, c);
    y[3] = fmaf(a, b, c);
    y[4] = __fsub_rn(a, b);
    y[5] = __frcp_rn(a);
    y[6] = __fsqrt_rn(a);
    y[7] = rsqrtf(a);
}"""
)


def test_operations_round_once(emulated):
    x = np.array([1 + 2**-13, 1 - 2**-13, -1], np.float32)
    a, b, c = x
    _, y = run_text(emulated(), ROUNDING, x, np.zeros(8, np.float32), block=1)
    exact = np.float32(np.float64(a) * np.float64(b) + np.float64(c))
    assert a * b + c != exact
    wanted = [
        a * b + c,
        a * b + c,
        exact,
        exact,
        a - b,
        1 / a,
        np.sqrt(a),
        np.float32(1 / np.sqrt(np.float64(a))),
    ]
    assert np.array_equal(y, np.array(wanted, np.float32))


FUNCTIONS = (
    ENTRY
    + """functions(const float* x, float* y) {
    const float a = x[threadIdx.x];
    y += threadIdx.x * 10;
    y[0] = expf(a); y[1] = __expf(a); y[2] = logf(a); y[3] = __logf(a); y[4] = powf(a, 0.75f); y[5] = __powf(a, 0.75f);
    y[6] = sqrtf(a); y[7] = fmaxf(a, 2.0f); y[8] = min(a, 2.0f); y[9] = (float)log((double)a);
}"""
)


def test_functions(emulated):
    x = np.array([0.3, 1, 2.5, 17, 0, np.nan, np.inf], np.float32)
    _, y = run_text(emulated(), FUNCTIONS, x, np.zeros((7, 10), np.float32), block=7)
    with np.errstate(divide="ignore"):
        e, log, power = np.exp(x), np.log(x), np.power(x, np.float32(0.75))
        last = np.log(x.astype(np.float64))
    wanted = [e, e, log, log, power, power, np.sqrt(x), np.fmax(x, 2), np.fmin(x, 2), last]
    assert np.allclose(y, np.stack(wanted, 1).astype(np.float32), rtol=3e-7, atol=0, equal_nan=True)


BITS = (
    ENTRY
    + """bits(const float* x, const unsigned* k, unsigned* y) {
    const float a = x[threadIdx.x];
    const unsigned b = k[threadIdx.x];
    y += threadIdx.x * 8;
    y[0] = isnan(a) * 100 + isinf(a) * 10 + isfinite(a);
    y[1] = __float_as_uint(a);
    y[2] = __float_as_uint(__uint_as_float(b));
    y[3] = __umulhi(b, 0xCD9E8D57u);
    y[4] = __popc(b);
    y[5] = __clz(b);
    y[6] = max((int)b, -5);
    y[7] = min(b, 5u);
}"""
)


def test_bits(emulated):
    x = np.array([np.nan, np.inf, -1.5, -0.0], np.float32)
    k = np.array([0, 1, 0xFFFFFFFE, 0x7FC01234], np.uint32)
    *_, y = run_text(emulated(), BITS, x, k, np.zeros((4, 8), np.uint32), block=4)
    wide = [int(value) for value in k]
    assert list(y[:, 0]) == [100, 10, 1, 1]
    assert np.array_equal(y[:, 1], x.view(np.uint32))
    assert np.array_equal(y[:, 2], k)
    assert list(y[:, 3]) == [value * 0xCD9E8D57 >> 32 for value in wide]
    assert list(y[:, 4]) == [value.bit_count() for value in wide]
    assert list(y[:, 5]) == [32 - value.bit_length() for value in wide]
    assert list(y[:, 6].view(np.int32)) == [0, 1, -2, 0x7FC01234]
    assert list(y[:, 7]) == [0, 1, 5, 5]


def test_vectors(emulated, rng):
    text = (
        ENTRY
        + """vectors(const float* x, float* y) {
    const float4 v = reinterpret_cast<const float4*>(x)[threadIdx.x];
    reinterpret_cast<float2*>(y)[2 * threadIdx.x] = make_float2(v.w, v.z);
    const uint2 bits = __ldg(reinterpret_cast<const uint2*>(x) + 2 * threadIdx.x);
    reinterpret_cast<uint2*>(y)[2 * threadIdx.x + 1] = make_uint2(bits.y, bits.x);
}"""
    )
    x = rng.standard_normal((32, 4)).astype(np.float32)
    assert np.array_equal(run_text(emulated(checked=True), text, x, np.zeros_like(x))[1], x[:, ::-1])


SCALED = """// dimensions: ROWS COLUMNS
// reals: SCALE
// choices: TURNED
extern "C" __global__ void __launch_bounds__(64) scaled(const float* x, float* y, const float* none, int row) {
    for (int column = threadIdx.x; column < COLUMNS; column += blockDim.x) {
        const int place = TURNED ? column * ROWS + row : row * COLUMNS + column;
        y[place] = x[row * COLUMNS + column] * SCALE + (none ? 1 : 0);
    }
}"""


def test_one_build_serves_every_size_but_not_every_choice(emulated, rng, monkeypatch, tmp_path):
    monkeypatch.setenv("CUALEX_CACHE", str(tmp_path))
    runtime = emulated()
    for rows, columns, scale in [(3, 5, 0.5), (2, 130, -3.0)]:
        x = rng.standard_normal((rows, columns)).astype(np.float32)
        for turned in (0, 1):
            constants = {"ROWS": rows, "COLUMNS": columns, "SCALE": scale, "TURNED": turned}
            y = np.zeros((columns, rows) if turned else x.shape, np.float32)
            _, y = run_text(runtime, SCALED, x, y, None, np.int32(1), block=64, **constants)
            wanted = np.zeros_like(x)
            wanted[1] = x[1] * np.float32(scale)
            assert np.array_equal(y.T if turned else y, wanted)
    assert len(list(tmp_path.glob("emulator/scaled-*.so"))) == 2


def test_compile_builds_what_is_missing(emulated, monkeypatch, tmp_path):
    monkeypatch.setenv("CUALEX_CACHE", str(tmp_path))
    constants = {"ROWS": 3, "COLUMNS": 5, "SCALE": 1, "TURNED": 0}
    launches = [
        launch_text(SCALED, (None, None, None, np.int32(0)), **(constants | changed))
        for changed in ({}, {"ROWS": 4}, {"TURNED": 1})
    ]
    seen = []
    emulated().compile(launches, lambda done, of: seen.append((done, of)))
    assert seen == [(1, 2), (2, 2)]
    built = {file: file.stat().st_mtime_ns for file in tmp_path.glob("emulator/scaled-*.so")}
    assert len(built) == 2
    emulated().compile(launches)
    assert {file: file.stat().st_mtime_ns for file in tmp_path.glob("emulator/scaled-*.so")} == built


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("#if ROWS > 2", '"ROWS" is not defined'),
        ("float values[ROWS];", "ROWS"),
        ("ROWS = 3;", "read-only"),
        ("y[0] = undeclared;", "undeclared"),
        ("__shared__ float tile[3];", "__shared__"),
        ("atomicAdd(y, 1.0f);", "atomics on floats are banned"),
    ],
)
def test_what_a_kernel_must_not_say(emulated, line, said):
    ending = "\n#endif" if line.startswith("#if") else ""
    text = f"// dimensions: ROWS\n{ENTRY}wrong(float* y) {{\n{line}{ending}\nstatic_assert(sizeof(values) > 0);\n}}"
    if "values" not in line:
        text = text.replace("static_assert(sizeof(values) > 0);\n", "")
    with pytest.raises(BuildError) as error:
        run_text(emulated(), text, np.zeros(3, np.float32), ROWS=3)
    assert said in str(error.value)
    assert "wrong.cu:" in str(error.value)


def test_a_block_larger_than_its_bound_is_refused(emulated):
    constants = {"ROWS": 3, "COLUMNS": 5, "SCALE": 1, "TURNED": 0}
    with pytest.raises(EmulationError, match=r"^scaled: 65 threads a block, and its bound is 64$"):
        run_text(emulated(), SCALED, None, None, None, np.int32(0), block=65, **constants)


def test_without_a_compiler_it_says_so(monkeypatch):
    monkeypatch.setattr(build.shutil, "which", lambda name: None)
    build.compiler.cache_clear()
    try:
        assert not available()
    finally:
        build.compiler.cache_clear()


def test_a_block_needs_less_than_64_kilobytes_of_stack_a_thread(emulated):
    text = (
        ENTRY
        + """deep(float* y) {
    volatile float local[20000];
    for (int i = 0; i < 20000; ++i) local[i] = i;
    __syncthreads();
    y[threadIdx.x] = local[threadIdx.x];
}"""
    )
    with pytest.raises(EmulationError, match="more than 64 KB of stack"):
        run_text(emulated(), text, np.zeros(32, np.float32))
    assert math.isfinite(run_text(emulated(), ENTRY + "fine(float* y) { y[0] = 1; }", np.zeros(1, np.float32))[0][0])
