// Normalise within a channel: y = x / (K + ALPHA * SUM of x^2 over WINDOW / 2 pixels to each side)^BETA.
//
//     x, y: IMAGES x ROWS x COLUMNS x CHANNELS; an image is a picture of one tower
//
// A thread has VECTOR channels of a pixel. Cost: reads x once from memory and WINDOW^2 times from the caches, writes y
// once; 2 * WINDOW^2 + 6 operations and two reciprocal roots a value. Checked in tests/engine/test_spatial_lrn.py.
//
// dimensions: IMAGES ROWS COLUMNS CHANNELS WINDOW
// reals: K ALPHA BETA
// choices: PRECISION VECTOR
#include "spatial_lrn.cuh"

extern "C" __global__ void __launch_bounds__(256)
    spatial_lrn_forward(const Value* __restrict__ x, Value* __restrict__ y) {
    const Own own;
    if (!own.exists()) return;
    float base[VECTOR], values[VECTOR], inverse;
    square_base(base, own, x);
    load_vector(values, x + own.place);
#pragma unroll
    for (int i = 0; i < VECTOR; ++i) values[i] = __fmul_rn(values[i], lrn_factor(base[i], inverse));
    store_vector(y + own.place, values);
}
