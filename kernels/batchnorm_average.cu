// Move the running mean and variance of batch normalisation towards the batch's.
//
//     running <- MOMENTUM * running + REST * the batch's,    REST = 1 - MOMENTUM
//
//     all arrays: CHANNELS floats, of all towers
//
// A thread has a channel. Nothing moves after a loss that was not finite, nor a channel whose numbers overflowed. Each
// operation rounds once, as on the host. Cost: reads 16 bytes a channel and writes 8. Checked in tests/engine/test_batchnorm.py.
//
// dimensions: CHANNELS
// reals: MOMENTUM REST
#include "control.cuh"

extern "C" __global__ void __launch_bounds__(256)
    batchnorm_average(const Control* __restrict__ control, const float* __restrict__ batch_mean,
                      const float* __restrict__ batch_variance, float* __restrict__ mean,
                      float* __restrict__ variance) {
    const int channel = blockIdx.x * blockDim.x + threadIdx.x;
    if (channel >= CHANNELS || !control->finite) return;
    const float own_mean = batch_mean[channel], own_variance = batch_variance[channel];
    if (own_mean - own_mean != 0 || own_variance - own_variance != 0) return;
    mean[channel] = __fadd_rn(__fmul_rn(mean[channel], MOMENTUM), __fmul_rn(own_mean, REST));
    variance[channel] = __fadd_rn(__fmul_rn(variance[channel], MOMENTUM), __fmul_rn(own_variance, REST));
}
