// The way back through local response normalisation, for a block's PIXELS pixels of IMAGES * ROWS * COLUMNS.
//
//     dx = dy s^-BETA - 2 ALPHA BETA x SUM of inner,    inner = dy x s^-(BETA + 1)
//
// A thread has VECTOR channels of a pixel, ROUNDS times. Shared memory holds inner, a float a value; parts of PART
// channels lie in as many planes as a vector has parts, so that no two lanes want the same bank.
#pragma once
#include "lrn.cuh"

__device__ __forceinline__ float* inner_part(float* inner, int item, int part) {
    const int parts = VECTOR / PART, plane = PIXELS * CHANNELS / VECTOR * PART;
    return inner + part % parts * plane + (item + part / parts) * PART;
}

// `gradient(dy, pixel, channel)` gives dy of the thread's channels of a pixel; it may lie where dx is written.
template <class Gradient>
__device__ __forceinline__ void lrn_back(const Value* x, Value* dx, float* inner, bool relu, Gradient gradient) {
    const int vectors = CHANNELS / VECTOR;
    const unsigned first = blockIdx.x * (unsigned)PIXELS, pixels = (unsigned)(IMAGES * ROWS * COLUMNS);
    const int left = pixels - first < (unsigned)PIXELS ? pixels - first : PIXELS, items = left * vectors;
    float own[ROUNDS][VECTOR] = {}, direct[ROUNDS][VECTOR] = {}, share[ROUNDS][VECTOR] = {};
#pragma unroll
    for (int round = 0; round < ROUNDS; ++round) {
        const int item = threadIdx.x + round * blockDim.x, channel = item % vectors * VECTOR;
        if (item >= items) break;
        const unsigned pixel = first + item / vectors;
        float base[VECTOR];
        gradient(direct[round], pixel, channel);
        lrn_base(base, own[round], x + (size_t)pixel * CHANNELS + channel, channel);
#pragma unroll
        for (int i = 0; i < VECTOR; ++i) {
            float inverse;
            direct[round][i] = __fmul_rn(direct[round][i], lrn_factor(base[i], inverse));
            share[round][i] = __fmul_rn(__fmul_rn(own[round][i], inverse), direct[round][i]);
        }
#pragma unroll
        for (int part = 0; part < VECTOR / PART; ++part) {
            float some[PART];
#pragma unroll
            for (int i = 0; i < PART; ++i) some[i] = share[round][part * PART + i];
            store_shared(inner_part(inner, item, part), some);
        }
    }
    __syncthreads();
#pragma unroll
    for (int round = 0; round < ROUNDS; ++round) {
        const int item = threadIdx.x + round * blockDim.x, channel = item % vectors * VECTOR;
        if (item >= items) break;
        float sums[VECTOR];
        window_sums(
            sums, share[round], channel,
            [&](float (&near)[PART], int offset) {
                const int vector = offset < 0 ? (offset + 1) / VECTOR - 1 : offset / VECTOR;
                load_floats(near, inner_part(inner, item + vector, (offset - vector * VECTOR) / PART));
            },
            [](float sum, float value) { return __fadd_rn(sum, value); });
#pragma unroll
        for (int i = 0; i < VECTOR; ++i) {
            const float result = fmaf(-2.0f * ALPHA * BETA * own[round][i], sums[i], direct[round][i]);
            sums[i] = relu && !(own[round][i] > 0) ? 0 : result;
        }
        store_vector(dx + ((size_t)first * CHANNELS + (size_t)item * VECTOR), sums);
    }
}
