// Take a gradient back through max-pooling: each pixel sums dy over the windows that chose it.
//
//     dx: IMAGES x ROWS x COLUMNS x CHANNELS; choice, y, dy: IMAGES x OUT_ROWS x OUT_COLUMNS x CHANNELS
//
// A thread has VECTOR channels of a pixel. With RELU the gradient is that of the ReLU's input below: a window gives
// nothing where its maximum, y, is not positive; else y is null. A pixel that no window chose gets zero.
// Cost: reads choice and dy (and y) once from memory and about three times from the L2 cache, writes dx once.
// Checked in tests/engine/test_maxpool.py.
//
// dimensions: IMAGES ROWS COLUMNS CHANNELS OUT_ROWS OUT_COLUMNS SIZE STRIDE
// choices: PRECISION VECTOR
#include "maxpool.cuh"

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
