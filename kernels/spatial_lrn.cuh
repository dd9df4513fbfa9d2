// What the kernels of normalisation within a channel share (cualex/engine/cuda/spatial_lrn.py has the formulas).
//
// Wants VECTOR, the dimensions IMAGES, ROWS, COLUMNS, CHANNELS and WINDOW (n of the formula), and the reals K, ALPHA and
// BETA. A thread has VECTOR channels of a pixel; it reads its neighbours' as well, which lie in the caches.
#pragma once
#include "lrn_factor.cuh"
#include "vectors.cuh"

#define RUN (VECTOR == 1 ? 1 : 4)  // floats that go together

// Which channels of which pixel a thread has: the image (a picture of one tower), its row and column, the first channel.
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

// Sum what lies at most WINDOW / 2 rows and columns away, row by row; `load(values, offset)` gives a neighbour's values,
// `offset` values from the thread's own.
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
