// Convert images to grey: y = 0.299 red + 0.587 green + 0.114 blue; and the gradient of the colours.
//
//     x, dx: PIXELS x 3; y, dy: towers x PIXELS; the pixels of all images
//
// A thread has a pixel. Each operation rounds once, as on the host: the bits are the same.
// Cost: reads x or dy once and writes y or dx once; 5 operations a pixel forward, 5 a tower backward.
// Checked in tests/engine/test_grey.py.
//
// dimensions: PIXELS
// choices: PRECISION
#include "common/values.cuh"

// --- grey
// The grid's y is the tower.
extern "C" __global__ void __launch_bounds__(256) grey(const Value* __restrict__ x, Value* __restrict__ y) {
    const unsigned pixel = blockIdx.x * blockDim.x + threadIdx.x;
    if (pixel >= (unsigned)PIXELS) return;
    const Value* colours = x + (size_t)pixel * 3;
    const float red = __fmul_rn(load(colours), 0.299f), green = __fmul_rn(load(colours + 1), 0.587f);
    const float sum = __fadd_rn(__fadd_rn(red, green), __fmul_rn(load(colours + 2), 0.114f));
    store(y + (size_t)blockIdx.y * PIXELS + pixel, sum);
}

// --- grey_backward
//     dx = SUM over towers of dy * (0.299, 0.587, 0.114)
//
// Added in the order of the towers, each product rounded as it is stored, as where each tower has a device of its own.
//
// dimensions: TOWERS
extern "C" __global__ void __launch_bounds__(256)
    grey_backward(const Value* __restrict__ dy, Value* __restrict__ dx) {
    const unsigned pixel = blockIdx.x * blockDim.x + threadIdx.x;
    if (pixel >= (unsigned)PIXELS) return;
    const float shares[3] = {0.299f, 0.587f, 0.114f};
#pragma unroll
    for (int channel = 0; channel < 3; ++channel) {
        float sum = rounded(__fmul_rn(load(dy + pixel), shares[channel]));
        for (int tower = 1; tower < TOWERS; ++tower) {
            const float given = load(dy + (size_t)tower * PIXELS + pixel);
            sum = __fadd_rn(sum, rounded(__fmul_rn(given, shares[channel])));
        }
        store(dx + (size_t)pixel * 3 + channel, sum);
    }
}
