"""The primitives that round: pairs to bfloat16, and the reciprocal root."""

import numpy as np

from cualex.devices.stored import from_bf16
from tests.emulator import run_text

ROUND = """#include "common/primitives.cuh"
extern "C" __global__ void round_all(const float* x, unsigned* y) {
    y[threadIdx.x] = round_bf16_pair(x[2 * threadIdx.x], x[2 * threadIdx.x + 1]);
}"""
ROOT = """#include "common/primitives.cuh"
extern "C" __global__ void root_all(const float* x, float* y) { y[threadIdx.x] = reciprocal_root(x[threadIdx.x]); }"""
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


def test_reciprocal_root(emulated, rng):
    given = np.array([0, 2**-140, np.inf, -1, *np.exp2(rng.uniform(-126, 127, 60))], np.float32)
    _, found = run_text(emulated(), ROOT, given, np.empty(64, np.float32), block=64)
    assert list(found[:3]) == [np.inf, np.inf, 0]
    assert np.isnan(found[3])
    wanted = 1 / np.sqrt(given[4:].astype(np.float64))
    assert (np.abs(found[4:] - wanted) <= 4 * 2.0**-24 * wanted).all()  # 2 units in the last place
