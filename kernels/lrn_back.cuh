// The way back through local response normalisation, for a block's PIXELS pixels of IMAGES * ROWS * COLUMNS.
#pragma once
#include "lrn.cuh"

//     dx = dy s^-BETA - 2 ALPHA BETA x SUM of inner,    inner = dy x s^-(BETA + 1)
//
// `gradient(dy, pixel, channel)` gives dy. What is summed is worked out once a value, in the first loop; shared memory
// holds dy s^-BETA, then inner: two floats a value.
template <class Gradient>
__device__ __forceinline__ void lrn_back(const Value* x, Value* dx, float* direct, bool relu, Gradient gradient) {
    const int vectors = CHANNELS / VECTOR, items = PIXELS * vectors;
    const unsigned first = blockIdx.x * (unsigned)PIXELS, pixels = (unsigned)(IMAGES * ROWS * COLUMNS);
    float* inner = direct + PIXELS * CHANNELS;
    for (int item = threadIdx.x; item < items; item += blockDim.x) {
        const unsigned pixel = first + item / vectors;
        const int channel = item % vectors * VECTOR;
        if (pixel >= pixels) break;
        const Value* place = x + (size_t)pixel * CHANNELS;
        float own[VECTOR], base[VECTOR], dy[VECTOR], share[VECTOR];
        gradient(dy, pixel, channel);
        lrn_base(base, place, channel);
        load_vector(own, place + channel);
#pragma unroll
        for (int i = 0; i < VECTOR; ++i) {
            float inverse;
            dy[i] = __fmul_rn(dy[i], lrn_factor(base[i], inverse));
            share[i] = __fmul_rn(__fmul_rn(own[i], inverse), dy[i]);
        }
        store_floats(direct + item * VECTOR, dy);
        store_floats(inner + item * VECTOR, share);
    }
    __syncthreads();
    for (int item = threadIdx.x; item < items; item += blockDim.x) {
        const unsigned pixel = first + item / vectors;
        const int channel = item % vectors * VECTOR;
        if (pixel >= pixels) break;
        const size_t place = (size_t)pixel * CHANNELS + channel;
        float own[VECTOR], sums[VECTOR], result[VECTOR];
        window_sums(sums, channel, [&](float (&near)[VECTOR], int other) {
            load_floats(near, inner + item * VECTOR + other - channel);
        });
        load_floats(result, direct + item * VECTOR);
        load_vector(own, x + place);
#pragma unroll
        for (int i = 0; i < VECTOR; ++i) {
            result[i] = fmaf(-2.0f * ALPHA * BETA * own[i], sums[i], result[i]);
            if (relu && !(own[i] > 0)) result[i] = 0;
        }
        store_vector(dx + place, result);
    }
}
