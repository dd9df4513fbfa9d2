// Make the gradients of batch normalisation's weight and bias from their sums (kernels/batchnorm_sums.cu).
//
//     dbias = SUM dy,    dweight = SUM dy (x - mean) / sqrt(variance + EPSILON)      summed over splits, in order
//
//     slabs: SPLITS x 2 x CHANNELS of double; variance, dweight, dbias: CHANNELS floats, of all towers
//
// A thread has a channel. Cost: reads 16 * SPLITS + 4 bytes a channel, writes 8. Checked in tests/engine/test_batchnorm.py.
//
// dimensions: CHANNELS SPLITS
// reals: EPSILON

extern "C" __global__ void __launch_bounds__(256)
    batchnorm_slopes(const double* __restrict__ slabs, const float* __restrict__ variance,
                     float* __restrict__ dweight, float* __restrict__ dbias) {
    const int channel = blockIdx.x * blockDim.x + threadIdx.x;
    if (channel >= CHANNELS) return;
    double first = 0, second = 0;
    for (int split = 0; split < SPLITS; ++split) {
        first += slabs[(size_t)split * 2 * CHANNELS + channel];
        second += slabs[((size_t)split * 2 + 1) * CHANNELS + channel];
    }
    dbias[channel] = (float)first;
    dweight[channel] = (float)(second / sqrt((double)variance[channel] + EPSILON));
}
