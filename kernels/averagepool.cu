// Average pooling: y[p, q] = mean over r, s < SIZE of x[p * STRIDE + r, q * STRIDE + s], and its gradient.
//
//     x, dx: IMAGES x ROWS x COLUMNS x CHANNELS; y, dy: IMAGES x OUT_ROWS x OUT_COLUMNS x CHANNELS
//     IMAGES counts the images of all towers.
//
// A window that reaches beyond the end is the mean of the values that it has, and gives each of these an equal share of
// its gradient. Checked in tests/engine/test_averagepool.py.
//
// dimensions: IMAGES ROWS COLUMNS CHANNELS OUT_ROWS OUT_COLUMNS SIZE STRIDE
// choices: PRECISION VECTOR
#include "common/vectors.cuh"

// --- averagepool_forward
// A thread has VECTOR channels of one window.
// Cost: reads x once from memory, writes y once; SIZE^2 additions and a division a value of y.
extern "C" __global__ void __launch_bounds__(256)
    averagepool_forward(const Value* __restrict__ x, Value* __restrict__ y) {
    const unsigned item = blockIdx.x * blockDim.x + threadIdx.x, vectors = CHANNELS / VECTOR;
    const unsigned pixel = item / vectors, row = pixel / OUT_COLUMNS, image = row / OUT_ROWS;
    const int channel = item % vectors * VECTOR, top = row % OUT_ROWS * STRIDE, left = pixel % OUT_COLUMNS * STRIDE;
    if (image >= (unsigned)IMAGES) return;
    const int rows = ROWS - top < SIZE ? ROWS - top : SIZE, columns = COLUMNS - left < SIZE ? COLUMNS - left : SIZE;
    const Value* corner = x + (((size_t)image * ROWS + top) * COLUMNS + left) * CHANNELS + channel;
    float values[VECTOR], sums[VECTOR];
#pragma unroll
    for (int i = 0; i < VECTOR; ++i) sums[i] = 0;
#pragma unroll 2
    for (int r = 0; r < rows; ++r) {
#pragma unroll 2
        for (int s = 0; s < columns; ++s) {
            load_vector(values, corner + ((size_t)r * COLUMNS + s) * CHANNELS);
#pragma unroll
            for (int i = 0; i < VECTOR; ++i) sums[i] += values[i];
        }
    }
#pragma unroll
    for (int i = 0; i < VECTOR; ++i) sums[i] = __fdiv_rn(sums[i], (float)(rows * columns));
    store_vector(y + (size_t)pixel * CHANNELS + channel, sums);
}

// --- averagepool_backward
// Gathers: a thread has VECTOR channels of a pixel, and sums its share of dy over the windows that it is in. A pixel
// that no window reaches gets zero.
// Cost: reads dy once from memory, writes dx once; an addition and a division for each window that a pixel is in.
extern "C" __global__ void __launch_bounds__(256)
    averagepool_backward(const Value* __restrict__ dy, Value* __restrict__ dx) {
    const unsigned item = blockIdx.x * blockDim.x + threadIdx.x, vectors = CHANNELS / VECTOR;
    const unsigned pixel = item / vectors, line = pixel / COLUMNS, image = line / ROWS;
    const int channel = item % vectors * VECTOR, row = line % ROWS, column = pixel % COLUMNS;
    if (image >= (unsigned)IMAGES) return;
    const int reach = (SIZE - 1) / STRIDE, last_p = row / STRIDE, last_q = column / STRIDE;
    float values[VECTOR], sums[VECTOR];
#pragma unroll
    for (int i = 0; i < VECTOR; ++i) sums[i] = 0;
#pragma unroll 2
    for (int up = reach; up >= 0; --up) {
        const int p = last_p - up, top = p * STRIDE, rows = ROWS - top < SIZE ? ROWS - top : SIZE;
        if (p < 0 || p >= OUT_ROWS || row - top >= SIZE) continue;
#pragma unroll 2
        for (int back = reach; back >= 0; --back) {
            const int q = last_q - back, left = q * STRIDE, columns = COLUMNS - left < SIZE ? COLUMNS - left : SIZE;
            if (q < 0 || q >= OUT_COLUMNS || column - left >= SIZE) continue;
            load_vector(values, dy + (((size_t)image * OUT_ROWS + p) * OUT_COLUMNS + q) * CHANNELS + channel);
#pragma unroll
            for (int i = 0; i < VECTOR; ++i) sums[i] += __fdiv_rn(values[i], (float)(rows * columns));
        }
    }
    store_vector(dx + (size_t)pixel * CHANNELS + channel, sums);
}
