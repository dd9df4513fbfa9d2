// Take the mean of windows: y[p, q] = mean over r, s < SIZE of x[p * STRIDE + r, q * STRIDE + s].
//
//     x: IMAGES x ROWS x COLUMNS x CHANNELS; y: IMAGES x OUT_ROWS x OUT_COLUMNS x CHANNELS
//     An image is a picture of one tower.
//
// A thread has VECTOR channels of one window. A window that reaches beyond the end is the mean of what it has.
// Cost: reads x once from memory, writes y once; SIZE^2 additions and a division a value of y.
// Checked in tests/engine/test_averagepool.py.
//
// dimensions: IMAGES ROWS COLUMNS CHANNELS OUT_ROWS OUT_COLUMNS SIZE STRIDE
// choices: PRECISION VECTOR
#include "vectors.cuh"

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
