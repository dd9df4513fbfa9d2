// What the kernels of local response normalisation share (cualex/engine/cuda/lrn.py has the formulas).
//
// Wants VECTOR, the dimensions CHANNELS and WINDOW (n of the formula), and the reals K, ALPHA and BETA. A thread has
// VECTOR channels of a pixel in a row; it reads its neighbours' in parts of PART channels, and only those that its
// windows reach. Sums run from the lower channel to the higher and every operation rounds once: every kernel gives s
// the same bits.
#pragma once
#include "lrn_factor.cuh"
#include "vectors.cuh"

#define PART (VECTOR == 1 ? 1 : 4)

// Add PART neighbours, the first of them `offset` channels from the thread's first, to the sums that they belong to.
template <class Add>
__device__ __forceinline__ void add_near(float (&sums)[VECTOR], const float* near, int offset, Add add) {
#pragma unroll
    for (int j = 0; j < PART; ++j) {
#pragma unroll
        for (int i = 0; i < VECTOR; ++i) {
            const int distance = offset + j - i;
            if (distance >= -(WINDOW / 2) && distance <= WINDOW / 2) sums[i] = add(sums[i], near[j]);
        }
    }
}

// Sum what lies at most WINDOW / 2 channels from each of the thread's own; `load(near, offset)` gives PART neighbours.
// A part lies within the channels or outside, as VECTOR divides CHANNELS.
template <class Load, class Add>
__device__ __forceinline__ void window_sums(float (&sums)[VECTOR], const float (&own)[VECTOR], int channel, Load load,
                                            Add add) {
    const int parts = (WINDOW / 2 + PART - 1) / PART;
    float near[PART];
#pragma unroll
    for (int i = 0; i < VECTOR; ++i) sums[i] = 0;
#pragma unroll 2
    for (int offset = -parts * PART; offset < 0; offset += PART) {
        if (channel + offset < 0) continue;
        load(near, offset);
        add_near(sums, near, offset, add);
    }
#pragma unroll
    for (int offset = 0; offset < VECTOR; offset += PART) add_near(sums, own + offset, offset, add);
#pragma unroll 2
    for (int offset = VECTOR; offset < VECTOR + parts * PART; offset += PART) {
        if (channel + offset >= CHANNELS) break;
        load(near, offset);
        add_near(sums, near, offset, add);
    }
}

// Read the thread's own channels, and make s = K + ALPHA * SUM of squares; `place` is where they begin. The neighbours
// come out of the L1 cache.
__device__ __forceinline__ void lrn_base(float (&base)[VECTOR], float (&own)[VECTOR], const Value* place, int channel) {
    load_vector(own, place);
    window_sums(
        base, own, channel, [&](float (&near)[PART], int offset) { load_vector(near, place + offset); },
        [](float sum, float value) { return fmaf(value, value, sum); });
#pragma unroll
    for (int i = 0; i < VECTOR; ++i) base[i] = fmaf(ALPHA, base[i], K);
}

// y = x * s^-BETA for the thread's own channels.
__device__ __forceinline__ void lrn_normalise(float (&y)[VECTOR], const Value* place, int channel) {
    float base[VECTOR], inverse;
    lrn_base(base, y, place, channel);
#pragma unroll
    for (int i = 0; i < VECTOR; ++i) y[i] = __fmul_rn(y[i], lrn_factor(base[i], inverse));
}
