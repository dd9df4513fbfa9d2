// Take a gradient back through normalisation within a channel: dx = dy s^-BETA - 2 ALPHA BETA x SUM of shares.
//
//     x, dy, dx: IMAGES x ROWS x COLUMNS x CHANNELS; shares: as many floats, from spatial_lrn_shares.cu; dx may be dy
//
// The sum is over WINDOW / 2 pixels to each side. A thread has VECTOR channels of a pixel. With RELU the gradient is
// that of the ReLU's input below: nothing where x is not positive.
// Cost: reads x and shares once from memory and WINDOW^2 times from the caches, dy once, writes dx once;
// 3 * WINDOW^2 + 10 operations and two reciprocal roots a value. Checked in tests/engine/test_spatial_lrn.py.
//
// dimensions: IMAGES ROWS COLUMNS CHANNELS WINDOW RELU
// reals: K ALPHA BETA
// choices: PRECISION VECTOR
#include "spatial_lrn.cuh"

extern "C" __global__ void __launch_bounds__(256)
    spatial_lrn_backward(const Value* __restrict__ x, const Value* dy, const float* __restrict__ shares, Value* dx) {
    const Own own;
    if (!own.exists()) return;
    float base[VECTOR], sums[VECTOR], values[VECTOR], given[VECTOR];
    square_base(base, own, x);
    square_sums(
        sums, own,
        [&](float (&near)[VECTOR], int offset) {
#pragma unroll
            for (int i = 0; i < VECTOR; i += RUN) {
                float some[RUN];
                load_floats(some, shares + own.place + offset + i);
#pragma unroll
                for (int j = 0; j < RUN; ++j) near[i + j] = some[j];
            }
        },
        [](float sum, float value) { return __fadd_rn(sum, value); });
    load_vector(values, x + own.place);
    load_vector(given, dy + own.place);
#pragma unroll
    for (int i = 0; i < VECTOR; ++i) {
        float inverse;
        const float direct = __fmul_rn(given[i], lrn_factor(base[i], inverse));
        const float result = fmaf(-2.0f * ALPHA * BETA * values[i], sums[i], direct);
        given[i] = RELU && !(values[i] > 0) ? 0 : result;
    }
    store_vector(dx + own.place, given);
}
