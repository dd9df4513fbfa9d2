// Add up the gradients that the splits of conv_weight_gradient.cu gave, in their order, and hand them to the sink.
//
//     gradient = SUM over split of slabs[split];    KEEP, SUM and MOMENTUM: sink.cuh
//
//     slabs (SPLITS, COUNT); weight, velocity, copy (COUNT)
//
// A thread has four neighbours. Cost: reads 4 * SPLITS bytes a weight, and with MOMENTUM reads 8 and writes 8 or 10.
// Checked in tests/engine/cuda/test_conv.py.
//
// dimensions: COUNT SPLITS SINK DECAY BIAS
// choices: PRECISION
#include "sink.cuh"

extern "C" __global__ void __launch_bounds__(256)
    weight_update(const float* __restrict__ slabs, const Control* __restrict__ control, float* __restrict__ weight,
                  float* __restrict__ velocity, unsigned short* __restrict__ copy, float factor) {
    const int place = (blockIdx.x * blockDim.x + threadIdx.x) * 4;
    const Sink sink = {SINK, DECAY != 0, BIAS != 0, control, velocity, copy, factor};
    if (place >= COUNT || sink.idle()) return;
    const bool aligned = COUNT % 4 == 0;
    float sums[1][4] = {};
#pragma unroll 8
    for (int split = 0; split < SPLITS; ++split) {
        float part[4];
        load_float_run(part, slabs + (size_t)split * COUNT + place, COUNT - place, aligned);
#pragma unroll
        for (int e = 0; e < 4; ++e) sums[0][e] += part[e];
    }
    sink.take(weight, place, sums, 4, COUNT - place, aligned);
}
