// What each pixel adds to the gradients of those around it: shares = dy x s^-(BETA + 1), s that of normalisation within
// a channel.
//
//     x, dy: IMAGES x ROWS x COLUMNS x CHANNELS; shares: as many floats
//
// A thread has VECTOR channels of a pixel. Cost: reads x once from memory and WINDOW^2 times from the caches, dy once,
// writes shares once; 2 * WINDOW^2 + 8 operations and two reciprocal roots a value.
// Checked in tests/engine/test_spatial_lrn.py.
//
// dimensions: IMAGES ROWS COLUMNS CHANNELS WINDOW
// reals: K ALPHA BETA
// choices: PRECISION VECTOR
#include "spatial_lrn.cuh"

extern "C" __global__ void __launch_bounds__(256)
    spatial_lrn_shares(const Value* __restrict__ x, const Value* __restrict__ dy, float* __restrict__ shares) {
    const Own own;
    if (!own.exists()) return;
    float base[VECTOR], values[VECTOR], given[VECTOR];
    square_base(base, own, x);
    load_vector(values, x + own.place);
    load_vector(given, dy + own.place);
#pragma unroll
    for (int i = 0; i < VECTOR; ++i) {
        float inverse;
        const float direct = __fmul_rn(given[i], lrn_factor(base[i], inverse));
        values[i] = __fmul_rn(__fmul_rn(values[i], inverse), direct);
    }
#pragma unroll
    for (int i = 0; i < VECTOR; i += RUN) {
        float some[RUN];
#pragma unroll
        for (int j = 0; j < RUN; ++j) some[j] = values[i + j];
        store_floats(shares + own.place + i, some);
    }
}
