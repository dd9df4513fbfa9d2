// Add up what the splits of a product's depth gave, in their order, and finish it as the product itself would have.
//
//     y[t] = SUM over split of slabs[split][t]    + bias[t], RELU (forward); ADD, relu_of (input gradient)
//
//     slabs (SPLITS, targets, COUNT); y0, y1, relu0, relu1 (COUNT); bias (targets, CHANNELS) or null
//
// A thread has four neighbours; blocks: x places, y the target. Cost: reads 4 * SPLITS bytes a value, writes 2 or 4.
// Checked in tests/engine/cuda/test_conv.py.
//
// dimensions: COUNT CHANNELS SPLITS RELU ADD
// choices: PRECISION
#include "accumulate.cuh"

extern "C" __global__ void __launch_bounds__(256)
    sum_splits(const float* __restrict__ slabs, const float* __restrict__ bias, const Value* __restrict__ relu0,
               const Value* __restrict__ relu1, Value* __restrict__ y0, Value* __restrict__ y1) {
    const int place = (blockIdx.x * blockDim.x + threadIdx.x) * 4, target = blockIdx.y;
    if (place >= COUNT) return;
    const bool aligned = COUNT % 4 == 0;
    float sums[4] = {};
#pragma unroll 8
    for (int split = 0; split < SPLITS; ++split) {
        float part[4];
        load_float_run(part, slabs + ((size_t)split * gridDim.y + target) * COUNT + place, COUNT - place, aligned);
#pragma unroll
        for (int e = 0; e < 4; ++e) sums[e] += part[e];
    }
#pragma unroll
    for (int e = 0; e < 4; ++e) {
        if (bias) sums[e] += bias[target * CHANNELS + (place + e) % CHANNELS];
        if (RELU && sums[e] < 0) sums[e] = 0;  // what is not a number stays
    }
    accumulate_run(target ? y1 : y0, target ? relu1 : relu0, place, sums, COUNT - place, aligned);
}
