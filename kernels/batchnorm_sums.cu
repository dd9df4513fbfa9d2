// Sum over pictures and pixels what batch normalisation needs of each channel, a part of the pixels a block.
//
//     forward:   SUM (x - pivot),  SUM (x - pivot)^2          the pivot is the channel's first value of the tower
//     backward:  SUM dy,           SUM dy (x - mean)
//
//     x, dy: towers x PIXELS x CHANNELS (dy null in forward); mean: towers x CHANNELS (null in forward)
//     slabs: SPLITS x 2 x towers x CHANNELS of double, joined by batchnorm_statistics.cu and batchnorm_slopes.cu
//
// Blocks: x 32 runs of EACH channels, y the split, z the tower. A warp's threads lie side by side along the channels,
// its eight warps take pixels in turn; their sums are added in the order of the warps. About a pivot, squares lose
// nothing to a mean that is far from zero. All sums are float64: 2 operations a value forward, 2 backward.
// Cost: reads x (and dy) once. Shared memory: 4096 * EACH bytes. Checked in tests/engine/test_batchnorm.py.
//
// dimensions: PIXELS CHANNELS SPLITS
// choices: PRECISION EACH BACKWARD
#include "vectors.cuh"

extern "C" __global__ void __launch_bounds__(256, 4)
    batchnorm_sums(const Value* __restrict__ x, const Value* __restrict__ dy, const float* __restrict__ mean,
                   double* __restrict__ slabs) {
    SHARED(double, work);
    const int warps = 8, threads = 32 * warps, lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    const int channel = (blockIdx.x * 32 + lane) * EACH, tower = blockIdx.z, split = blockIdx.y;
    const size_t start = (size_t)tower * PIXELS * CHANNELS + channel;
    double sums[2][EACH] = {};
    if (channel < CHANNELS) {
        float middle[EACH];
        if (BACKWARD)
            load_floats(middle, mean + (size_t)tower * CHANNELS + channel);
        else
            load_vector(middle, x + start);
        const int first = (int)((long long)PIXELS * split / SPLITS);
        const int last = (int)((long long)PIXELS * (split + 1) / SPLITS);
        for (int pixel = first + warp; pixel < last; pixel += warps) {
            float values[EACH], slopes[EACH] = {};
            load_vector(values, x + start + (size_t)pixel * CHANNELS);
            if (BACKWARD) load_vector(slopes, dy + start + (size_t)pixel * CHANNELS);
#pragma unroll
            for (int i = 0; i < EACH; ++i) {
                const double one = BACKWARD ? (double)slopes[i] : (double)values[i] - middle[i];
                sums[0][i] += one;
                sums[1][i] += BACKWARD ? (double)((values[i] - middle[i]) * slopes[i]) : one * one;
            }
        }
    }
#pragma unroll
    for (int k = 0; k < 2; ++k)
#pragma unroll
        for (int i = 0; i < EACH; ++i) work[(k * EACH + i) * threads + threadIdx.x] = sums[k][i];
    __syncthreads();
    for (int o = threadIdx.x; o < 2 * 32 * EACH; o += threads) {
        const int k = o / (32 * EACH), c = o % (32 * EACH), own = blockIdx.x * 32 * EACH + c;
        if (own >= CHANNELS) continue;
        double sum = 0;
        for (int w = 0; w < warps; ++w) sum += work[(k * EACH + c % EACH) * threads + w * 32 + c / EACH];
        slabs[((size_t)(split * 2 + k) * gridDim.z + tower) * CHANNELS + own] = sum;
    }
}
