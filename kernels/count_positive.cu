// Count the positive values of each channel, for the watch on training: what a ReLU let through.
//
//     counts[s, t, c] = how many of y[t, p, c], p = s, s + slices, s + 2 slices, ..., are above zero
//
//     y: towers x PIXELS x CHANNELS; counts: slices x towers x CHANNELS
//     A pixel is one of all pictures of a tower: PIXELS = pictures * rows * columns.
//
// A thread has a channel of one slice, and neighbours have neighbours; blocks: x channels, y the slice, z the tower.
// Cost: reads y once. Checked in tests/engine/test_statistics.py.
//
// dimensions: PIXELS CHANNELS
// choices: PRECISION
#include "values.cuh"

extern "C" __global__ void __launch_bounds__(256)
    count_positive(const Value* __restrict__ y, unsigned* __restrict__ counts) {
    const int channel = blockIdx.x * blockDim.x + threadIdx.x;
    if (channel >= CHANNELS) return;
    const Value* own = y + (size_t)blockIdx.z * PIXELS * CHANNELS + channel;
    unsigned count = 0;
#pragma unroll 4
    for (int pixel = blockIdx.y; pixel < PIXELS; pixel += gridDim.y) count += load(own + (size_t)pixel * CHANNELS) > 0;
    counts[((size_t)blockIdx.y * gridDim.z + blockIdx.z) * CHANNELS + channel] = count;
}
