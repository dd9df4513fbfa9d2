// Split-K reduction: add up the slabs of a gemm in their order, then the epilogue that the gemm itself would have had.
//
// A thread has four neighbours. Checked in tests/engine/cuda/test_conv.py.

// --- sum_splits
//     y[t] = SUM over split of slabs[split][t]    + bias[t], RELU (forward); ADD, relu_of (input gradient)
//
//     slabs (SPLITS, targets, COUNT); y0, y1, relu0, relu1 (COUNT); bias (targets, CHANNELS) or null
//
// Blocks: x values, y the target. Cost: reads 4 * SPLITS bytes a value, writes 2 or 4.
//
// dimensions: COUNT CHANNELS SPLITS RELU ADD
// choices: PRECISION
#include "common/accumulate.cuh"

extern "C" __global__ void __launch_bounds__(256)
    sum_splits(const float* __restrict__ slabs, const float* __restrict__ bias, const Value* __restrict__ relu0,
               const Value* __restrict__ relu1, Value* __restrict__ y0, Value* __restrict__ y1) {
    const int offset = (blockIdx.x * blockDim.x + threadIdx.x) * 4, target = blockIdx.y;
    if (offset >= COUNT) return;
    const bool aligned = COUNT % 4 == 0;
    float sums[4] = {};
#pragma unroll 8
    for (int split = 0; split < SPLITS; ++split) {
        float slab[4];
        const size_t first = ((size_t)split * gridDim.y + target) * COUNT + offset;
        load_float_fragment(slab, slabs + first, COUNT - offset, aligned);
#pragma unroll
        for (int e = 0; e < 4; ++e) sums[e] += slab[e];
    }
#pragma unroll
    for (int e = 0; e < 4; ++e) {
        if (bias) sums[e] += bias[target * CHANNELS + (offset + e) % CHANNELS];
        if (RELU && sums[e] < 0) sums[e] = 0;  // NaN stays NaN
    }
    accumulate_fragment(target ? y1 : y0, target ? relu1 : relu0, offset, sums, COUNT - offset, aligned);
}

// --- weight_update
//     gradient = SUM over split of slabs[split], for the sink: KEEP, SUM or MOMENTUM (common/sink.cuh)
//
//     slabs (SPLITS, COUNT); weight, velocity, copy (COUNT)
//
// Cost: reads 4 * SPLITS bytes a weight, and with MOMENTUM reads 8 and writes 8 or, with a copy, 10 or 12.
//
// dimensions: COUNT SPLITS SINK BIAS
// reals: DECAY
// choices: PRECISION
#include "common/sink.cuh"

extern "C" __global__ void __launch_bounds__(256)
    weight_update(const float* __restrict__ slabs, const Control* __restrict__ control, float* __restrict__ weight,
                  float* __restrict__ velocity, Value* __restrict__ copy, float factor) {
    const int offset = (blockIdx.x * blockDim.x + threadIdx.x) * 4;
    const Sink sink = {SINK, DECAY, BIAS != 0, control, velocity, copy, factor};
    if (offset >= COUNT || sink.idle()) return;
    const bool aligned = COUNT % 4 == 0;
    float sums[1][4] = {};
#pragma unroll 8
    for (int split = 0; split < SPLITS; ++split) {
        float slab[4];
        load_float_fragment(slab, slabs + (size_t)split * COUNT + offset, COUNT - offset, aligned);
#pragma unroll
        for (int e = 0; e < 4; ++e) sums[0][e] += slab[e];
    }
    sink.write(weight, offset, sums, 4, COUNT - offset, aligned);
}
