// Between plain arrays and the maps of one tower.
//
//     plain: IMAGES x CHANNELS x PIXELS, float32; maps: IMAGES x PIXELS x CHANNELS
//
// A thread has a value, neighbours write neighbours. Cost: reads x once, through the caches, and writes y once.
// Checked in tests/engine/test_layout.py.
//
// dimensions: IMAGES CHANNELS PIXELS
// choices: PRECISION
#include "common/values.cuh"

#define COUNT ((size_t)IMAGES * CHANNELS * PIXELS)

// --- from_plain
extern "C" __global__ void __launch_bounds__(256) from_plain(const float* __restrict__ x, Value* __restrict__ y) {
    const size_t item = (size_t)blockIdx.x * blockDim.x + threadIdx.x;
    if (item >= COUNT) return;
    const size_t pixel = item / CHANNELS, channel = item % CHANNELS;  // pixel: of all images
    store(y + item, x[(pixel / PIXELS * CHANNELS + channel) * PIXELS + pixel % PIXELS]);
}

// --- to_plain
extern "C" __global__ void __launch_bounds__(256) to_plain(const Value* __restrict__ x, float* __restrict__ y) {
    const size_t item = (size_t)blockIdx.x * blockDim.x + threadIdx.x;
    if (item >= COUNT) return;
    const size_t map = item / PIXELS, pixel = item % PIXELS;  // map: of all images
    y[item] = load(x + (map / CHANNELS * PIXELS + pixel) * CHANNELS + map % CHANNELS);
}
