"""What rounds: pairs to bfloat16, values stored as TF32, and the reciprocal root."""

import numpy as np

from cualex.devices.stored import from_bf16, to_tf32
from tests.emulator import run_text

ROUND = """#include "common/primitives.cuh"
extern "C" __global__ void round_all(const float* x, unsigned* y) {
    y[threadIdx.x] = round_bf16_pair(x[2 * threadIdx.x], x[2 * threadIdx.x + 1]);
}"""
ROOT = """#include "common/primitives.cuh"
extern "C" __global__ void root_all(const float* x, float* y) { y[threadIdx.x] = reciprocal_root(x[threadIdx.x]); }"""
STORE = """#define PRECISION TF32
#include "common/vectors.cuh"
extern "C" __global__ void store_all(const float* x, float* one, float* four) {
    float values[4];
    load_floats(values, x + 4 * threadIdx.x);
    for (int i = 0; i < 4; ++i) store(one + 4 * threadIdx.x + i, values[i]);
    store_vector(four + 4 * threadIdx.x, values);
}"""
GRID = 2.0**-7  # the spacing of bfloat16 from 1 to 2


def test_pairs_are_rounded_to_the_nearest_and_ties_to_even(emulated, rng):
    ties = [1 + GRID / 2, 1 + 1.5 * GRID, -1 - GRID / 2, 1 + GRID / 2 + 2.0**-23, 2**-133, 3 * 2**-134]
    given = np.array([*ties, 3.4e38, -np.inf, 0.0, -0.0, *rng.normal(size=22)], np.float32)
    _, pairs = run_text(emulated(), ROUND, given, np.empty(16, np.uint32), block=16)
    found = from_bf16(pairs.view(np.uint16)).astype(np.float64)
    assert list(found[:10]) == [1, 1 + 2 * GRID, -1, 1 + GRID, 2**-133, 2**-132, np.inf, -np.inf, 0, 0]
    assert np.signbit(found[9])
    assert (np.abs(found[10:] - given[10:]) <= GRID / 2 * 2.0 ** np.floor(np.log2(np.abs(given[10:])))).all()


def test_what_is_no_number_stays_none_when_it_is_rounded(emulated):
    """The bits of a NaN whose upper half is that of infinity, and of one that would carry over to zero."""
    given = np.array([0x7F800001, 0xFFFFFFFF], np.uint32).view(np.float32)
    _, pairs = run_text(emulated(), ROUND, given, np.empty(1, np.uint32), block=1)
    assert np.isnan(from_bf16(pairs.view(np.uint16))).all()


def test_what_is_stored_as_tf32_is_rounded_to_the_nearest_and_ties_away_from_zero(emulated, rng):
    """By kernels and on the host to the same bits: the copies of weights come from both."""
    tie = 1 + 2.0**-11
    near = [tie, -tie, tie - 2.0**-23, tie + 2.0**-23, 1 + 3 * 2.0**-11, 3.4028e38, np.inf, -np.inf]
    bits = np.array([0x7F800001, 0xFF800001, 0x7FFFFFFF, 0xFFFFFFFF, 0x80000000, 1, 0xFFF, 0x1000], np.uint32)
    drawn = rng.integers(0, 2**32, 240, np.uint32)
    given = np.concatenate([np.array(near, np.float32), bits.view(np.float32), drawn.view(np.float32)])
    _, one, four = run_text(emulated(), STORE, given, *np.empty((2, 256), np.float32), block=64)
    step = 2.0**-10
    assert list(one[:8]) == [1 + step, -1 - step, 1, 1 + step, 1 + 2 * step, np.inf, np.inf, -np.inf]
    found = one.view(np.uint32)
    assert np.isnan(one[8:12]).all()
    assert list(found[12:16]) == [0x80000000, 0, 0, 0x2000]
    assert not (found & 0x1FFF).any()
    real = np.isfinite(given) & (np.abs(given) < 3.4e38) & (np.abs(given) > 2.0**-126)
    assert (np.abs(one[real].astype(np.float64) / given[real] - 1) <= 2.0**-11).all()
    np.testing.assert_array_equal(found, four.view(np.uint32))
    np.testing.assert_array_equal(found, to_tf32(given).view(np.uint32))


def test_reciprocal_root(emulated, rng):
    given = np.array([0, 2**-140, np.inf, -1, *np.exp2(rng.uniform(-126, 127, 60))], np.float32)
    _, found = run_text(emulated(), ROOT, given, np.empty(64, np.float32), block=64)
    assert list(found[:3]) == [np.inf, np.inf, 0]
    assert np.isnan(found[3])
    wanted = 1 / np.sqrt(given[4:].astype(np.float64))
    assert (np.abs(found[4:] - wanted) <= 4 * 2.0**-24 * wanted).all()  # 2 units in the last place
