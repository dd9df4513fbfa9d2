// Shared by the kernels of local response normalisation: the factor s^-BETA (both kinds), and, across channels, the
// sums over windows, y, and dx. lrn.cu has the formulas.
//
// A thread has VECTOR contiguous channels of a pixel; it reads neighbouring channels PART at a time, and only those
// that its windows contain. WINDOW is n of the formula. Sums run from the lower channel to the higher and every
// operation rounds once: every kernel gives s the same bits.
//
// expects: VECTOR CHANNELS WINDOW K ALPHA BETA
#pragma once
#include "common/primitives.cuh"
#include "common/vectors.cuh"

#define SMALLEST_NORMAL __uint_as_float(0x00800000u)
#define LARGEST_FLOAT __uint_as_float(0x7f7fffffu)

// Return s^-BETA, and 1 / s in `inverse`. At the paper's BETA of 3/4 two reciprocal roots suffice: with r = s^-1/2,
// s^-3/4 = r^2 * r^-1/2. A window of zeros with K = 0 gives 0 and 0; the roots flush subnormal numbers to zero, so these
// count as zeros too. A sum of squares that overflows gives 0 and 0 as well; the roots would give 0 * inf.
__device__ __forceinline__ float lrn_factor(float base, float& inverse) {
    if ((K == 0 && base < SMALLEST_NORMAL) || base > LARGEST_FLOAT) {
        inverse = 0;
        return 0;
    }
    if (BETA == 0.75f) {
        const float root = reciprocal_root(base);
        inverse = __fmul_rn(root, root);
        return __fmul_rn(inverse, reciprocal_root(root));
    }
    inverse = 1.0f / base;
    return powf(base, -BETA);
}

// y = x * factor; NaN where the square of x itself overflows, so that this reaches the loss, and its neighbours do not.
__device__ __forceinline__ float lrn_value(float x, float base, float factor) {
    return base > LARGEST_FLOAT ? __fmul_rn(__fmul_rn(x, x), 0.0f) : __fmul_rn(x, factor);
}

#define PART (VECTOR == 1 ? 1 : 4)

// Add PART neighbours, the first `offset` channels from the thread's first, to the sums whose windows have them.
template <class Add>
__device__ __forceinline__ void add_neighbours(float (&sums)[VECTOR], const float* neighbours, int offset, Add add) {
#pragma unroll
    for (int j = 0; j < PART; ++j) {
#pragma unroll
        for (int i = 0; i < VECTOR; ++i) {
            const int distance = offset + j - i;
            if (distance >= -(WINDOW / 2) && distance <= WINDOW / 2) sums[i] = add(sums[i], neighbours[j]);
        }
    }
}

// Sum over the window of WINDOW channels around each of the thread's; `load(neighbours, offset)` reads PART neighbours,
// which are all inside the channels or all outside, as VECTOR divides CHANNELS.
template <class Load, class Add>
__device__ __forceinline__ void window_sums(float (&sums)[VECTOR], const float (&centre)[VECTOR], int channel,
                                            Load load, Add add) {
    const int parts = (WINDOW / 2 + PART - 1) / PART;
    float neighbours[PART];
#pragma unroll
    for (int i = 0; i < VECTOR; ++i) sums[i] = 0;
#pragma unroll 2
    for (int offset = -parts * PART; offset < 0; offset += PART) {
        if (channel + offset < 0) continue;
        load(neighbours, offset);
        add_neighbours(sums, neighbours, offset, add);
    }
#pragma unroll
    for (int offset = 0; offset < VECTOR; offset += PART) add_neighbours(sums, centre + offset, offset, add);
#pragma unroll 2
    for (int offset = VECTOR; offset < VECTOR + parts * PART; offset += PART) {
        if (channel + offset >= CHANNELS) break;
        load(neighbours, offset);
        add_neighbours(sums, neighbours, offset, add);
    }
}

// Read the thread's channels from `source` on, and compute s = K + ALPHA * SUM of squares. The neighbours are in the L1
// cache.
__device__ __forceinline__ void lrn_base(float (&base)[VECTOR], float (&centre)[VECTOR], const Value* source,
                                         int channel) {
    load_vector(centre, source);
    window_sums(
        base, centre, channel, [&](float (&neighbours)[PART], int offset) { load_vector(neighbours, source + offset); },
        [](float sum, float value) { return fmaf(value, value, sum); });
#pragma unroll
    for (int i = 0; i < VECTOR; ++i) base[i] = fmaf(ALPHA, base[i], K);
}

