// Convert images to grey: y = 0.299 red + 0.587 green + 0.114 blue.
//
//     x: PIXELS x 3; y: towers x PIXELS; the pixels of all images; the grid's y is the tower
//
// A thread has a pixel. Each operation rounds once, as on the host: the bits are the same.
// Cost: reads x once and writes y once; 5 operations a pixel. Checked in tests/engine/test_grey.py.
//
// dimensions: PIXELS
// choices: PRECISION
#include "common/values.cuh"

extern "C" __global__ void __launch_bounds__(256) grey(const Value* __restrict__ x, Value* __restrict__ y) {
    const unsigned pixel = blockIdx.x * blockDim.x + threadIdx.x;
    if (pixel >= (unsigned)PIXELS) return;
    const Value* colours = x + (size_t)pixel * 3;
    const float red = __fmul_rn(load(colours), 0.299f), green = __fmul_rn(load(colours + 1), 0.587f);
    const float sum = __fadd_rn(__fadd_rn(red, green), __fmul_rn(load(colours + 2), 0.114f));
    store(y + (size_t)blockIdx.y * PIXELS + pixel, sum);
}
