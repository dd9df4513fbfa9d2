// Local response normalisation within a channel, over a square of WINDOW x WINDOW pixels, and its gradient.
//
//     y[p] = x[p] / s[p]^BETA,    s[p] = K + ALPHA * SUM over the square around p of x[j]^2
//     dx[p] = dy[p] / s[p]^BETA - 2 ALPHA BETA x[p] * SUM over the square around p of shares[j]
//     shares[j] = dy[j] x[j] / s[j]^(BETA + 1)
//
//     x, y, dy, dx: IMAGES x ROWS x COLUMNS x CHANNELS; shares: as many floats; dx may be dy
//     IMAGES counts the images of all towers.
//
// The square reaches WINDOW / 2 pixels to each side and is cut off at the edges. A thread has VECTOR channels of a
// pixel; it reads its neighbours' as well, which lie in the caches. Checked in tests/engine/test_spatial_lrn.py.
//
// dimensions: IMAGES ROWS COLUMNS CHANNELS WINDOW
// reals: K ALPHA BETA
// choices: PRECISION VECTOR
#include "lrn.cuh"

#define RUN (VECTOR == 1 ? 1 : 4)  // floats that go together

// Which channels of which pixel a thread has: the image, its row and column, the first channel.
struct Own {
    unsigned image;
    int row, column, channel;
    size_t place;

    __device__ __forceinline__ Own() {
        const unsigned item = blockIdx.x * blockDim.x + threadIdx.x, vectors = CHANNELS / VECTOR;
        const unsigned pixel = item / vectors, line = pixel / COLUMNS;
        image = line / ROWS, row = line % ROWS, column = pixel % COLUMNS, channel = item % vectors * VECTOR;
        place = (size_t)item * VECTOR;
    }

    __device__ __forceinline__ bool exists() const { return image < (unsigned)IMAGES; }
};

// Sum what lies at most WINDOW / 2 rows and columns away, row by row; `load(values, offset)` gives a neighbour's
// values, `offset` values from the thread's own.
template <class Load, class Add>
__device__ __forceinline__ void square_sums(float (&sums)[VECTOR], const Own& own, Load load, Add add) {
    float near[VECTOR];
#pragma unroll
    for (int i = 0; i < VECTOR; ++i) sums[i] = 0;
#pragma unroll 1
    for (int down = -(WINDOW / 2); down <= WINDOW / 2; ++down) {
        if (own.row + down < 0 || own.row + down >= ROWS) continue;
#pragma unroll 2
        for (int across = -(WINDOW / 2); across <= WINDOW / 2; ++across) {
            if (own.column + across < 0 || own.column + across >= COLUMNS) continue;
            load(near, (down * COLUMNS + across) * CHANNELS);
#pragma unroll
            for (int i = 0; i < VECTOR; ++i) sums[i] = add(sums[i], near[i]);
        }
    }
}

// Make s = K + ALPHA * SUM of squares.
__device__ __forceinline__ void square_base(float (&base)[VECTOR], const Own& own, const Value* x) {
    square_sums(
        base, own, [&](float (&near)[VECTOR], int offset) { load_vector(near, x + own.place + offset); },
        [](float sum, float value) { return fmaf(value, value, sum); });
#pragma unroll
    for (int i = 0; i < VECTOR; ++i) base[i] = fmaf(ALPHA, base[i], K);
}

// --- spatial_lrn_forward
// Cost: reads x once from memory and WINDOW^2 times from the caches, writes y once; 2 * WINDOW^2 + 6 operations and two
// reciprocal roots a value.
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

// --- spatial_lrn_shares
// What each pixel adds to the gradients of those around it, for spatial_lrn_backward.
// Cost: reads x once from memory and WINDOW^2 times from the caches, dy once, writes shares once; 2 * WINDOW^2 + 8
// operations and two reciprocal roots a value.
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

// --- spatial_lrn_backward
// With RELU the gradient is that of the input of the ReLU below: zero where x is not positive.
// Cost: reads x and shares once from memory and WINDOW^2 times from the caches, dy once, writes dx once;
// 3 * WINDOW^2 + 10 operations and two reciprocal roots a value.
//
// dimensions: RELU
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
