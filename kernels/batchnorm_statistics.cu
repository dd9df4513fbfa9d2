// Make the batch's mean and biased variance of each channel from the sums about its pivot (kernels/batchnorm_sums.cu).
//
//     mean = pivot + S1 / PIXELS,    variance = S2 / PIXELS - (S1 / PIXELS)^2        S1, S2 summed over splits, in order
//
//     slabs: SPLITS x 2 x CHANNELS of double; x: towers x PIXELS x LENGTH, whose first pixels hold the pivots
//     mean, variance: CHANNELS floats; the CHANNELS are LENGTH of each tower
//
// A thread has a channel. Cost: reads 16 * SPLITS bytes a channel, writes 8. Checked in tests/engine/test_batchnorm.py.
//
// dimensions: PIXELS CHANNELS LENGTH SPLITS
// choices: PRECISION
#include "values.cuh"

extern "C" __global__ void __launch_bounds__(256)
    batchnorm_statistics(const double* __restrict__ slabs, const Value* __restrict__ x, float* __restrict__ mean,
                         float* __restrict__ variance) {
    const int channel = blockIdx.x * blockDim.x + threadIdx.x;
    if (channel >= CHANNELS) return;
    double first = 0, second = 0;
    for (int split = 0; split < SPLITS; ++split) {
        first += slabs[(size_t)split * 2 * CHANNELS + channel];
        second += slabs[((size_t)split * 2 + 1) * CHANNELS + channel];
    }
    first /= PIXELS;
    second = second / PIXELS - first * first;
    const float pivot = load(x + (size_t)(channel / LENGTH) * PIXELS * LENGTH + channel % LENGTH);
    mean[channel] = (float)(pivot + first);
    variance[channel] = second < 0 ? 0.f : (float)second;  // what is not a number stays
}