// y = x * s^-BETA for the thread's channels.
__device__ __forceinline__ void lrn_normalise(float (&y)[VECTOR], const Value* source, int channel) {
    float base[VECTOR], inverse;
    lrn_base(base, y, source, channel);
#pragma unroll
    for (int i = 0; i < VECTOR; ++i) y[i] = lrn_value(y[i], base[i], lrn_factor(base[i], inverse));
}

// Return the address of PART of an item's summands in shared memory, a float a value: in as many planes as a vector has
// parts, so that no two lanes access the same bank. `pixels` are those of a block.
__device__ __forceinline__ float* inner_part(float* inner, int pixels, int item, int part) {
    const int parts = VECTOR / PART, plane = pixels * CHANNELS / VECTOR * PART;
    return inner + part % parts * plane + (item + part / parts) * PART;
}

// dx for a block's `block_pixels` of all `pixels`; a thread has VECTOR channels of a pixel, `rounds` times.
//
//     dx = dy s^-BETA - 2 ALPHA BETA x SUM of inner,    inner = dy x s^-(BETA + 1)
//
// `gradient(dy, pixel, channel)` gives dy of the thread's channels of a pixel; it may lie where dx is written. With
// `relu` the gradient is that of the input of the ReLU below. `inner` is shared memory, a float a value.
template <int rounds, class Gradient>
__device__ __forceinline__ void lrn_back(const Value* x, Value* dx, float* inner, int block_pixels, int pixels,
                                         bool relu, Gradient gradient) {
    const int vectors = CHANNELS / VECTOR;
    const unsigned first = blockIdx.x * (unsigned)block_pixels, rest = (unsigned)pixels - first;
    const int left = rest < (unsigned)block_pixels ? rest : block_pixels, items = left * vectors;
    float centre[rounds][VECTOR] = {}, direct[rounds][VECTOR] = {}, summand[rounds][VECTOR] = {};
#pragma unroll
    for (int round = 0; round < rounds; ++round) {
        const int item = threadIdx.x + round * blockDim.x, channel = item % vectors * VECTOR;
        if (item >= items) break;
        const unsigned pixel = first + item / vectors;
        float base[VECTOR];
        gradient(direct[round], pixel, channel);
        lrn_base(base, centre[round], x + (size_t)pixel * CHANNELS + channel, channel);
#pragma unroll
        for (int i = 0; i < VECTOR; ++i) {
            float inverse;
            direct[round][i] = __fmul_rn(direct[round][i], lrn_factor(base[i], inverse));
            summand[round][i] = __fmul_rn(__fmul_rn(centre[round][i], inverse), direct[round][i]);
        }
#pragma unroll
        for (int part = 0; part < VECTOR / PART; ++part) {
            float group[PART];
#pragma unroll
            for (int i = 0; i < PART; ++i) group[i] = summand[round][part * PART + i];
            store_shared(inner_part(inner, block_pixels, item, part), group);
        }
    }
    __syncthreads();
#pragma unroll
    for (int round = 0; round < rounds; ++round) {
        const int item = threadIdx.x + round * blockDim.x, channel = item % vectors * VECTOR;
        if (item >= items) break;
        float sums[VECTOR];
        window_sums(
            sums, summand[round], channel,
            [&](float (&neighbours)[PART], int offset) {
                const int vector = offset < 0 ? (offset + 1) / VECTOR - 1 : offset / VECTOR;
                const int part = (offset - vector * VECTOR) / PART;
                load_floats(neighbours, inner_part(inner, block_pixels, item + vector, part));
            },
            [](float sum, float value) { return __fadd_rn(sum, value); });
#pragma unroll
        for (int i = 0; i < VECTOR; ++i) {
            const float result = fmaf(-2.0f * ALPHA * BETA * centre[round][i], sums[i], direct[round][i]);
            sums[i] = relu && !(centre[round][i] > 0) ? 0 : result;
        }
        store_vector(dx + ((size_t)first * CHANNELS + (size_t)item * VECTOR), sums);
    }
}
