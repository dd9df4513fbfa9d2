// Update a parameter from a gradient that was kept (kernels/momentum.cuh has the rule).
//
//     weight, velocity, gradient: COUNT floats; copy: COUNT of bfloat16, or null
//
// A thread has one number; a warp touches 128 bytes in a row. Nothing moves after a loss that was not finite.
// Cost: reads 12 bytes a number and writes 8, or 10 with the copy; 5 operations.
// Checked in tests/engine/cuda/test_update.py: the bits of the host engine.
//
// dimensions: COUNT BIAS
// choices: PRECISION DECAY
#include "momentum.cuh"
#include "values.cuh"

extern "C" __global__ void __launch_bounds__(256)
    momentum(const float* __restrict__ gradient, const Control* __restrict__ control, float* __restrict__ weight,
             float* __restrict__ velocity, unsigned short* __restrict__ copy, float factor) {
    const size_t place = (size_t)blockIdx.x * blockDim.x + threadIdx.x;
    if (place >= COUNT || !control->finite) return;
    float w = weight[place], v = velocity[place];
    momentum_update(w, v, gradient[place], control, DECAY, BIAS != 0, factor);
    weight[place] = w;
    velocity[place] = v;
    if (copy) copy[place] = to_bf16(w);
}
