// Shared by the kernels of max-pooling: the first maximum of a window, and the gathered gradient.
//
// Indices in a window go row by row, 0 to SIZE * SIZE - 1 (at most 255, so that one byte holds the choice).
//
// expects: VECTOR CHANNELS OUT_ROWS OUT_COLUMNS SIZE STRIDE
#pragma once
#include "common/vectors.cuh"

// Return how many of the SIZE rows or columns of a window exist: the last of `count` windows may exceed `length`.
__device__ __forceinline__ int extent(int window, int count, int length) {
    const int left = length - window * STRIDE;
    return (count - 1) * STRIDE + SIZE > length && left < SIZE ? left : SIZE;
}

// Take the maximum of a window of rows x columns; `row(r)` is where its row r begins, `pixel` values lie from column to
// column. Of equal values the first is chosen. NaN is the largest: it shows in the sum, and is searched for only
// then.
template <class Row>
__device__ __forceinline__ void pool_window(float (&best)[VECTOR], unsigned (&choice)[VECTOR], int rows, int columns,
                                            int pixel, Row row) {
    float values[VECTOR], sums[VECTOR];
#pragma unroll
    for (int i = 0; i < VECTOR; ++i) best[i] = MINUS_INFINITY, choice[i] = 0, sums[i] = 0;
#pragma unroll 1  // a whole window at once would take too many registers
    for (int r = 0; r < rows; ++r) {
        const Value* source = row(r);
#pragma unroll 3
        for (int s = 0; s < columns; ++s) {
            load_vector(values, source + s * pixel);
#pragma unroll
            for (int i = 0; i < VECTOR; ++i) {
                choice[i] = values[i] > best[i] ? r * SIZE + s : choice[i];
                best[i] = fmaxf(best[i], values[i]);
                sums[i] += values[i];
            }
        }
    }
    bool no_nan = true;
#pragma unroll
    for (int i = 0; i < VECTOR; ++i) no_nan = no_nan && sums[i] == sums[i];
    if (no_nan) return;
#pragma unroll 1
    for (int index = 0; index < rows * columns; ++index) {
        load_vector(values, row(index / columns) + index % columns * pixel);
#pragma unroll
        for (int i = 0; i < VECTOR; ++i) best[i] = values[i] == values[i] ? best[i] : values[i];
    }
}

// Sum dy over the windows whose maximum is the pixel at (row, column) of an image (of one tower): at most
// ceil(SIZE / STRIDE)^2, lower rows and columns of windows first. With y, only those whose maximum is positive.
__device__ __forceinline__ void gather(float (&sum)[VECTOR], const unsigned char* choice, const Value* dy,
                                       const Value* y, unsigned image, int row, int column, int channel) {
    const int reach = (SIZE - 1) / STRIDE;
    const int p = row / STRIDE, q = column / STRIDE, r = row % STRIDE, s = column % STRIDE;  // the last window's
    const size_t last = (((size_t)image * OUT_ROWS + p) * OUT_COLUMNS + q) * CHANNELS + channel;
    choice += last, dy += last;
    if (y) y += last;
#pragma unroll
    for (int i = 0; i < VECTOR; ++i) sum[i] = 0;
#pragma unroll 3
    for (int up = reach; up >= 0; --up) {
        if (p - up < 0 || p - up >= OUT_ROWS || r + up * STRIDE >= SIZE) continue;
#pragma unroll 3
        for (int left = reach; left >= 0; --left) {
            if (q - left < 0 || q - left >= OUT_COLUMNS || s + left * STRIDE >= SIZE) continue;
            const int back = (up * OUT_COLUMNS + left) * CHANNELS;
            Bytes<VECTOR> chosen;
            float given[VECTOR], pooled[VECTOR];
            chosen.load(choice - back);
            load_vector(given, dy - back);
            if (y) load_vector(pooled, y - back);
            chosen.compare((r + up * STRIDE) * SIZE + s + left * STRIDE);
#pragma unroll
            for (int i = 0; i < VECTOR; ++i)
                if (chosen.equal(i) && (!y || pooled[i] > 0)) sum[i] += given[i];
        }
    }
}
