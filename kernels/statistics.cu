// Sums and counts for training diagnostics; they change nothing. Checked in tests/engine/test_statistics.py.

// --- absolute_sums
// Sum absolute values, one sum a block.
//
//     sums[b] = SUM |values[i]| over i = b * blockDim + t, and every gridDim * blockDim further
//
//     values: COUNT floats; sums: a double a block
//
// A thread adds its values in float64; then a block's sums are reduced as a tree, always the same one. Only NaN or Inf
// make the sum not finite: 2^31 of the largest floats fit into a double.
// Cost: reads 4 bytes a value, one addition. Shared memory: 8 bytes a thread.
//
// dimensions: COUNT
#include "common/primitives.cuh"
#include "common/reduce.cuh"

extern "C" __global__ void __launch_bounds__(256)
    absolute_sums(const float* __restrict__ values, double* __restrict__ sums) {
    SHARED(double, work);
    double thread_sum = 0;
    for (size_t offset = (size_t)blockIdx.x * blockDim.x + threadIdx.x; offset < COUNT;
         offset += (size_t)gridDim.x * blockDim.x)
        thread_sum += fabsf(values[offset]);
    const double sum = block_sum(thread_sum, work);
    if (threadIdx.x == 0) sums[blockIdx.x] = sum;
}

// --- count_positive
// Count the positive values of each channel: those that a ReLU passes.
//
//     counts[s, t, c] = how many of y[t, p, c], p = s, s + slices, s + 2 slices, ..., are above zero
//
//     y: towers x PIXELS x CHANNELS; counts: slices x towers x CHANNELS
//     A pixel is one of all images of a tower: PIXELS = images * rows * columns.
//
// A thread has a channel of one slice, and neighbours have neighbours; blocks: x channels, y the slice, z the tower.
// Cost: reads y once.
//
// dimensions: PIXELS CHANNELS
// choices: PRECISION
#include "common/values.cuh"

extern "C" __global__ void __launch_bounds__(256)
    count_positive(const Value* __restrict__ y, unsigned* __restrict__ counts) {
    const int channel = blockIdx.x * blockDim.x + threadIdx.x;
    if (channel >= CHANNELS) return;
    const Value* values = y + (size_t)blockIdx.z * PIXELS * CHANNELS + channel;
    unsigned count = 0;
#pragma unroll 4
    for (int pixel = blockIdx.y; pixel < PIXELS; pixel += gridDim.y)
        count += load(values + (size_t)pixel * CHANNELS) > 0;
    counts[((size_t)blockIdx.y * gridDim.z + blockIdx.z) * CHANNELS + channel] = count;
}
