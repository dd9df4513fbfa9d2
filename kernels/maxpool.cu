// Max-pooling: y[p, q] = max over r, s < SIZE of x[p * STRIDE + r, q * STRIDE + s], and its gradient.
//
//     x, dx: IMAGES x ROWS x COLUMNS x CHANNELS; y, dy, choice: IMAGES x OUT_ROWS x OUT_COLUMNS x CHANNELS
//     choice: the index of the window's first maximum in the window, row by row, in a byte
//     IMAGES counts the images of all towers.
//
// Checked in tests/engine/test_maxpool.py.
//
// dimensions: IMAGES ROWS COLUMNS CHANNELS OUT_ROWS OUT_COLUMNS SIZE STRIDE
// choices: PRECISION VECTOR
#include "maxpool.cuh"

// --- maxpool_forward
// A thread has VECTOR channels of one window, which may reach beyond the end of x; what windows share comes out of the
// caches. Without CHOOSE, in inference, choice is null.
// Cost: reads x once from memory, writes y and choice once; 2 * SIZE^2 operations a value of y.
//
// choices: CHOOSE
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
    pool_window(best, chosen, extent(p, OUT_ROWS, ROWS), extent(q, OUT_COLUMNS, COLUMNS), CHANNELS,
                [&](int r) { return corner + (size_t)r * COLUMNS * CHANNELS; });
    const size_t offset = (size_t)pixel * CHANNELS + channel;
    store_vector(y + offset, best);
    if (!CHOOSE) return;
    Bytes<VECTOR> packed;
    packed.pack(chosen);
    packed.store(choice + offset);
}

// --- maxpool_backward
// Gathers: a thread has VECTOR channels of a pixel, and sums dy over the windows that chose it. Where y is not null,
// the gradient is that of the input of the ReLU below: a window whose maximum is not positive gives nothing. A pixel
// that no window chose gets zero.
// Cost: reads choice and dy (and y) once from memory and about three times from the L2 cache, writes dx once.
extern "C" __global__ void __launch_bounds__(256)
    maxpool_backward(const unsigned char* __restrict__ choice, const Value* __restrict__ y,
                     const Value* __restrict__ dy, Value* __restrict__ dx) {
    const unsigned item = blockIdx.x * blockDim.x + threadIdx.x, vectors = CHANNELS / VECTOR;
    const unsigned pixel = item / vectors, row = pixel / COLUMNS, image = row / ROWS;
    const int channel = item % vectors * VECTOR;
    if (image >= (unsigned)IMAGES) return;
    float sum[VECTOR];
    gather(sum, choice, dy, y, image, row % ROWS, pixel % COLUMNS, channel);
    store_vector(dx + (size_t)pixel * CHANNELS + channel, sum);
}
