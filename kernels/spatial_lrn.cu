// Local response normalisation within a channel, over a square of WINDOW x WINDOW pixels, and its gradient.
//
//     y[p] = x[p] / s[p]^BETA,    s[p] = K + ALPHA * SUM over the square around p of x[j]^2
//     dx[p] = dy[p] / s[p]^BETA - 2 ALPHA BETA x[p] * SUM over the square around p of summands[j]
//     summands[j] = dy[j] x[j] / s[j]^(BETA + 1)
//
//     x, y, dy, dx: IMAGES x ROWS x COLUMNS x CHANNELS; summands: as many floats; dx may be dy
//     IMAGES counts the images of all towers.
//
// The square reaches WINDOW / 2 pixels to each side and is cut off at the edges. A thread has VECTOR channels of a
// pixel; it reads neighbouring pixels too, which are in the caches. Checked in tests/engine/test_spatial_lrn.py.
//
// dimensions: IMAGES ROWS COLUMNS CHANNELS WINDOW
// reals: K ALPHA BETA
// choices: PRECISION VECTOR
#include "lrn.cuh"

#define RUN (VECTOR == 1 ? 1 : 4)  // floats that go together

// The channels of a pixel that a thread has: the image, its row and column, the first channel, and their offset.
struct Item {
    unsigned image;
    int row, column, channel;
    size_t offset;

    __device__ __forceinline__ Item() {
        const unsigned index = blockIdx.x * blockDim.x + threadIdx.x, vectors = CHANNELS / VECTOR;
        const unsigned pixel = index / vectors, line = pixel / COLUMNS;
        image = line / ROWS, row = line % ROWS, column = pixel % COLUMNS, channel = index % vectors * VECTOR;
        offset = (size_t)index * VECTOR;
    }

    __device__ __forceinline__ bool exists() const { return image < (unsigned)IMAGES; }
};

// Sum over the square of WINDOW x WINDOW pixels, row by row; `load(values, distance)` reads a neighbour's values,
// `distance` values from the thread's.
template <class Load, class Add>
__device__ __forceinline__ void square_sums(float (&sums)[VECTOR], const Item& item, Load load, Add add) {
    float neighbours[VECTOR];
#pragma unroll
    for (int i = 0; i < VECTOR; ++i) sums[i] = 0;
#pragma unroll 1
    for (int down = -(WINDOW / 2); down <= WINDOW / 2; ++down) {
        if (item.row + down < 0 || item.row + down >= ROWS) continue;
#pragma unroll 2
        for (int across = -(WINDOW / 2); across <= WINDOW / 2; ++across) {
            if (item.column + across < 0 || item.column + across >= COLUMNS) continue;
            load(neighbours, (down * COLUMNS + across) * CHANNELS);
#pragma unroll
            for (int i = 0; i < VECTOR; ++i) sums[i] = add(sums[i], neighbours[i]);
        }
    }
}

// Compute s = K + ALPHA * SUM of squares.
__device__ __forceinline__ void square_base(float (&base)[VECTOR], const Item& item, const Value* x) {
    square_sums(
        base, item,
        [&](float (&neighbours)[VECTOR], int distance) { load_vector(neighbours, x + item.offset + distance); },
        [](float sum, float value) { return fmaf(value, value, sum); });
#pragma unroll
    for (int i = 0; i < VECTOR; ++i) base[i] = fmaf(ALPHA, base[i], K);
}

// --- spatial_lrn_forward
// Cost: reads x once from memory and WINDOW^2 times from the caches, writes y once; 2 * WINDOW^2 + 6 operations and two
// reciprocal roots a value.
extern "C" __global__ void __launch_bounds__(256)
    spatial_lrn_forward(const Value* __restrict__ x, Value* __restrict__ y) {
    const Item item;
    if (!item.exists()) return;
    float base[VECTOR], values[VECTOR], inverse;
    square_base(base, item, x);
    load_vector(values, x + item.offset);
#pragma unroll
    for (int i = 0; i < VECTOR; ++i) values[i] = lrn_value(values[i], base[i], lrn_factor(base[i], inverse));
    store_vector(y + item.offset, values);
}

// --- spatial_lrn_summands
// The summands that spatial_lrn_backward adds up.
// Cost: reads x once from memory and WINDOW^2 times from the caches, dy once, writes summands once; 2 * WINDOW^2 + 8
// operations and two reciprocal roots a value.
extern "C" __global__ void __launch_bounds__(256)
    spatial_lrn_summands(const Value* __restrict__ x, const Value* __restrict__ dy, float* __restrict__ summands) {
    const Item item;
    if (!item.exists()) return;
    float base[VECTOR], values[VECTOR], given[VECTOR];
    square_base(base, item, x);
    load_vector(values, x + item.offset);
    load_vector(given, dy + item.offset);
#pragma unroll
    for (int i = 0; i < VECTOR; ++i) {
        float inverse;
        const float direct = __fmul_rn(given[i], lrn_factor(base[i], inverse));
        values[i] = __fmul_rn(__fmul_rn(values[i], inverse), direct);
    }
#pragma unroll
    for (int i = 0; i < VECTOR; i += RUN) {
        float group[RUN];
#pragma unroll
        for (int j = 0; j < RUN; ++j) group[j] = values[i + j];
        store_floats(summands + item.offset + i, group);
    }
}

// --- spatial_lrn_backward
// With RELU the gradient is that of the input of the ReLU below: zero where x is not positive.
// Cost: reads x and summands once from memory and WINDOW^2 times from the caches, dy once, writes dx once;
// 3 * WINDOW^2 + 10 operations and two reciprocal roots a value.
//
// dimensions: RELU
extern "C" __global__ void __launch_bounds__(256)
    spatial_lrn_backward(const Value* __restrict__ x, const Value* dy, const float* __restrict__ summands, Value* dx) {
    const Item item;
    if (!item.exists()) return;
    float base[VECTOR], sums[VECTOR], values[VECTOR], given[VECTOR];
    square_base(base, item, x);
    square_sums(
        sums, item,
        [&](float (&neighbours)[VECTOR], int distance) {
#pragma unroll
            for (int i = 0; i < VECTOR; i += RUN) {
                float group[RUN];
                load_floats(group, summands + item.offset + distance + i);
#pragma unroll
                for (int j = 0; j < RUN; ++j) neighbours[i + j] = group[j];
            }
        },
        [](float sum, float value) { return __fadd_rn(sum, value); });
    load_vector(values, x + item.offset);
    load_vector(given, dy + item.offset);
#pragma unroll
    for (int i = 0; i < VECTOR; ++i) {
        float inverse;
        const float direct = __fmul_rn(given[i], lrn_factor(base[i], inverse));
        const float result = fmaf(-2.0f * ALPHA * BETA * values[i], sums[i], direct);
        given[i] = RELU && !(values[i] > 0) ? 0 : result;
    }
    store_vector(dx + item.offset, given);
}
