// Take the maximum of windows: y[p, q] = max over r, s < SIZE of x[p * STRIDE + r, q * STRIDE + s].
//
//     x: IMAGES x ROWS x COLUMNS x CHANNELS; y, choice: IMAGES x OUT_ROWS x OUT_COLUMNS x CHANNELS
//     choice: the place of the window's first maximum, or null without CHOOSE, in inference
//     An image is a picture of one tower.
//
// A thread has VECTOR channels of one window, which may reach beyond the end of x. What windows share comes out of the caches.
// Cost: reads x once from memory, writes y and choice once; 2 * SIZE^2 operations a value of y.
// Checked in tests/engine/test_maxpool.py.
//
// dimensions: IMAGES ROWS COLUMNS CHANNELS OUT_ROWS OUT_COLUMNS SIZE STRIDE
// choices: PRECISION VECTOR CHOOSE
#include "maxpool.cuh"

extern "C" __global__ void __launch_bounds__(256)
    maxpool_forward(const Value* __restrict__ x, Value* __restrict__ y, unsigned char* __restrict__ choice) {
    const unsigned item = blockIdx.x * blockDim.x + threadIdx.x, vectors = CHANNELS / VECTOR;
    const unsigned pixel = item / vectors, row = pixel / OUT_COLUMNS, image = row / OUT_ROWS;
    const int channel = item % vectors * VECTOR, p = row % OUT_ROWS, q = pixel % OUT_COLUMNS;
    if (image >= (unsigned)IMAGES) return;
    const Value* source = x + (size_t)image * ROWS * COLUMNS * CHANNELS;
    const Value* corner = source + ((size_t)p * STRIDE * COLUMNS + q * STRIDE) * CHANNELS + channel;
    float best[VECTOR];
    unsigned chosen[VECTOR];
    pool_window(best, chosen, there(p, OUT_ROWS, ROWS), there(q, OUT_COLUMNS, COLUMNS), CHANNELS,
                [&](int r) { return corner + (size_t)r * COLUMNS * CHANNELS; });
    const size_t place = (size_t)pixel * CHANNELS + channel;
    store_vector(y + place, best);
    if (!CHOOSE) return;
    Bytes<VECTOR> packed;
    packed.pack(chosen);
    packed.store(choice + place);
}
