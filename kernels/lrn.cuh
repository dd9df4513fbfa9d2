// What the kernels of local response normalisation share (cualex/engine/cuda/lrn.py has the formulas).
//
// Wants VECTOR, the dimensions CHANNELS and WINDOW (n of the formula), and the reals K, ALPHA and BETA. A thread has
// VECTOR channels of a pixel in a row. Sums run from the lower channel to the higher, and no product is contracted
// into them: every kernel gives s the same bits.
#pragma once
#include "vectors.cuh"

// Sum what lies at most WINDOW / 2 channels from each of the thread's own; `values(near, first)` gives the VECTOR
// that start at channel `first`. A vector lies within the channels or outside, as VECTOR divides CHANNELS.
template <class Values>
__device__ __forceinline__ void window_sums(float (&sums)[VECTOR], int channel, Values values) {
    const int half = WINDOW / 2, reach = (half + VECTOR - 1) / VECTOR;
#pragma unroll
    for (int i = 0; i < VECTOR; ++i) sums[i] = 0;
#pragma unroll 5
    for (int step = -reach; step <= reach; ++step) {
        const int first = channel + step * VECTOR;
        if (first < 0 || first >= CHANNELS) continue;
        float near[VECTOR];
        values(near, first);
#pragma unroll
        for (int j = 0; j < VECTOR; ++j) {
#pragma unroll
            for (int i = 0; i < VECTOR; ++i) {
                const int distance = step * VECTOR + j - i;
                if (distance >= -half && distance <= half) sums[i] = __fadd_rn(sums[i], near[j]);
            }
        }
    }
}

// s = K + ALPHA * SUM of squares, for the thread's own channels of a pixel; the neighbours come out of the L1 cache.
__device__ __forceinline__ void lrn_base(float (&base)[VECTOR], const Value* pixel, int channel) {
    window_sums(base, channel, [&](float (&near)[VECTOR], int first) {
        load_vector(near, pixel + first);
#pragma unroll
        for (int i = 0; i < VECTOR; ++i) near[i] = __fmul_rn(near[i], near[i]);
    });
#pragma unroll
    for (int i = 0; i < VECTOR; ++i) base[i] = fmaf(ALPHA, base[i], K);
}

// s^-BETA and 1 / s. At the paper's 3/4 two reciprocal roots do it: with r = s^-1/2, s^-3/4 = r^2 * r^-1/2. An infinite
// sum of squares gives what is not a number, which the loss then shows.
__device__ __forceinline__ float lrn_factor(float base, float& inverse) {
    if (BETA == 0.75f) {
        const float root = rsqrtf(base);
        inverse = __fmul_rn(root, root);
        return __fmul_rn(inverse, rsqrtf(root));
    }
    inverse = 1.0f / base;
    return powf(base, -BETA);
}

// y = x * s^-BETA for the thread's own channels of a pixel.
__device__ __forceinline__ void lrn_normalise(float (&y)[VECTOR], const Value* pixel, int channel) {
    float base[VECTOR], inverse;
    lrn_base(base, pixel, channel);
    load_vector(y, pixel + channel);
#pragma unroll
    for (int i = 0; i < VECTOR; ++i) y[i] = __fmul_rn(y[i], lrn_factor(base[i], inverse));
}
